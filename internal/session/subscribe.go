package session

import (
	"bytes"
	"math"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// request is one channel of a subscribe message, owned (not aliasing a frame).
type request struct {
	id      []byte
	channel string
	since   *protocol.Position
	given   *uint64 // with since: of the state that the channel had then, what was written up to here was given
	last    int
	rate    float64
	track   int16 // of a stream: place in its tracks, counted from 1; 0: none
	waited  int16 // times that it was put off: see placeLater
	barred  bool  // the past that was asked for is not given: see reach
	listed  bool  // not the first of a list: one that is refused counts as a message
	bad     error // the parameters are wrong
}

// subscribe takes a message for one channel or for many.
func (x *Session) subscribe(m *protocol.Message) {
	if len(m.Channels) == 0 {
		x.subscribeAll([]request{newRequest(bytes.Clone(m.ID), m.Channel, m.Since, m.Data)})
		return
	}
	if m.Channel != "" {
		x.deny("subscribe", m.ID, m.Channel, protocol.Errorf(protocol.CodeBadRequest, "subscribe takes either channel or channels, not both"))
		return
	}
	// What all have in common is read once and not for each.
	all := newRequest(bytes.Clone(m.ID), "", nil, m.Data)
	list := make([]request, 0, len(m.Channels))
	for i, c := range m.Channels {
		r := newRequest(all.id, c.Channel, c.Since, c.Data)
		if r.listed = i > 0; c.Data == nil {
			r.last, r.rate, r.bad = all.last, all.rate, all.bad
			if r.since != nil && r.last > 0 {
				r.bad = errSinceAndLast()
			}
		}
		list = append(list, r)
	}
	x.subscribeAll(list)
}

func errSinceAndLast() error {
	return protocol.Errorf(protocol.CodeBadRequest, "since and last exclude each other")
}

// newRequest makes a request of its parts. It keeps id.
func newRequest(id []byte, name string, since *protocol.Position, data []byte) request {
	r := request{id: id, channel: string([]byte(name))}
	if since != nil {
		r.since = &protocol.Position{Epoch: string([]byte(since.Epoch)), Offset: since.Offset}
	}
	if len(data) == 0 {
		return r
	}
	r.bad = r.params(data)
	return r
}

// params reads what data says of the subscription.
func (r *request) params(data []byte) error {
	var last *uint64
	var rate *float64
	err := protocol.Members("data of subscribe", data, func(name string, value []byte) (err error) {
		switch name {
		case "last":
			last, err = protocol.Whole(name, value)
		case "rate":
			rate, err = protocol.Number(name, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	if last != nil {
		if *last < 1 || *last > maxLast {
			return protocol.Errorf(protocol.CodeBadRequest, "last must be from 1 to %d", maxLast)
		}
		if r.since != nil {
			return errSinceAndLast()
		}
		r.last = int(*last)
	}
	if rate != nil {
		if _, ok := channel.NewPace(*rate); !ok {
			return protocol.Errorf(protocol.CodeBadRequest, "rate must be from %v to %v deliveries per second", channel.MinRate, channel.MaxRate)
		}
		r.rate = *rate
	}
	return nil
}

// maxLast is the most messages of the past that a subscribe may ask for.
const maxLast = 1000

// subscribeTurn is how long a list of subscriptions may keep the loop from others.
const subscribeTurn = time.Millisecond

// subscribeAll takes one request after the other, until one suspends the session,
// the peer is to read first what it was answered, or others are to have a turn.
func (x *Session) subscribeAll(list []request) {
	begun := time.Now()
	for i := range list {
		if x.closed || x.ending {
			return
		}
		switch {
		case x.suspended != nil:
		case x.link.Blocked():
			x.pause()
		case i > 0 && time.Since(begun) > subscribeTurn:
			x.yield()
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
		if r.listed {
			x.spend()
		}
		x.deny("subscribe", r.id, r.channel, err)
		return
	}
	x.claim(r)
	hook := x.hub.server.hooks.Load().Subscribe
	if hook == nil || x.byServer() {
		x.follow(r, t)
		return
	}
	c := x.client()
	x.await(func() error { return hook(x.hub.server.ctx, c, r.channel) }, func(err error) {
		if err != nil {
			x.deny("subscribe", r.id, r.channel, hookError(err))
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
	if limit := x.hub.server.Limits().Subscriptions; x.subscriptions() >= limit {
		return t, protocol.Errorf(protocol.CodeLimitExceeded, "this connection has its limit of %d subscriptions (limits.connection.subscriptions)", limit).WithLimit("limits.connection.subscriptions")
	}
	if x.stream != nil && x.subscriptions() >= cursor.MaxChannels {
		return t, protocol.Errorf(protocol.CodeLimitExceeded, "a stream follows at most %d channels, which is what its cursor can hold; open another one", cursor.MaxChannels).WithLimit("stream.channels")
	}
	return t, x.permit(channel.OpSubscribe, r.channel, "", t)
}

// follow joins the channel's group and then places the subscription. Whoever may
// see the channel's members follows the log of them first: what changes after
// subscribed was answered is told.
func (x *Session) follow(r *request, t node.Target) {
	if !x.mayWatch(r.channel, t) {
		x.join(r, t)
		return
	}
	log, target := node.PresenceLog(r.channel)
	x.withGroup(log, target, func(g *group, err error) {
		if err != nil {
			x.deny("subscribe", r.id, r.channel, err)
			return
		}
		_, head := g.channel.Position()
		g.add(x, placement{cursor: head, state: held}, nil)
		x.join(r, t)
	})
}

func (x *Session) join(r *request, t node.Target) {
	x.withGroup(r.channel, t, func(g *group, err error) {
		if err != nil {
			x.decline(r, err)
			return
		}
		x.place(g, r)
	})
}

// withGroup waits for the group of a channel.
func (x *Session) withGroup(name string, t node.Target, ready func(g *group, err error)) {
	if g := x.hub.groups[name]; g != nil && g.channel != nil {
		ready(g, nil)
		return
	}
	resume := x.suspend()
	x.hub.group(name, t, func(g *group, err error) {
		resume(func() { ready(g, err) })
	})
}

// decline answers a subscription that cannot be made after all.
func (x *Session) decline(r *request, err error) {
	x.unwatch(r.channel)
	x.deny("subscribe", r.id, r.channel, err)
}

// placement is where a subscription begins.
type placement struct {
	cursor    channel.Cursor
	state     state
	offset    uint64 // what subscribed says
	answer    string // recovered or not and why; empty: nothing was asked for
	head      uint64
	recovered bool
	task      *task // catching and walking
	page      *page // what it is given first, where that was read already
}

// place finds where the subscription begins: at the head, or where the client
// says it was.
func (x *Session) place(g *group, r *request) {
	g.fresh() // who is a member already is told before anybody joins with a position of now
	at, held := g.find(r.since)
	epoch, head := g.channel.Position()
	t := g.channel.Target()
	x.barLast(r, t)
	held = held && !x.tooOld(g, r, t, at)
	p := placement{cursor: head, state: live, offset: head.Mark, head: head.Mark}
	switch {
	case r.given != nil && t.Declaration.State == nil:
		p.answer = "epoch" // it had begun with a state that the channel has no more
	case t.Declaration.State != nil && (r.since == nil || r.given != nil || t.Declaration.History == nil):
		x.placeByState(g, r, t)
		return
	case r.since != nil && t.Declaration.History == nil:
		p.answer = "unknown"
	case r.since != nil && r.since.Epoch != epoch:
		p.answer = "epoch"
		if t.Declaration.State != nil {
			x.placeAnew(g, r, t, p.answer)
			return
		}
		// Perhaps it is this node that has not heard of the client's epoch yet.
		x.placeByStore(g, r, t, ask{channel: g.name, after: r.since.Offset, bytes: pullBytes})
		return
	case r.since != nil:
		if held {
			p = placement{cursor: at, state: lagging, offset: at.Mark, head: head.Mark, recovered: true}
			break
		}
		// Before what the ring holds, or not come here yet.
		x.placeByStore(g, r, t, ask{channel: g.name, after: r.since.Offset, bytes: pullBytes})
		return
	case r.last > 0 && t.Declaration.History != nil && !r.barred:
		x.placeByStore(g, r, t, ask{channel: g.name, last: r.last, limit: r.last, bytes: pullBytes})
		return
	}
	x.begin(g, r, epoch, p)
}

// find is channel.Find for a position that is perhaps not there. It is asked
// before the epoch is: one that changes between the two is then not the client's.
func (g *group) find(since *protocol.Position) (channel.Cursor, bool) {
	if since == nil {
		return channel.Cursor{}, false
	}
	return g.channel.Find(since.Offset)
}

// placeByStore asks the store what it still has, and begins there.
func (x *Session) placeByStore(g *group, r *request, t node.Target, a ask) {
	x.whileMaking(g, r, a, t, func(read page) {
		epoch, head := g.channel.Position()
		p := placement{cursor: head, state: live, offset: head.Mark, head: read.head}
		if read.epoch == epoch && read.head > head.Mark {
			// The client may have been further than the feed has come by now.
			p.cursor, p.state, p.offset = channel.Cursor{Mark: read.head}, ahead, read.head
		}
		switch {
		case read.epoch != epoch && t.Declaration.State == nil:
			// The store is in an epoch that the feed has not told of yet.
			x.placeLater(g, r)
			return
		case read.epoch != epoch:
			if r.since != nil {
				p.answer = "epoch"
			}
		case a.last > 0 && len(read.entries) == 0:
		case a.last > 0:
			p.offset = read.entries[0].Prev
		case read.epoch != r.since.Epoch:
			p.answer = "epoch"
		case a.after > read.head:
			x.hub.server.node.Claimed(g.name, *r.since)
			p.answer = "unknown"
		case a.after < read.floor:
			p.answer = "trimmed"
		case len(read.entries) > 0 && read.entries[0].Time < x.reach(r, t):
			p.answer = "forbidden"
		default:
			p.offset, p.recovered = a.after, true
		}
		if p.recovered || read.epoch == epoch && len(read.entries) > 0 && a.last > 0 {
			p.cursor, p.state = channel.Cursor{Mark: p.offset}, catching
			p.task, p.page = &task{}, &read
		} else if t.Declaration.State != nil {
			x.placeAnew(g, r, t, p.answer)
			return
		}
		x.begin(g, r, epoch, p)
	})
}

// later is a subscription that waits for the feed to come to the epoch of the
// store. Where it would begin until then, the client has been perhaps: it would
// be given the same again, or be taken back to an epoch that has ended.
type later struct {
	timer   reactor.Timer
	session *Session
	group   *group
	request *request
	resume  func(fn func())
}

// How long a feed may be behind.
const (
	laterTick  = 100 * time.Millisecond
	laterTicks = 50
)

// placeLater tries again in a moment.
func (x *Session) placeLater(g *group, r *request) {
	if r.waited++; r.waited > laterTicks {
		x.decline(r, &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: time.Second,
			Message: "this node has not heard from its store for a while; try again"})
		return
	}
	g.pins++
	l := &later{session: x, group: g, request: r, resume: x.suspend()}
	x.hub.loop.Arm(&l.timer, laterTick, l)
}

// Fire tries again.
func (l *later) Fire(*reactor.Loop) {
	l.resume(func() { l.session.place(l.group, l.request) })
	l.group.pins--
	l.group.leaveIfEmpty()
}

// whileMaking asks the store for a subscription that is about to be made.
func (x *Session) whileMaking(g *group, r *request, a ask, t node.Target, done func(p page)) {
	g.pins++ // it has no member yet, and must not go
	unpin := func() {
		g.pins--
		g.leaveIfEmpty()
	}
	era := g.channel.Era()
	x.read(a, t, true, unpin, func(p page) {
		if g.channel.Era() != era {
			g.fresh()
			x.whileMaking(g, r, a, t, done) // the page may be of the epoch before
			return
		}
		done(p)
	}, func(err error) { x.decline(r, err) })
}

// begin answers and makes the subscription.
func (x *Session) begin(g *group, r *request, epoch string, p placement) {
	if x.closed {
		g.leaveIfEmpty()
		return
	}
	// The member comes first, so that a stream is told its position with the answer.
	var pc *pacer
	if r.rate > 0 {
		pace, _ := channel.NewPace(r.rate) // checked by newRequest
		pc = &pacer{pace: pace, session: x, name: g.name}
		if p.state == live {
			p.state = resting
		}
	}
	at := g.add(x, p, pc)
	if !g.channel.Target().Declaration.Kept() {
		epoch = ""
	}
	x.track(r, epoch, p.task != nil && p.task.snapshot)
	e := &event.Subscribed{ID: r.id, Channel: g.name, Kept: epoch != "", Position: protocol.Position{Epoch: epoch, Offset: p.offset},
		Asked: r.since != nil, Lost: p.answer, Head: p.head, Barred: r.barred}
	x.link.Send(e)
	switch {
	case x.closed:
	case p.page != nil:
		g.give(at, p.page)
		if !x.closed && !x.pulling {
			x.settled()
		}
	case p.state == lagging:
		x.schedule()
	}
	x.beginWatch(g.name, g.channel.Target())
}

// unsubscribe ends a subscription.
func (x *Session) unsubscribe(m *protocol.Message) {
	i := x.find(m.Channel)
	if i < 0 {
		x.deny("unsubscribe", m.ID, m.Channel, protocol.Errorf(protocol.CodeNotSubscribed, "this connection is not subscribed to %q", m.Channel))
		return
	}
	x.drop(i)
	hook := x.hub.server.hooks.Load().Unsubscribe
	if hook == nil || x.byServer() {
		x.link.Send(&event.Unsubscribed{ID: m.ID, Channel: m.Channel})
		return
	}
	c, m := x.client(), m.Clone()
	x.await(func() error { hook(c, m.Channel); return nil }, func(error) {
		x.link.Send(&event.Unsubscribed{ID: m.ID, Channel: m.Channel})
	})
}

// recheck ends the subscriptions that the rules no longer allow.
func (x *Session) recheck() {
	// Nobody asked for this, so it is not theirs to pay.
	defer func(own channel.Budget) { x.judging = own }(x.judging)
	x.judging = channel.NewBudget(math.MaxInt)
	for i := len(x.subs) - 1; i >= 0 && !x.closed; i-- {
		if i >= len(x.subs) || x.subs[i].group.watch() {
			continue // it went with its channel, or does
		}
		name := x.subs[i].group.name
		t, err := x.hub.server.node.Redeclared(name)
		if err == nil {
			err = x.permit(channel.OpSubscribe, name, "", t)
		}
		if err == nil && t.Declaration.Kept() != x.subs[i].group.channel.Kept() {
			err = protocol.Errorf(protocol.CodeConflict, "what channel %q keeps has changed; subscribe again", name)
		}
		if err == nil {
			x.recheckPresence(name, t)
			continue
		}
		x.drop(i)
		x.hearEnd([]string{name})
		x.deny("subscribe", nil, name, err)
		x.link.Send(&event.Unsubscribed{Channel: name})
	}
}
