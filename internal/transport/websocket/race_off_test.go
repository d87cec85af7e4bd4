//go:build !race

package websocket

const (
	raceEnabled = false
	slack       = 1
)
