package session

import (
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/node"
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

// stateBytes is about the size of a page of state.
const stateBytes = 32 << 10

// placeByState finds where a subscription of a state channel begins.
func (x *Session) placeByState(g *group, r *request, t node.Target) {
	c, held := g.find(r.since)
	epoch, head := g.channel.Position()
	switch {
	case r.since == nil:
		x.placeAnew(g, r, t, "")
		return
	case r.since.Epoch != epoch:
		x.placeAnew(g, r, t, "epoch")
		return
	}
	since := r.since.Offset
	if r.given != nil {
		x.placeWithin(g, r, t)
		return
	}
	if held {
		x.begin(g, r, epoch, placement{cursor: c, state: lagging, offset: since, head: head.Mark, recovered: true})
		return
	}
	x.whileMaking(g, r, ask{channel: g.name, state: true, after: since, bytes: stateBytes}, t, func(p page) {
		switch {
		case p.epoch != r.since.Epoch:
			x.placeAnew(g, r, t, "epoch")
		case since > p.head:
			x.hub.server.node.Claimed(g.name, *r.since)
			x.placeAnew(g, r, t, "unknown")
		case since < p.floor:
			x.placeAnew(g, r, t, "trimmed")
		default:
			x.begin(g, r, p.epoch, placement{cursor: channel.Cursor{Mark: since}, state: walking, task: &task{}, page: &p,
				offset: since, head: p.head, recovered: true})
		}
	})
}

// placeAnew begins with a snapshot.
func (x *Session) placeAnew(g *group, r *request, t node.Target, answer string) {
	x.whileMaking(g, r, ask{channel: g.name, state: true, bytes: stateBytes}, t, func(p page) {
		x.begin(g, r, p.epoch, placement{cursor: channel.Cursor{Mark: p.head}, state: walking, page: &p,
			task: &task{snapshot: true, begun: true, until: p.head}, offset: p.head, head: p.head, answer: answer})
	})
}

// placeWithin goes on with a snapshot that was given in part: the rest of it, and
// then what was written since it began. That is whole as long as it is known what
// was deleted since.
func (x *Session) placeWithin(g *group, r *request, t node.Target) {
	until, after := r.since.Offset, *r.given
	x.whileMaking(g, r, ask{channel: g.name, state: true, after: after, bytes: stateBytes}, t, func(p page) {
		switch {
		case p.epoch != r.since.Epoch:
			x.placeAnew(g, r, t, "epoch")
		case until > p.head:
			x.hub.server.node.Claimed(g.name, *r.since)
			x.placeAnew(g, r, t, "unknown")
		case until < p.floor:
			x.placeAnew(g, r, t, "trimmed")
		default:
			x.begin(g, r, p.epoch, placement{cursor: channel.Cursor{Mark: until}, state: walking, page: &p,
				task: &task{snapshot: true, begun: true, after: after, until: until}, offset: until, head: p.head, recovered: true})
		}
	})
}

// givePart gives a member the next page of its snapshot. The snapshot is of the
// position that its first page had: what was written since is not part of it.
func (g *group) givePart(m *member, p *page) {
	k, x := m.task, m.session
	if !k.begun {
		gap := &channel.Gap{From: m.cursor.Mark + 1, To: p.head}
		k.begun, k.until = true, p.head
		m.cursor = channel.Cursor{Mark: k.until}
		x.whole(g.name, false)
		if k.reason == "epoch" {
			gap.Epoch, gap.To, gap.Origin = true, max(gap.From, gap.To), p.head
		}
		x.tellGap(g.name, gap, k.reason, p.epoch)
	}
	items, size, last := make([]*channel.Entry, 0, len(p.entries)), 0, !p.more
	for _, e := range p.entries {
		if e.Offset > k.until {
			last = true
			break
		}
		if k.after = e.Offset; !e.Deleted {
			items, size = append(items, e), size+e.Size()
		}
	}
	last = last || k.after == k.until
	if len(items) > 0 || last {
		g.hub.pulls.given += size
		if last {
			x.whole(g.name, true)
		}
		x.link.Send(&event.State{Channel: g.name, Entries: items, More: !last})
	}
	if x.closed {
		return
	}
	if !last {
		x.schedule()
		return
	}
	*k = task{}
	g.goOn(m, m.cursor.Mark)
}
