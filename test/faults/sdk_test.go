package faults

import (
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
	"ringdown/test/history"
)

// join has players come in by a door of their own, behind which any of the servers is:
// one of each client by each transport, and one that has all three.
func (s *story) join(every time.Duration) (all []*player) {
	s.t.Helper()
	door := newLines(s.t, func() string { return s.servers[rand.IntN(len(s.servers))].addr })
	s.lines = append(s.lines, door)
	// The session of a poll is on one node: its requests go there while it runs.
	sticky := func() *lines {
		var mu sync.Mutex
		at := s.servers[rand.IntN(len(s.servers))]
		l := newLines(s.t, func() string {
			mu.Lock()
			defer mu.Unlock()
			if at.running() == nil {
				at = s.servers[rand.IntN(len(s.servers))]
			}
			return at.addr
		})
		s.lines = append(s.lines, l)
		return l
	}
	logs, err := s.readLogs(false)
	if err != nil {
		s.t.Fatal(err)
	}
	begun := map[string]history.Position{}
	for _, l := range logs {
		begun[l.channel] = l.at
	}
	known := &heads{at: map[string]uint64{}}
	for name, command := range sdks(s.t) {
		for _, by := range [][]string{{"websocket"}, {"sse"}, {"poll"}, {"websocket", "sse", "poll"}} {
			to := door
			if by[len(by)-1] == "poll" {
				to = sticky()
			}
			p := &player{t: s.t, name: name + "-" + strings.Join(by, ""), command: command, rec: s.rec, channels: s.channels, every: every, begun: begun, heads: known,
				options: map[string]any{"url": "http://" + to.addr(), "token": "function", "transports": by, "backoffBase": 100, "backoffCap": 1000, "watch": 500, "silence": 2000, "probeTimeout": 1000}}
			all = append(all, p)
		}
	}
	for _, p := range all {
		p.start(s.ctx)
		s.t.Cleanup(p.end)
		s.subs = append(s.subs, p)
	}
	s.returned()
	for _, p := range all {
		s.pubs = append(s.pubs, p)
		s.writes.Go(func() { p.run(s.ctx) })
	}
	return all
}

// alone is a run in which only players take part.
var alone = cast{channels: 3}

// TestClients: the lines of all clients are cut, held up and left half-open, their tokens
// last five seconds, and now and then one of their processes stands still. Each is given
// everything once and in order, and what it publishes is stored once.
func TestClients(t *testing.T) {
	s := tell(t, memory(), alone, newServer(t, "server", ""))
	all := s.join(50 * time.Millisecond)
	s.cutAll()
	for end := time.Now().Add(either(10*time.Second, 10*time.Minute)); time.Now().Before(end); {
		s.breakLines()
		s.sleep(100*time.Millisecond, 700*time.Millisecond)
		if s.rng.IntN(10) == 0 {
			s.freeze(all)
		}
	}
	s.freeze(all)
	s.returned()
	s.whole()
}

// TestClientsOnThreeNodes: nodes are killed as well, and clients come back to others.
func TestClientsOnThreeNodes(t *testing.T) {
	all := nodes(t, redistest.Start(t), 3)
	s := tell(t, shared(), alone, all...)
	players := s.join(50 * time.Millisecond)
	s.cutAll()
	n := 0
	for end := time.Now().Add(either(12*time.Second, 10*time.Minute)); time.Now().Before(end); n++ {
		switch kind := s.rng.IntN(6); {
		case kind == 0 || n == 0:
			srv := all[s.rng.IntN(len(all))]
			s.during(srv.name, "kill", func() {
				srv.kill()
				s.sleep(0, 500*time.Millisecond)
				srv.start()
			})
		case kind == 1 && n > 2:
			s.freeze(players)
		default:
			s.breakLines()
		}
		s.sleep(100*time.Millisecond, 700*time.Millisecond)
	}
	s.returned()
	s.whole()
}

// cutAll cuts every line there is.
func (s *story) cutAll() {
	s.during("lines", "cut", func() {
		for _, p := range s.lines {
			for _, l := range p.some(s.rng, 1) {
				l.cut()
			}
		}
	})
}

// freeze stops the process of one player for longer than its line lives.
func (s *story) freeze(all []*player) {
	p := all[s.rng.IntN(len(all))]
	s.during(p.name, "freeze", func() {
		p.signal(syscall.SIGSTOP)
		s.sleep(4*time.Second, 6*time.Second)
		p.signal(syscall.SIGCONT)
	})
}
