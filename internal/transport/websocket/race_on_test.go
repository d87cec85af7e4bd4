//go:build race

package websocket

// raceEnabled: under the race detector pools drop at random what they are given.
const raceEnabled = true
