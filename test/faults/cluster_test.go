package faults

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
	"ringdown/test/history"
)

// shared is what nodes on one Redis promise: a node that dies loses nothing. A
// Redis that dies may end the epoch of a log, and says so.
func shared(ends ...string) history.Policy {
	return history.Policy{Store: "Redis", Kept: kept, Lags: true, Ends: ends}
}

func nodes(t *testing.T, r *redistest.Server, n int) (all []*server) {
	for i := range n {
		all = append(all, newServer(t, fmt.Sprint("node", i), fmt.Sprintf("broker: {redis: {addresses: %q}}\n", r.Address)))
	}
	return all
}

// whole: nobody missed anything, and nobody was told of a loss.
func (s *story) whole() {
	s.atLeast(history.CountRecovered, 20)
	s.atMost(history.CountUnrecovered, 0)
	s.atMost(history.CountGaps, 0)
	s.atMost(history.CountEpochs, 0)
	s.judge()
}

// TestRollingRestart (G02): each of three nodes is told to end and started again, one
// after the other, under load.
func TestRollingRestart(t *testing.T) {
	all := nodes(t, redistest.Start(t), 3)
	s := tell(t, shared(), usual, all...)
	for range either(1, 5) {
		for _, srv := range all {
			s.during(srv.name, "term", func() { srv.terminate(); srv.start() })
			s.returned()
			s.until(20)
		}
	}
	s.whole()
}

// TestKillNode: of three nodes one after the other is killed at any moment.
func TestKillNode(t *testing.T) {
	all := nodes(t, redistest.Start(t), 3)
	s := tell(t, shared(), usual, all...)
	for range either(4, 40) {
		srv := all[s.rng.IntN(len(all))]
		s.during(srv.name, "kill", func() {
			srv.kill()
			s.sleep(0, 500*time.Millisecond) // the others go on alone
			srv.start()
		})
		s.sleep(200*time.Millisecond, 600*time.Millisecond)
	}
	s.returned()
	s.whole()
}

// TestPauseNode (G05): a node stands still while the others go on, and then takes up
// again where it was.
func TestPauseNode(t *testing.T) {
	all := nodes(t, redistest.Start(t), 2)
	s := tell(t, shared(), usual, all...)
	for range either(1, 3) {
		srv := all[s.rng.IntN(len(all))]
		s.during(srv.name, "pause", func() {
			srv.signal(syscall.SIGSTOP)
			s.sleep(either(3*time.Second, 30*time.Second), either(4*time.Second, 31*time.Second))
			srv.signal(syscall.SIGCONT)
		})
		s.sleep(500*time.Millisecond, time.Second)
	}
	s.atMost(history.CountUnrecovered, 0)
	s.atMost(history.CountEpochs, 0)
	s.judge()
}

// TestRedisGone: Redis is killed and comes back empty, under two nodes. What it
// held is lost, which the policy declares; that everybody is told is the test.
func TestRedisGone(t *testing.T) {
	r := redistest.Start(t)
	all := nodes(t, r, 2)
	s := tell(t, shared("redis"), usual, all...)
	for range either(1, 5) {
		s.during("redis", "redis", func() {
			r.Kill()
			s.sleep(200*time.Millisecond, 800*time.Millisecond)
			r.Run()
			s.until(50) // in the new epoch, which so everybody is told of
		})
		s.returned()
	}
	s.atLeast(history.CountEpochs, 1)
	s.atLeast(history.CountUnrecovered, 10)
	s.judge()
}
