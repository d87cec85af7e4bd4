package faults

import (
	"fmt"
	"testing"
	"time"

	"ringdown/test/history"
)

// embedded is what the embedded store promises with fsync always: it survives
// everything but the loss of its disk.
func embedded() history.Policy { return history.Policy{Store: "embedded, fsync always", Kept: kept} }

func storeIn(dir string) string { return fmt.Sprintf("store: {dir: %q, fsync: always}\n", dir) }

// TestStoreKill (F01): the server is killed at random moments under load, and comes
// back with every log as it was: nobody is told of a loss.
func TestStoreKill(t *testing.T) {
	srv := newServer(t, "server", storeIn(t.TempDir()))
	c := usual
	c.every = 4 * time.Millisecond
	s := tell(t, embedded(), c, srv)
	s.kills(srv, either(10, 200))
	s.atLeast(history.CountUnknown, 5)
	s.atLeast(history.CountRetried, 5)
	s.atLeast(history.CountRecovered, 100)
	s.atMost(history.CountUnrecovered, 0)
	s.atMost(history.CountGaps, 0)
	s.atMost(history.CountEpochs, 0)
	s.judge()
}

// TestStoreRestart: the same with a server that is told to end.
func TestStoreRestart(t *testing.T) {
	srv := newServer(t, "server", storeIn(t.TempDir()))
	s := tell(t, embedded(), usual, srv)
	for range either(2, 20) {
		s.returned()
		s.sleep(0, 500*time.Millisecond)
		s.during(srv.name, "term", func() { srv.terminate(); srv.start() })
	}
	s.returned()
	s.atLeast(history.CountRecovered, 20)
	s.atMost(history.CountUnrecovered, 0)
	s.atMost(history.CountGaps, 0)
	s.atMost(history.CountEpochs, 0)
	s.judge()
}
