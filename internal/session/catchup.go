package session

import (
	"ringdown/internal/channel"
)

// task is what a member is in the middle of that takes more than one page.
type task struct {
	reading bool // a page is on its way
	// Of a member that is walking over a state:
	snapshot bool   // it is given items of state messages, and else ordinary messages
	begun    bool   // until is known
	reason   string // why it begins anew, to be told in a gap before it
	after    uint64 // offset of the item given last
	until    uint64 // the position that the snapshot is of
}

// seek sends a member on from an offset that the ring does not reach back to.
func (g *group) seek(m *member, offset uint64) {
	m.cursor = channel.Cursor{Mark: offset}
	m.state, m.task = catching, &task{}
	if g.channel.Target().Declaration.History == nil {
		m.state = walking
	}
}

// readPage asks for what a catching or walking member lacks, or finds that the
// ring can go on from where it stands, and reports whether there may be more to
// pull now.
func (g *group) readPage(at int) bool {
	m := &g.members[at]
	k := m.task
	if k.reading {
		return false
	}
	a := ask{channel: g.name, after: m.cursor.Mark, bytes: pullBytes}
	if m.state == walking {
		a.state, a.bytes = true, stateBytes
	}
	c, ok := g.channel.Find(m.cursor.Mark)
	if !g.fresh() {
		return true
	}
	if k.snapshot {
		a.after = k.after
	} else if ok {
		m.cursor, m.state, m.task = c, lagging, nil
		return true
	}
	k.reading = true
	x := m.session
	g.hub.page(a, g.channel.Target(), true, func(p page, err error) {
		// It may have unsubscribed, and even subscribed again.
		i := x.find(g.name)
		if x.closed || i < 0 || x.subs[i].group != g || g.members[x.subs[i].member].task != k {
			return
		}
		k.reading = false
		if err != nil {
			// What it lacks is not lost, only not to be had now.
			g.hub.again.add(x)
			return
		}
		g.give(int(x.subs[i].member), &p)
	})
	return false
}

// give serves a page to a member that waits for one.
func (g *group) give(at int, p *page) {
	m := &g.members[at]
	x := m.session
	epoch, _ := g.channel.Position()
	switch {
	case !g.fresh():
		return // what it lacks is of another epoch now
	case p.epoch != "" && p.epoch != epoch:
		// The store is in an epoch that the feed has not told of yet.
		g.hub.again.add(x)
		return
	case x.link.Blocked():
		return // Drained comes back, and asks anew
	case m.task.snapshot:
		g.givePart(m, p)
		return
	case m.cursor.Mark < p.floor && g.channel.Target().Declaration.State != nil:
		// Keys that it knows may be gone without anybody being able to say which.
		m.state, *m.task = walking, task{snapshot: true, reason: "trimmed"}
		x.schedule()
		return
	case m.cursor.Mark < p.floor:
		gap := &channel.Gap{From: m.cursor.Mark + 1, To: p.floor}
		m.cursor = channel.Cursor{Mark: p.floor}
		x.sendGap(g.name, gap, "trimmed")
	}
	if len(p.entries) == 0 {
		g.goOn(m, max(m.cursor.Mark, p.head))
		return
	}
	b := &g.hub.batch
	defer b.Release(keepBatch)
	b.Load(m.cursor.Mark, p.entries)
	m.cursor = b.From
	if !g.offer(m, b) {
		return
	}
	if !p.more {
		g.goOn(m, max(m.cursor.Mark, p.head))
		return
	}
	x.schedule()
}

// goOn sends a member on that has all that the store had up to an offset: in the
// ring; or, where the feed has not come as far, when it has; or, if the ring has
// moved past it meanwhile, in the store again.
func (g *group) goOn(m *member, offset uint64) {
	m.cursor = channel.Cursor{Mark: offset}
	c, ok := g.channel.Find(offset)
	if !g.fresh() {
		return
	}
	if ok {
		m.cursor, m.state, m.task = c, lagging, nil
		if g.conflates(m) {
			g.settle(m)
			m.session.settled()
			return
		}
	} else if _, head := g.channel.Position(); head.Mark < offset {
		m.state, m.task = ahead, nil
		m.session.settled()
		return
	}
	m.session.schedule()
}
