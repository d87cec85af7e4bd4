package session

import (
	"context"
	"strconv"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// schedule makes the loop pull for x until it has everything or is blocked.
func (x *Session) schedule() {
	if !x.pulling && !x.closed {
		x.pulling = true
		x.hub.loop.AddJob(x)
	}
}

// Step pulls one run for each subscription that lacks something.
func (x *Session) Step(*reactor.Loop) bool {
	more := false
	for i := 0; i < len(x.subs) && !x.closed && !x.link.Blocked(); i++ {
		g, at := x.subs[i].group, int(x.subs[i].member)
		switch g.members[at].state {
		case lagging:
			more = g.pull(at) || more
		case catching:
			more = g.readPage(at) || more
		}
	}
	// When it is blocked, Drained comes back here.
	x.pulling = more && !x.closed && !x.link.Blocked()
	if !x.pulling {
		x.settled()
	}
	return x.pulling
}

// Drained tells that the link is no longer blocked.
func (x *Session) Drained() {
	if x.closed {
		return
	}
	for i := range x.subs {
		if st := x.subs[i].group.members[x.subs[i].member].state; st == lagging || st == catching {
			x.schedule()
			return
		}
	}
}

// pull gives the member what comes next in the ring and reports whether there
// may be more to pull now.
func (g *group) pull(at int) bool {
	m := &g.members[at]
	b := &g.hub.batch
	defer b.Release(keepBatch)
	gap := g.channel.Fill(b, m.cursor, pullBytes, true)
	if gap != nil && g.channel.Target().Declaration.History != nil {
		// From here on only the mark counts: the store knows no sequences.
		m.cursor, m.state = channel.Cursor{Mark: m.cursor.Mark}, catching
		return true
	}
	if m.cursor = b.From; gap != nil {
		state := g.channel.Target().Declaration.State != nil
		if state {
			m.session.whole(g.name, false)
		}
		m.session.sendGap(g.name, gap, "slow")
		if state {
			g.restate(at)
			return !m.reading
		}
	}
	if b.Len() == 0 {
		m.cursor = b.To
		g.settle(m)
		return false
	}
	x := m.session
	all := m.offer(b)
	if x.closed {
		return false
	}
	g.hub.server.metrics.Deliveries.Add(uint64(b.Len()))
	return all || !x.link.Blocked()
}

// settle is for a member that has everything.
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

// readPage reads what a catching member lacks from the store, or finds that the
// ring can go on from where it stands.
func (g *group) readPage(at int) bool {
	m := &g.members[at]
	if m.reading {
		return false
	}
	if c, ok := g.channel.Find(m.cursor.Mark); ok {
		m.cursor, m.state = c, lagging
		return true
	}
	m.reading = true
	x, after := m.session, m.cursor.Mark
	t := g.channel.Target()
	var page broker.Page
	read := func(ctx context.Context) (err error) {
		page, err = x.hub.server.node.Read(ctx, g.name, t, broker.Range{After: after, Bytes: pullBytes})
		return err
	}
	done := func(err error) {
		if i := x.find(g.name); i >= 0 && !x.closed && x.subs[i].group == g {
			g.givePage(int(x.subs[i].member), page, err)
		}
	}
	if g.hub.server.node.Immediate() {
		done(read(x.hub.server.ctx))
		return !x.closed
	}
	x.hub.server.background(x.hub.loop, read, done)
	return false
}

// givePage gives a catching member a page of the store.
func (g *group) givePage(at int, page broker.Page, err error) {
	m := &g.members[at]
	m.reading = false
	x := m.session
	if err != nil {
		g.hub.server.log.Warn("reading the history of a channel failed; the subscriber is told of a gap", "channel", g.name, "error", err)
		page = broker.Page{Oldest: m.cursor.Mark, Head: m.cursor.Mark}
		if epoch, head := g.channel.Position(); epoch != "" {
			page.Oldest, page.Head = head.Mark, head.Mark
		}
	}
	if page.Oldest > m.cursor.Mark {
		gap := &channel.Gap{From: m.cursor.Mark + 1, To: page.Oldest}
		m.cursor = channel.Cursor{Mark: page.Oldest}
		x.sendGap(g.name, gap, "trimmed")
	}
	if len(page.Entries) == 0 {
		// Whatever comes after the mark has not been accepted yet, or is in the ring.
		if c, ok := g.channel.Find(m.cursor.Mark); ok {
			m.cursor = c
		} else {
			_, m.cursor = g.channel.Position()
		}
		m.state = lagging
		x.schedule()
		return
	}
	b := &g.hub.batch
	defer b.Release(keepBatch)
	b.Load(m.cursor.Mark, page.Entries)
	all := m.offer(b)
	if x.closed {
		return
	}
	g.hub.server.metrics.Deliveries.Add(uint64(b.Len()))
	if all {
		x.schedule()
	}
}

func (x *Session) sendGap(name string, gap *channel.Gap, reason string) {
	h := x.hub
	h.server.metrics.Gaps.Add(1)
	d := append(h.data[:0], '{')
	if gap.Missed > 0 {
		d = append(d, `"missed":`...)
		d = strconv.AppendUint(d, gap.Missed, 10)
	} else {
		d = append(d, `"from":`...)
		d = strconv.AppendUint(d, gap.From, 10)
		d = append(d, `,"to":`...)
		d = strconv.AppendUint(d, gap.To, 10)
	}
	d = append(d, `,"reason":"`...)
	d = append(d, reason...)
	h.data = append(d, `"}`...)
	m := h.reply(protocol.TypeGap, name, nil)
	m.Data = h.data
	x.link.Send(m)
}

// pacer is the rate of one subscription.
type pacer struct {
	pace    channel.Pace
	timer   reactor.Timer
	armed   bool
	session *Session
	name    string
}

// wakePaced pulls for a resting member if its pace allows, and otherwise when it
// will.
func (x *Session) wakePaced(g *group, m *member) {
	p := m.pacer
	if p.armed {
		return
	}
	wait, ok := p.pace.Take(x.hub.loop.Now())
	if !ok {
		p.armed = true
		x.hub.loop.Arm(&p.timer, wait, p)
		return
	}
	m.state = lagging
	x.schedule()
}

// Fire is the end of a pace's wait.
func (p *pacer) Fire(l *reactor.Loop) {
	p.armed = false
	x := p.session
	i := x.find(p.name)
	if x.closed || i < 0 {
		return
	}
	g := x.subs[i].group
	m := &g.members[x.subs[i].member]
	if m.state == resting && g.channel.Behind(m.cursor) {
		x.wakePaced(g, m)
	}
}
