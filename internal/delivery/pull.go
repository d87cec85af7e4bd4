package delivery

import (
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
)

// pulls is the job that serves the subscribers of a hub that lack something, one
// after the other. All of them are one job, and a step of it is small however many
// they are, so that a crowd that comes back at once shares the loop with the live
// traffic of the others and does not push it out.
type pulls struct {
	hub     *Hub
	line    []*Subscriber
	at      int // the next one
	running bool
	given   int // bytes, in this step
}

// How much a step of pulls does.
const (
	pullSubscribers = 16
	pullStep        = 256 << 10 // bytes
)

// schedule makes the hub pull for s until it has everything or is blocked.
func (s *Subscriber) schedule() {
	if s.pulling || s.closed {
		return
	}
	s.pulling = true
	p := &s.hub.pulls
	p.line = append(p.line, s)
	if !p.running {
		p.running = true
		p.hub.loop.AddJob(p)
	}
}

// Step serves the next subscribers. One that panics is ended and passed over.
func (p *pulls) Step(*reactor.Loop) (more bool) {
	var current *Subscriber
	defer func() {
		if cause := recover(); cause != nil {
			p.hub.panicked(current, cause)
			more = true
		}
	}()
	p.given = 0
	for n := 0; n < pullSubscribers && p.given < pullStep && p.at < len(p.line); n++ {
		current = p.line[p.at]
		p.line[p.at] = nil
		p.at++
		current.pulling = false
		if current.pull() {
			current.schedule() // behind all others
		}
		if !current.pulling {
			current.settled()
		}
	}
	if p.at*2 >= len(p.line) {
		n := copy(p.line, p.line[p.at:])
		clear(p.line[n:])
		p.line, p.at = p.line[:n], 0
	}
	p.running = len(p.line) > 0
	return p.running
}

// pull gives each subscription that lacks something a run, and reports whether
// there may be more to give now. When the sink is blocked, Drained comes back.
func (s *Subscriber) pull() (more bool) {
	p := &s.hub.pulls
	most := p.given + channel.PageBytes
	first := int(s.turn)
	for n := 0; n < len(s.subs) && !s.closed && !s.sink.Blocked(); n++ {
		i := (first + n) % len(s.subs)
		more = s.subs[i].group.pull(s.subs[i].at) || more
		if !s.closed && s.subs[i].watch >= 0 && !s.sink.Blocked() {
			more = s.subs[i].group.watch.pull(s.subs[i].watch) || more
		}
		if p.given >= most || s.sink.Blocked() {
			// The others come first next time, also when it was the socket that had
			// enough: else a reader who lags always lags in the same channels.
			s.turn = int32(i + 1)
			more = true
			break
		}
	}
	return more && !s.closed && !s.sink.Blocked()
}

// pull gives a member that lacks something a run, and reports whether there may be
// more to pull now.
func (g *group) pull(at int32) bool {
	m := &g.members[at]
	switch m.reader.Phase {
	case channel.Lagging:
		return g.pullRing(m)
	case channel.Catching, channel.Walking:
		return g.readPage(m)
	case channel.Live, channel.Resting, channel.Ahead, channel.Held:
	}
	return false
}

// pullRing gives a member what comes next in the ring.
func (g *group) pullRing(m *member) (more bool) {
	s, b := m.who, &g.hub.batch
	defer b.Release(keepBatch)
	limit := channel.PageBytes
	if g.conflates(m) {
		limit = pacedBytes
	}
	if gap := g.channel.Fill(b, m.reader.Cursor, limit, true); gap != nil {
		if !g.fresh() {
			// The group hears of the epoch first. Otherwise it would tell this member
			// again, whose cursor may be of the new epoch already.
			return true
		}
		if g.of != nil {
			g.relist(m)
			return false
		}
		reason := m.reader.Lost(gap, b.From, g.declaration())
		if gap.Epoch {
			s.retrack(m)
		}
		if reason != "" {
			g.tellGap(s, gap, reason)
		}
		if s.closed || gap.Epoch || m.reader.Phase != channel.Lagging {
			return !s.closed
		}
	}
	m.reader.Cursor = b.From
	if b.Len() > 0 && !g.offer(m, b) {
		return true
	}
	if b.Whole || g.conflates(m) {
		g.settle(m)
		return false
	}
	return true
}

// offer gives the member what comes after its cursor in b, and reports whether
// it took all of it. A member whose sink closed over it has ended.
func (g *group) offer(m *member, b *channel.Batch) (all bool) {
	s, from := m.who, m.reader.Cursor
	all = m.offer(b)
	g.hub.pulls.given += b.Size()
	if !s.closed {
		g.hub.service.metrics.Deliveries.Add(uint64(b.Count(from)))
	}
	return all && !s.closed
}

// settle is for a member that has everything, or enough for now.
func (g *group) settle(m *member) {
	if m.pacer == nil {
		m.reader.Phase = channel.Live
		return
	}
	m.reader.Phase = channel.Resting
	if g.channel.Behind(m.reader.Cursor) {
		g.wake(m)
	}
}

// tellGap tells a subscriber what it has lost, and where that is the rest of an
// epoch, in which one the group is now: the channel may be further.
func (g *group) tellGap(s *Subscriber, gap *channel.Gap, reason string) {
	e := &event.Gap{Channel: g.name(), Reason: reason, Lost: *gap}
	if gap.Epoch {
		e.Epoch = g.epoch
	}
	g.hub.service.metrics.Gaps.Add(1)
	s.sink.Send(e)
}
