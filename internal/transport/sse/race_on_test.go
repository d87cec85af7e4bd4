//go:build race

package sse

const raceEnabled = true // nothing is counted by the byte
