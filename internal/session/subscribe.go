package session

import (
	"context"
	"encoding/json"
	"strconv"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// request is one channel of a subscribe message, owned (not aliasing a frame).
type request struct {
	id      []byte
	channel string
	since   *protocol.Position
	last    int
	rate    float64
	track   int16 // of a stream: place in its tracks, counted from 1; 0: none
	bad     error // the parameters are wrong
}

// subscribe takes a message for one channel or for many.
func (x *Session) subscribe(m *protocol.Message) {
	if len(m.Channels) == 0 {
		x.subscribeAll([]request{newRequest(m.ID, m.Channel, m.Since, m.Data)})
		return
	}
	if m.Channel != "" {
		x.fail(m.ID, m.Channel, protocol.Errorf(protocol.CodeBadRequest, "subscribe takes either channel or channels, not both"))
		return
	}
	list := make([]request, 0, len(m.Channels))
	for _, c := range m.Channels {
		data := c.Data
		if data == nil {
			data = m.Data
		}
		list = append(list, newRequest(m.ID, c.Channel, c.Since, data))
	}
	x.subscribeAll(list)
}

func newRequest(id []byte, name string, since *protocol.Position, data []byte) request {
	r := request{id: append([]byte(nil), id...), channel: string([]byte(name))}
	if since != nil {
		r.since = &protocol.Position{Epoch: string([]byte(since.Epoch)), Offset: since.Offset}
	}
	if len(data) == 0 {
		return r
	}
	var p struct {
		Last *int     `json:"last"`
		Rate *float64 `json:"rate"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		r.bad = protocol.Errorf(protocol.CodeBadRequest, "data of subscribe must be an object with last (a whole number) or rate (a number)")
		return r
	}
	if p.Last != nil {
		r.last = *p.Last
		if r.last < 1 || r.last > maxLast {
			r.bad = protocol.Errorf(protocol.CodeBadRequest, "last must be from 1 to %d", maxLast)
		}
		if since != nil {
			r.bad = protocol.Errorf(protocol.CodeBadRequest, "since and last exclude each other")
		}
	}
	if p.Rate != nil {
		r.rate = *p.Rate
		if _, ok := channel.NewPace(r.rate); !ok {
			r.bad = protocol.Errorf(protocol.CodeBadRequest, "rate must be from %v to %v deliveries per second", channel.MinRate, channel.MaxRate)
		}
	}
	return r
}

// maxLast is the most messages of the past that a subscribe may ask for.
const maxLast = 1000

// subscribeAll takes one request after the other, until one suspends the session.
func (x *Session) subscribeAll(list []request) {
	for i := range list {
		if x.closed {
			return
		}
		if x.suspended != nil {
			x.suspended.requests = append(x.suspended.requests, list[i:]...)
			return
		}
		x.subscribeOne(&list[i])
	}
}

func (x *Session) subscribeOne(r *request) {
	t, err := x.mayFollow(r)
	if err != nil {
		x.fail(r.id, r.channel, err)
		return
	}
	hook := x.hub.server.hooks.Load().Subscribe
	if hook == nil {
		x.follow(r, t)
		return
	}
	c := x.client()
	x.await(func() error { return hook(x.hub.server.ctx, c, r.channel) }, func(err error) {
		if err != nil {
			x.fail(r.id, r.channel, hookError(err))
			return
		}
		x.follow(r, t)
	})
}

func (x *Session) mayFollow(r *request) (node.Target, error) {
	if r.channel == "" {
		return node.Target{}, protocol.Errorf(protocol.CodeBadRequest, "subscribe needs the field channel (or channels)")
	}
	t, err := x.hub.server.node.Resolve(r.channel)
	if err != nil {
		return t, err
	}
	if r.bad != nil {
		return t, r.bad
	}
	if x.find(r.channel) >= 0 {
		return t, protocol.Errorf(protocol.CodeConflict, "this connection is subscribed to %q already", r.channel)
	}
	if limit := x.hub.server.Limits().Subscriptions; len(x.subs) >= limit {
		return t, protocol.Errorf(protocol.CodeLimitExceeded, "this connection has its limit of %d subscriptions (limits.subscriptions)", limit)
	}
	return t, x.permit(channel.OpSubscribe, r.channel, "", t)
}

// follow joins the channel's group and then places the subscription.
func (x *Session) follow(r *request, t node.Target) {
	at := func(g *group, err error) {
		if err != nil {
			x.fail(r.id, r.channel, err)
			return
		}
		x.place(g, r)
	}
	if g := x.hub.groups[r.channel]; g != nil && g.channel != nil {
		at(g, nil)
		return
	}
	resume := x.suspend()
	x.hub.group(r.channel, t, func(g *group, err error) {
		resume(func() { at(g, err) })
	})
}

// placement is where a subscription begins.
type placement struct {
	cursor    channel.Cursor
	state     state
	offset    uint64 // what subscribed says
	answer    string // recovered or not and why; empty: nothing was asked for
	head      uint64
	recovered bool
}

// place finds where the subscription begins: at the head, or where the client
// says it was.
func (x *Session) place(g *group, r *request) {
	epoch, head := g.channel.Position()
	t := g.channel.Target()
	p := placement{cursor: head, state: live, offset: head.Mark, head: head.Mark}
	switch {
	case t.Declaration.State != nil:
		x.placeByState(g, r, t)
		return
	case r.since != nil && t.Declaration.History == nil:
		p.answer = "unknown"
	case r.since != nil && r.since.Epoch != epoch:
		p.answer = "epoch"
	case r.since != nil && r.since.Offset > head.Mark:
		p.answer = "unknown"
	case r.since != nil:
		if c, ok := g.channel.Find(r.since.Offset); ok {
			p = placement{cursor: c, state: lagging, offset: c.Mark, head: head.Mark, recovered: true}
			break
		}
		x.placeByStore(g, r, t, broker.Range{After: r.since.Offset, Limit: 1})
		return
	case r.last > 0 && t.Declaration.History != nil:
		x.placeByStore(g, r, t, broker.Range{Last: r.last, Limit: r.last, Bytes: lastBytes})
		return
	}
	x.begin(g, r, epoch, p, nil)
}

// lastBytes bounds the page that `last` begins with; the newest that fit.
const lastBytes = 4 << 20

// placeByStore asks the store what it still has, and begins there.
func (x *Session) placeByStore(g *group, r *request, t node.Target, rng broker.Range) {
	n := x.hub.server.node
	var page broker.Page
	read := func(ctx context.Context) (err error) {
		page, err = n.Read(ctx, g.name, t, rng)
		return err
	}
	done := func(err error) {
		if err != nil {
			x.fail(r.id, r.channel, err)
			return
		}
		_, head := g.channel.Position()
		p := placement{cursor: head, state: live, offset: head.Mark, head: head.Mark}
		switch {
		case rng.Last > 0 && len(page.Entries) > 0:
			p.offset = page.Entries[0].Prev
			p.cursor, p.state = channel.Cursor{Mark: p.offset}, catching
		case rng.Last > 0:
		case page.Oldest > rng.After:
			p.answer = "trimmed"
		default:
			p.offset, p.recovered = rng.After, true
			p.cursor, p.state = channel.Cursor{Mark: rng.After}, catching
		}
		x.begin(g, r, page.Epoch, p, nil)
	}
	x.whileMaking(g, read, done)
}

// whileMaking asks the store for a subscription that is about to be made.
func (x *Session) whileMaking(g *group, read func(ctx context.Context) error, done func(err error)) {
	if x.hub.server.node.Immediate() {
		done(read(x.hub.server.ctx))
		g.leaveIfEmpty()
		return
	}
	g.pins++ // it has no member yet, and must not go
	resume := x.suspend()
	x.hub.server.background(x.hub.loop, read, func(err error) {
		g.pins--
		resume(func() { x.orClose(err, done) })
		g.leaveIfEmpty()
	})
}

// begin answers and makes the subscription. st is what a state channel
// begins with.
func (x *Session) begin(g *group, r *request, epoch string, p placement, st *snapshot) {
	if x.closed {
		g.leaveIfEmpty()
		return
	}
	h := x.hub
	// The member comes first, so that a stream is told its position with the answer.
	var pc *pacer
	if r.rate > 0 {
		pace, _ := channel.NewPace(r.rate) // checked by newRequest
		pc = &pacer{pace: pace, session: x, name: g.name}
		if p.state == live {
			p.state = resting
		}
	}
	g.add(x, p.cursor, p.state, pc)
	if !g.channel.Target().Declaration.Kept() {
		epoch = ""
	}
	x.track(r, epoch, st != nil)
	m := h.reply(protocol.TypeSubscribed, g.name, r.id)
	if epoch != "" {
		m.Epoch, m.Offset, m.Kept = epoch, p.offset, true
	}
	if r.since != nil {
		d := append(h.data[:0], `{"recovered":`...)
		d = strconv.AppendBool(d, p.recovered)
		if p.answer != "" {
			d = append(d, `,"reason":"`...)
			d = append(d, p.answer...)
			d = append(d, '"')
		} else {
			d = append(d, `,"head":`...)
			d = strconv.AppendUint(d, p.head, 10)
		}
		h.data = append(d, '}')
		m.Data = h.data
	}
	x.link.Send(m)
	if st != nil {
		x.sendState(g.name, st)
	}
	switch p.state {
	case lagging, catching:
		x.schedule()
	case resting, live:
	}
}

// unsubscribe ends a subscription.
func (x *Session) unsubscribe(m *protocol.Message) {
	i := x.find(m.Channel)
	if i < 0 {
		x.fail(m.ID, m.Channel, protocol.Errorf(protocol.CodeNotSubscribed, "this connection is not subscribed to %q", m.Channel))
		return
	}
	x.subs[i].group.remove(x, i)
	x.link.Send(x.hub.reply(protocol.TypeUnsubscribed, m.Channel, m.ID))
}

// recheck ends the subscriptions that the rules no longer allow.
func (x *Session) recheck() {
	for i := len(x.subs) - 1; i >= 0 && !x.closed; i-- {
		name := x.subs[i].group.name
		t, err := x.hub.server.node.Redeclared(name)
		if err == nil {
			err = x.permit(channel.OpSubscribe, name, "", t)
		}
		if err == nil && t.Declaration.Kept() != x.subs[i].group.channel.Kept() {
			err = protocol.Errorf(protocol.CodeConflict, "what channel %q keeps has changed; subscribe again", name)
		}
		if err == nil {
			continue
		}
		x.subs[i].group.remove(x, i)
		x.fail(nil, name, err)
		x.link.Send(x.hub.reply(protocol.TypeUnsubscribed, name, nil))
	}
}
