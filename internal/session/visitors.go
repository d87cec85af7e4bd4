package session

import (
	"sync"
	"time"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// visitors are the users who come by single requests and not over a connection:
// all that one of them asks together may come as often as over one.
type visitors struct {
	mu     sync.Mutex
	meters map[string]*meter
	swept  time.Time
}

// The bounds of what is remembered of visitors.
const (
	mostVisitors = 200_000
	visitorSweep = 10 * time.Second
	fullSweep    = time.Second // where there is no room
)

// Visit counts a request of a user, or says that it comes too soon.
func (s *Server) Visit(user string) error {
	l := s.Limits()
	now := time.Now()
	v := &s.visitors
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.of(user, now)
	if m == nil {
		return s.unavailable(time.Second, "more users make requests at a time than this server keeps account of; try again").WithReason("visitors")
	}
	if wait, ok := m.take(now, l.MessagesPerSecond, l.MessagesBurst); !ok {
		return overRate(l.MessagesPerSecond, wait)
	}
	return nil
}

// Charge counts what a user's request took as so many more requests.
func (s *Server) Charge(user string, requests int) {
	now := time.Now()
	v := &s.visitors
	v.mu.Lock()
	defer v.mu.Unlock()
	if m := v.of(user, now); m != nil {
		m.spend(now, s.Limits().MessagesPerSecond, requests)
	}
}

// ChargeDeciding counts what deciding by the rules took of a user's request, as over
// a connection.
func (s *Server) ChargeDeciding(user string, b *channel.Budget) {
	if n := b.Spent() / stepsPerMessage; n > 0 {
		s.Charge(user, n)
	}
}

// of returns the meter of a user; nil if there is no room. mu is held.
func (v *visitors) of(user string, now time.Time) *meter {
	if m := v.meters[user]; m != nil {
		return m
	}
	// Looking at all of them is work too: not for each who finds no room.
	if since := now.Sub(v.swept); since > visitorSweep || len(v.meters) >= mostVisitors && since > fullSweep {
		v.swept = now
		for name, m := range v.meters {
			if m.due < int64(clock(now)) {
				delete(v.meters, name)
			}
		}
	}
	if len(v.meters) >= mostVisitors {
		return nil
	}
	if v.meters == nil {
		v.meters = map[string]*meter{}
	}
	m := new(meter)
	v.meters[user] = m
	return m
}

// overRate is what somebody is told who sends too often.
func overRate(perSecond int, wait time.Duration) *protocol.Error {
	e := protocol.Errorf(protocol.CodeRateLimited, "more than %d messages a second", perSecond).WithLimit("limits.connection.messages_per_second")
	e.Retryable, e.RetryAfter = true, wait
	return e
}
