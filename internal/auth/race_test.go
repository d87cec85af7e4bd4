//go:build race

package auth

// slowdown is what the race detector costs, at most.
const slowdown = 20
