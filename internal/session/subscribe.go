package session

import (
	"bytes"
	"math"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/delivery"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// A subscription is decided here: what was asked for, whether the rules and the
// application allow it. Then delivery.Opening makes it.

// request is one channel of a subscribe message, owned (not aliasing a frame).
type request struct {
	id      []byte
	channel string
	want    channel.Want
	rate    float64
	track   int16 // of a stream that began with it: see delivery.Opening.Track
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
			r.want.Last, r.rate, r.bad = all.want.Last, all.rate, all.bad
			if r.want.Since != nil && r.want.Last > 0 {
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
		r.want.Since = &protocol.Position{Epoch: string([]byte(since.Epoch)), Offset: since.Offset}
	}
	if len(data) > 0 {
		r.bad = r.params(data)
	}
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
		if r.want.Since != nil {
			return errSinceAndLast()
		}
		r.want.Last = int(*last)
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
	if x.out.Find(r.channel) >= 0 {
		return t, protocol.Errorf(protocol.CodeConflict, "this connection is subscribed to %q already", r.channel)
	}
	if limit := x.hub.server.Limits().Subscriptions; x.out.Len() >= limit {
		return t, protocol.Errorf(protocol.CodeLimitExceeded, "this connection has its limit of %d subscriptions (limits.connection.subscriptions)", limit).WithLimit("limits.connection.subscriptions")
	}
	if x.has().stream != nil && x.out.Len() >= cursor.MaxChannels {
		return t, protocol.Errorf(protocol.CodeLimitExceeded, "a stream follows at most %d channels, which is what its cursor can hold; open another one", cursor.MaxChannels).WithLimit("stream.channels")
	}
	return t, x.permit(channel.OpSubscribe, r.channel, "", t)
}

// follow makes a subscription that was allowed. The session waits until it is
// answered.
func (x *Session) follow(r *request, t node.Target) {
	o := &delivery.Opening{ID: r.id, Channel: r.channel, Target: t, Want: r.want, Rate: r.rate, Track: r.track, Watch: x.mayWatch(r.channel, t)}
	x.bound(o)
	x.wait(func(answer func(error)) { x.out.Subscribe(o, answer) }, func(err error) {
		if err != nil {
			x.deny("subscribe", r.id, r.channel, err)
		}
	})
	if x.suspended != nil {
		x.suspended.opening = o
	}
}

// bound keeps what x may not read out of what a subscription begins with. Recovery
// belongs to the right to subscribe, and the past to the right to read history. Who
// has the first alone is given what a lost connection made it miss: nothing that is
// older than the channel's resume, and not the last messages of a past that it was
// never there for.
func (x *Session) bound(o *delivery.Opening) {
	d := o.Target.Declaration
	if d.History == nil || o.Want.Since == nil && o.Want.Last == 0 || x.permit(channel.OpHistory, o.Channel, "", o.Target) == nil {
		return
	}
	if o.Want.Since != nil {
		o.Want.Oldest = time.Now().Add(-d.Resume).UnixMilli()
	}
	o.Barred, o.Want.Last = o.Want.Last > 0, 0
}

// unsubscribe ends a subscription.
func (x *Session) unsubscribe(m *protocol.Message) {
	i := x.out.Find(m.Channel)
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

// drop ends subscription i with all that hangs on it.
func (x *Session) drop(i int) {
	x.depart(x.out.Channel(i), node.Departure{Said: true})
	x.out.Unsubscribe(i)
}

// recheck ends the subscriptions that the rules no longer allow, also the one that is
// being made.
func (x *Session) recheck() {
	// Nobody asked for this, so it is not theirs to pay.
	defer func(own channel.Budget) { x.judging = own }(x.judging)
	x.judging = channel.NewBudget(math.MaxInt)
	if x.suspended != nil && x.suspended.opening != nil {
		o := x.suspended.opening
		if _, err := x.stillFollows(o.Channel, o.Target.Declaration.Kept()); err != nil {
			o.Refuse(err)
		}
	}
	for i := x.out.Len() - 1; i >= 0 && !x.closed; i-- {
		name := x.out.Channel(i)
		t, err := x.stillFollows(name, x.out.Kept(i))
		if err == nil {
			x.recheckPresence(i, t)
			continue
		}
		x.drop(i)
		x.hearEnd([]string{name})
		x.deny("subscribe", nil, name, err)
		x.link.Send(&event.Unsubscribed{Channel: name})
	}
}

// stillFollows returns what a channel is declared as now, and an error if x may not be
// subscribed to it any more. kept says whether it kept messages before.
func (x *Session) stillFollows(name string, kept bool) (node.Target, error) {
	t, err := x.hub.server.node.Redeclared(name)
	if err == nil {
		err = x.permit(channel.OpSubscribe, name, "", t)
	}
	if err == nil && t.Declaration.Kept() != kept {
		err = protocol.Errorf(protocol.CodeConflict, "what channel %q keeps has changed; subscribe again", name)
	}
	return t, err
}
