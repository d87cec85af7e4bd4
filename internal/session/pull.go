package session

import (
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
)

// pulls is the job that serves the sessions of a hub whose subscriptions lack
// something, one after the other. All of them are one job, and a step of it is
// small however many they are, so that a crowd that comes back at once shares
// the loop with the live traffic of the others and does not push it out.
type pulls struct {
	hub     *hub
	line    []*Session
	at      int // the next one
	running bool
	given   int // bytes, in this step
}

// How much a step of pulls does.
const (
	pullSessions = 16
	pullStep     = 256 << 10 // bytes
)

// schedule makes the hub pull for x until it has everything or is blocked.
func (x *Session) schedule() {
	if x.pulling || x.closed {
		return
	}
	x.pulling = true
	p := &x.hub.pulls
	p.line = append(p.line, x)
	if !p.running {
		p.running = true
		p.hub.loop.AddJob(p)
	}
}

// Step serves the next sessions. One that panics is closed and passed over.
func (p *pulls) Step(*reactor.Loop) (more bool) {
	var current *Session
	defer func() {
		if cause := recover(); cause != nil {
			p.hub.panicked(current, cause)
			more = true
		}
	}()
	p.given = 0
	for n := 0; n < pullSessions && p.given < pullStep && p.at < len(p.line); n++ {
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
// there may be more to give now. When the link is blocked, Drained comes back.
func (x *Session) pull() (more bool) {
	p := &x.hub.pulls
	most := p.given + pullBytes
	first := int(x.turn)
	for n := 0; n < len(x.subs) && !x.closed && !x.link.Blocked(); n++ {
		i := (first + n) % len(x.subs)
		g, at := x.subs[i].group, int(x.subs[i].member)
		switch g.members[at].state {
		case lagging:
			more = g.pull(at) || more
		case catching, walking:
			more = g.readPage(at) || more
		case live, resting, ahead, held:
		}
		if p.given >= most || x.link.Blocked() {
			// The others come first next time, also when it was the socket that had
			// enough: else a reader who lags always lags in the same channels.
			x.turn = int32(i + 1)
			more = true
			break
		}
	}
	return more && !x.closed && !x.link.Blocked()
}

// Drained tells that the link is no longer blocked.
func (x *Session) Drained() {
	if x.closed {
		return
	}
	if fn := x.drained; fn != nil {
		x.drained = nil
		fn()
	}
	for i := range x.subs {
		switch x.subs[i].group.members[x.subs[i].member].state {
		case lagging, catching, walking:
			x.schedule()
			return
		case live, resting, ahead, held:
		}
	}
}

// pull gives the member what comes next in the ring and reports whether there
// may be more to pull now.
func (g *group) pull(at int) bool {
	m := &g.members[at]
	b := &g.hub.batch
	defer b.Release(keepBatch)
	d := g.channel.Target().Declaration
	limit := pullBytes
	if g.conflates(m) {
		limit = pacedBytes
	}
	if gap := g.channel.Fill(b, m.cursor, limit, true); gap != nil {
		if !g.fresh() {
			// The group hears of the epoch first. Otherwise it would tell this member
			// again, whose cursor may be of the new epoch already.
			return true
		}
		if g.watch() {
			return g.relist(at)
		}
		if gap.Epoch {
			return g.beginEpoch(m, b.From, gap)
		}
		if d.Kept() {
			// From here on only the mark counts: the store knows no sequences.
			g.seek(m, m.cursor.Mark)
			return true
		}
		m.session.sendGap(g.name, gap, "slow")
	}
	m.cursor = b.From
	if b.Len() == 0 {
		m.cursor = b.To
		g.settle(m)
		return false
	}
	x := m.session
	if !g.offer(m, b) {
		return !x.closed && !x.link.Blocked()
	}
	if b.Whole || g.conflates(m) {
		g.settle(m)
		return false
	}
	return true
}

// offer gives the member what comes after its cursor in b, and reports whether
// it took all of it. A member whose link closed over it has ended.
func (g *group) offer(m *member, b *channel.Batch) (all bool) {
	x, from := m.session, m.cursor
	all = m.offer(b)
	g.hub.pulls.given += b.Size()
	if !x.closed {
		g.hub.server.metrics.Deliveries.Add(uint64(b.Count(from)))
	}
	return all && !x.closed
}

// conflates reports whether a member has a rate and each key so often. It rests
// after each delivery, also when there is more: a second one right behind it
// could bring the same keys again.
func (g *group) conflates(m *member) bool {
	return m.pacer != nil && g.channel.Target().Declaration.State != nil
}

// settle is for a member that has everything, or enough for now.
func (g *group) settle(m *member) {
	if m.pacer == nil {
		m.state = live
		return
	}
	m.state = resting
	if g.channel.Behind(m.cursor) {
		m.session.wakePaced(g, m)
	}
}

func (x *Session) sendGap(name string, gap *channel.Gap, reason string) {
	x.tellGap(name, gap, reason, "")
}

// tellGap is sendGap, with the name of the epoch that begins, if one does.
func (x *Session) tellGap(name string, gap *channel.Gap, reason, epoch string) {
	x.hub.server.metrics.Gaps.Add(1)
	x.link.Send(&event.Gap{Channel: name, Reason: reason, Epoch: epoch, Lost: *gap})
}
