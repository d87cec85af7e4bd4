package session

import (
	"context"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// placeByState begins on a state channel: where the client was, if the ring
// still reaches there, and otherwise with the latest message of each key.
func (x *Session) placeByState(g *group, r *request, t node.Target) {
	epoch, head := g.channel.Position()
	answer := ""
	if r.since != nil {
		c, ok := g.channel.Find(r.since.Offset)
		switch {
		case r.since.Epoch != epoch:
			answer = "epoch"
		case r.since.Offset > head.Mark:
			answer = "unknown"
		case !ok:
			answer = "trimmed"
		default:
			x.begin(g, r, epoch, placement{cursor: c, state: lagging, offset: c.Mark, head: head.Mark, recovered: true}, nil)
			return
		}
	}
	var st snapshot
	read := func(ctx context.Context) (err error) {
		st, err = x.hub.server.snapshot(ctx, g.name, t)
		return err
	}
	x.whileMaking(g, read, func(err error) {
		if err != nil {
			x.fail(r.id, r.channel, err)
			return
		}
		p := placement{cursor: g.after(st.Head), state: lagging, offset: st.Head, head: st.Head, answer: answer}
		x.begin(g, r, st.Epoch, p, &st)
	})
}

// after returns the cursor of somebody who knows everything up to an offset.
func (g *group) after(offset uint64) channel.Cursor {
	if c, ok := g.channel.Find(offset); ok {
		return c
	}
	// The store is ahead of the feed, or the ring has moved on already: then a
	// gap will tell of it.
	_, head := g.channel.Position()
	if offset >= head.Mark {
		return head
	}
	return channel.Cursor{Mark: offset}
}

// stateBytes is about the size of one state message; more keys go into more.
const stateBytes = 32 << 10

// sendState sends a snapshot, in as many messages as it takes.
func (x *Session) sendState(name string, st *snapshot) {
	h := x.hub
	rest := st.Entries
	for first := true; first || len(rest) > 0; first = false {
		d := append(h.data[:0], `{"items":[`...)
		for n := 0; len(rest) > 0 && (n == 0 || len(d) < stateBytes); n++ {
			if n > 0 {
				d = append(d, ',')
			}
			d = appendItem(d, rest[0])
			rest = rest[1:]
		}
		d = append(d, `],"more":`...)
		if len(rest) > 0 {
			d = append(d, "true}"...)
		} else {
			d = append(d, "false}"...)
		}
		h.data = d
		if len(rest) == 0 {
			x.whole(name, true)
		}
		m := h.reply(protocol.TypeState, name, nil)
		m.Data = d
		x.link.Send(m)
	}
	if cap(h.data) > 4*stateBytes {
		h.data = nil
	}
}

// appendItem appends an entry as JSON. What is JSON already is taken as it is.
func appendItem(dst []byte, e *channel.Entry) []byte {
	if !e.Binary() {
		return append(dst, e.JSON()...)
	}
	var m protocol.Message
	if err := e.Message(&m); err != nil {
		return append(dst, "{}"...) // an entry always decodes
	}
	return protocol.AppendJSON(dst, &m)
}

// restate gives a member of a state channel, who lost messages, the latest of
// each key.
func (g *group) restate(at int) {
	m := &g.members[at]
	m.reading = true
	x, t := m.session, g.channel.Target()
	var st snapshot
	read := func(ctx context.Context) (err error) {
		st, err = x.hub.server.snapshot(ctx, g.name, t)
		return err
	}
	done := func(err error) {
		i := x.find(g.name)
		if x.closed || i < 0 || x.subs[i].group != g {
			return
		}
		m := &g.members[x.subs[i].member]
		m.reading, m.state = false, lagging
		if err != nil {
			x.hub.server.log.Warn("reading the state of a channel failed; the subscriber knows of the gap only", "channel", g.name, "error", err)
		} else {
			m.cursor = g.after(st.Head)
			x.sendState(g.name, &st)
		}
		x.schedule()
	}
	if x.hub.server.node.Immediate() {
		done(read(x.hub.server.ctx))
		return
	}
	m.state = catching
	x.hub.server.background(x.hub.loop, read, done)
}

// snapshot is what a state channel holds: the newest entry of each key.
type snapshot struct {
	Epoch   string
	Head    uint64
	Entries []*channel.Entry
}

func (s *Server) snapshot(ctx context.Context, name string, t node.Target) (st snapshot, err error) {
	for after, first := uint64(0), true; ; first = false {
		page, err := s.node.State(ctx, name, t, broker.StateRange{After: after})
		if err != nil {
			return snapshot{}, err
		}
		if first {
			st.Epoch, st.Head = page.Epoch, page.Head
		}
		for _, e := range page.Entries {
			if after = e.Offset; after > st.Head {
				return st, nil
			}
			if !e.Deleted {
				st.Entries = append(st.Entries, e)
			}
		}
		if !page.More {
			return st, nil
		}
	}
}
