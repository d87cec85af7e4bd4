// Package faults breaks things on purpose while real clients publish to and
// follow a real server process, and holds what the clients saw against the
// promise (test/history). What is broken: lines, readers, and the process
// itself. docs/testing.md tells how to read and replay a failure.
package faults

import (
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/test/program"
)

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, func() error { return goleak.Find() }))
}

// long reports whether the minute-long forms were asked for (make test-long).
func long() bool { return os.Getenv("RINGDOWN_LONG") != "" }

// either is the short or the long form of something.
func either[T any](short, minutes T) T {
	if long() {
		return minutes
	}
	return short
}

// seedOf is RINGDOWN_SEED, to do again what a failed run did, or a new one.
func seedOf(t *testing.T) uint64 {
	if s := os.Getenv("RINGDOWN_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal("RINGDOWN_SEED:", err)
		}
		return seed
	}
	return uint64(time.Now().UnixNano()) % 1_000_000
}
