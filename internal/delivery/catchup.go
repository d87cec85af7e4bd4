package delivery

import (
	"ringdown/internal/channel"
	"ringdown/internal/event"
)

// A state channel's subscribers are given what they lack in one of three ways.
// Who stands where the ring still reaches is given the entries from there,
// without those that were overwritten. Who stands further back, but not before
// what is still known of deletions, walks over the state: the latest message of
// every key that changed since, in order of offsets, so that whatever is written
// meanwhile is met further on, once, and the walk comes to an end however slow
// it is. Everybody else begins with a snapshot, which is the same walk from the
// beginning as items of state messages. Nothing is gathered for anybody: each
// page is read when the one before it has left.

// readPage asks for what a catching or walking member lacks, or finds that the
// ring can go on from where it stands, and reports whether there may be more to
// pull now.
func (g *group) readPage(m *member) bool {
	s, walk := m.who, m.reader.Walk
	at, held := g.channel.Find(m.reader.Cursor.Mark)
	if !g.fresh() {
		return true
	}
	a, ok := m.reader.Ask(at, held)
	if !ok {
		return m.reader.Phase == channel.Lagging
	}
	walk.Reading = true
	g.hub.Page(g.name(), g.channel.Target(), a, true, func(p channel.Page, err error) {
		// It may have unsubscribed, and even subscribed again.
		i := s.inGroup(g)
		if i < 0 || s.subs[i].member().reader.Walk != walk {
			return
		}
		walk.Reading = false
		if err != nil {
			// What it lacks is not lost, only not to be had now.
			g.hub.again.add(s)
			return
		}
		g.give(s.subs[i].member(), &p)
	})
	return false
}

// give serves a page to a member that waits for one.
func (g *group) give(m *member, p *channel.Page) {
	s := m.who
	switch {
	case !g.fresh():
		return // what it lacks is of another epoch now
	case p.Epoch != "" && p.Epoch != g.epoch:
		// The store is in an epoch that the feed has not told of yet.
		g.hub.again.add(s)
		return
	case s.sink.Blocked():
		return // Drained comes back, and asks anew
	case m.reader.Walk.Snapshot:
		g.givePart(m, p)
		return
	}
	if gap := m.reader.Missed(p, g.declaration()); gap != nil {
		if g.tellGap(s, gap, "trimmed"); s.closed {
			return
		}
	}
	if m.reader.Walk.Snapshot {
		s.schedule()
		return
	}
	if len(p.Entries) > 0 {
		b := &g.hub.batch
		defer b.Release(keepBatch)
		b.Load(m.reader.Cursor.Mark, p.Entries)
		if !g.offer(m, b) {
			return
		}
		if p.More {
			s.schedule()
			return
		}
	}
	g.goOn(m, max(m.reader.Cursor.Mark, p.Head))
}

// givePart gives a member the next page of its snapshot. The snapshot is of the
// position that its first page had: what was written since is not part of it.
func (g *group) givePart(m *member, p *channel.Page) {
	s, lost := m.who, m.reader.Walk.Lost
	if gap := m.reader.Begin(p); gap != nil {
		// Told before the items count as given: who is cut off behind it lacks them.
		if g.tellGap(s, gap, lost); s.closed {
			return
		}
	}
	items, last := m.reader.Part(p)
	if len(items) > 0 || last {
		for _, e := range items {
			g.hub.pulls.given += e.Size()
		}
		s.sink.Send(&event.State{Channel: g.name(), Entries: items, More: !last})
	}
	switch {
	case s.closed:
	case last:
		g.goOn(m, m.reader.Cursor.Mark)
	default:
		s.schedule()
	}
}

// goOn sends a member on that has all that the store had up to an offset.
func (g *group) goOn(m *member, offset uint64) {
	at, held := g.channel.Find(offset)
	head := g.channel.Standing().Head
	if !g.fresh() {
		return
	}
	switch need := m.reader.Continue(offset, at, held, head); {
	case need == channel.Nothing:
		m.who.settled()
	case m.reader.Phase == channel.Lagging && g.conflates(m):
		g.settle(m)
		m.who.settled()
	default:
		m.who.schedule()
	}
}
