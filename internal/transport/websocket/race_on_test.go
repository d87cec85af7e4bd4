//go:build race

package websocket

// Under the race detector pools drop at random what they are given, so that
// figures of memory are larger.
const (
	raceEnabled = true
	slack       = 4
)
