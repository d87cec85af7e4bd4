package faults

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringdown/test/history"
)

// memory is what the store in memory promises: nothing outlives the process.
func memory() history.Policy {
	return history.Policy{Store: "memory", Kept: kept, Ends: []string{"kill", "term"}}
}

// TestLines: connections are cut, held up and left half-open all the time, and
// nobody misses anything.
func TestLines(t *testing.T) {
	s := tell(t, memory(), usual, newServer(t, "server", ""))
	for end := time.Now().Add(either(5*time.Second, 2*time.Minute)); time.Now().Before(end); {
		s.breakLines()
		s.sleep(100*time.Millisecond, 400*time.Millisecond)
	}
	for range 3 { // with publications under way, which chance alone may not meet
		s.returned()
		s.during("lines", "cut", func() {
			var held []*line
			for _, p := range s.lines {
				held = append(held, p.some(s.rng, 1)...)
			}
			for _, l := range held {
				l.hold()
			}
			s.stuck()
			for _, l := range held {
				l.cut()
			}
			s.returned()
		})
	}
	s.atLeast(history.CountMetTraffic, 3)
	s.atLeast(history.CountRecovered, 50)
	s.atLeast(history.CountUnknown, 1)
	s.atLeast(history.CountRetried, 1)
	s.atMost(history.CountUnrecovered, 0)
	s.atMost(history.CountGaps, 0)
	s.atMost(history.CountEpochs, 0)
	s.judge()
}

// breakLines does something to some of the lines.
func (s *story) breakLines() {
	p := s.lines[s.rng.IntN(len(s.lines))]
	switch s.rng.IntN(4) {
	case 0, 1:
		s.during("lines", "cut", func() {
			for _, l := range p.some(s.rng, 0.3) {
				l.cut()
			}
		})
	case 2:
		s.during("lines", "hold", func() {
			held := p.some(s.rng, 0.4)
			for _, l := range held {
				l.hold()
			}
			s.sleep(300*time.Millisecond, 1200*time.Millisecond)
			for _, l := range held {
				l.release()
			}
		})
	case 3:
		s.during("lines", "deaf", func() {
			for _, l := range p.some(s.rng, 0.1) {
				l.deafen()
			}
		})
	}
}

// TestReadersStop: clients read nothing for a while, which fills their sockets.
// Whoever reads again within what the log keeps gets all of it; where the log is
// short, the rest is told of.
func TestReadersStop(t *testing.T) {
	for _, c := range []struct {
		name string
		kept int
	}{{"long log", kept}, {"short log", 50}} {
		t.Run(c.name, func(t *testing.T) {
			srv := newServer(t, "server", "")
			srv.configure(fmt.Sprintf(configuration, c.kept))
			p := memory()
			p.Kept = c.kept
			slow := cast{channels: 2, subscribers: 5, publishers: 4, every: 5 * time.Millisecond, pad: 15_000, direct: true}
			s := tell(t, p, slow, srv)
			for range either(1, 10) {
				s.during("lines", "hold", func() {
					held := s.lines[0].some(s.rng, 0.6)
					for _, l := range held {
						l.hold()
					}
					s.until(250) // almost 4 MB: more than the sockets take
					for _, l := range held {
						l.release()
					}
				})
				s.sleep(300*time.Millisecond, 800*time.Millisecond)
			}
			if c.kept == kept {
				s.atMost(history.CountUnrecovered, 0)
				s.atMost(history.CountGaps, 0)
			} else {
				s.atLeast(history.CountGaps, 1)
			}
			s.judge()
		})
	}
}

// TestRestart: the server is told to end, and started again.
func TestRestart(t *testing.T) {
	srv := newServer(t, "server", "")
	s := tell(t, memory(), usual, srv)
	for range either(2, 10) {
		s.returned()
		s.until(50) // so that there is something to lose
		s.sleep(0, time.Second)
		s.during(srv.name, "term", func() { srv.terminate(); srv.start() })
	}
	s.returned()
	s.atLeast(history.CountEpochs, 2)
	s.atLeast(history.CountUnrecovered, 10)
	s.judge()
}

// TestKill: the server is killed at any moment, and started again.
func TestKill(t *testing.T) {
	srv := newServer(t, "server", "")
	s := tell(t, memory(), usual, srv)
	s.kills(srv, either(3, 40))
	s.atLeast(history.CountEpochs, 2)
	s.atLeast(history.CountUnknown, 1)
	s.atLeast(history.CountUnrecovered, 10)
	s.judge()
}

// kills kills srv n times: in the middle of things, where it stands still for a moment
// so that there are publications under way, and as well while clients are still coming
// back.
func (s *story) kills(srv *server, n int) {
	for i := range n {
		inTraffic := i%2 == 0
		if inTraffic {
			s.returned()
			s.until(20)
		}
		s.sleep(0, 500*time.Millisecond)
		s.during(srv.name, "kill", func() {
			if inTraffic {
				srv.signal(syscall.SIGSTOP)
				s.stuck()
			}
			srv.kill()
			srv.start()
		})
	}
	s.returned()
}

// TestPause: the process stands still for a while, as one whose machine is
// suspended or out of memory does.
func TestPause(t *testing.T) {
	srv := newServer(t, "server", "")
	s := tell(t, memory(), usual, srv)
	for range either(2, 3) {
		s.during(srv.name, "pause", func() {
			srv.signal(syscall.SIGSTOP)
			s.sleep(either(2*time.Second, 30*time.Second), either(3*time.Second, 31*time.Second))
			srv.signal(syscall.SIGCONT)
		})
		s.sleep(500*time.Millisecond, time.Second)
	}
	s.atMost(history.CountUnrecovered, 0)
	s.atMost(history.CountEpochs, 0)
	s.judge()
}

// TestReload: the configuration is changed again and again, now and then to one
// that is wrong, and nobody notices.
func TestReload(t *testing.T) {
	srv := newServer(t, "server", "")
	s := tell(t, memory(), usual, srv)
	good := fmt.Sprintf(configuration, kept)
	for i := range either(12, 100) {
		s.during(srv.name, "reload", func() {
			switch i % 3 {
			case 0:
				srv.configure(strings.Replace(good, "100000, messages_burst", "90000, messages_burst", 1))
			case 1:
				srv.configure(good + "nonsense: [")
			default:
				srv.configure(good + "  - name: other:{n}\n    allow: {subscribe: 'user == params.n'}\n")
			}
			srv.signal(syscall.SIGHUP)
			s.sleep(100*time.Millisecond, 300*time.Millisecond)
		})
	}
	log := srv.log.String()
	if !strings.Contains(log, "nonsense") {
		t.Error("the log says nothing of the bad file")
	}
	s.atMost(history.CountAway, 0)
	s.atMost(history.CountUnknown, 0)
	s.atMost(history.CountGaps, 0)
	s.judge()
}
