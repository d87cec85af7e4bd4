//go:build !race

package auth

const slowdown = 1
