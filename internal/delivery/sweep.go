package delivery

import (
	"ringdown/internal/channel"
	"ringdown/internal/reactor"
)

// sweep is a job that goes round the members of a group and gives each what it
// lacks of one batch. What comes meanwhile is added to the batch, so that who is
// still to be visited gets it in the same write, and who was visited gets it in
// the next round.
type sweep struct {
	group *group
	batch channel.Batch
	at    int // the next member
	left  int // members to visit until everybody has the batch
}

func (h *Hub) idleSweep() *sweep {
	if n := len(h.sweeps); n > 0 {
		s := h.sweeps[n-1]
		h.sweeps = h.sweeps[:n-1]
		return s
	}
	return new(sweep)
}

func (h *Hub) keepSweep(s *sweep) {
	s.batch.Release(keepBatch)
	s.group = nil
	if len(h.sweeps) < 64 {
		h.sweeps = append(h.sweeps, s)
	}
}

// Step serves the next members. A member that panics is ended and passed over.
func (s *sweep) Step(*reactor.Loop) (more bool) {
	g := s.group
	var current *Subscriber
	defer func() {
		if cause := recover(); cause != nil {
			g.hub.panicked(current, cause)
			more = true
		}
	}()
	if g.dirty.Load() {
		g.dirty.Store(false)
		if g.channel.Extend(&s.batch, sweepBytes) {
			g.swept, s.left = s.batch.To, len(g.members)
		} else {
			g.dirty.Store(true) // for the look at the end
		}
	}
	given, d := 0, g.declaration()
	for n := 0; n < sweepStep && s.left > 0 && len(g.members) > 0; n++ {
		if s.at >= len(g.members) {
			s.at = 0
		}
		m := &g.members[s.at]
		s.at++
		s.left--
		current = m.who
		if need := m.reader.Meet(&s.batch, d); need == channel.Offer {
			given += s.give(m)
		} else {
			g.serve(m, need)
		}
	}
	g.hub.service.metrics.Deliveries.Add(uint64(given))
	if s.left > 0 && len(g.members) > 0 {
		return true
	}
	g.sweep = nil
	g.hub.keepSweep(s)
	g.look() // what did not fit into this batch
	return false
}

// give offers the batch to one member and returns how many messages it took.
func (s *sweep) give(m *member) int {
	if m.who.sink.Blocked() {
		m.reader.Phase = channel.Lagging
		return 0
	}
	from := m.reader.Cursor
	m.offer(&s.batch)
	return s.batch.Count(from)
}
