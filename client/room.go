package client

import (
	"slices"

	"ringdown/protocol"
)

// room is one channel in use: what there is of it on the wire, and who follows it. The
// connection's lock guards it.
type room struct {
	c       *Client
	name    string
	since   int // rooms are in the order in which they were first followed
	wire    *wire
	subs    []*Subscription
	members *attendance
	retry   timer
	holds   int
}

// hold has the channel followed; whoever calls it calls release.
func (c *Client) hold(name string, o *subscribeOptions) *room {
	r := c.rooms[name]
	if r == nil {
		c.lastID++
		r = &room{c: c, name: name, since: int(c.lastID), retry: timer{c: c.conn}}
		c.rooms[name] = r
	}
	r.holds++
	if r.wire == nil {
		r.wire = &wire{name: name, follower: r, last: o.last, rate: o.rate}
	}
	if r.wire.phase == hasEnded {
		r.wire.phase = off // the program asks again
	}
	if o.state && r.wire.phase == off {
		r.wire.keyed = true
	}
	c.need()
	c.subscribeSoon(r.wire)
	return r
}

func (r *room) release() {
	if r.holds--; r.holds > 0 {
		return
	}
	w := r.wire
	delete(r.c.rooms, r.name)
	r.retry.stop()
	if r.c.conn.live() && (w.phase == on || w.phase == asked) {
		r.c.conn.send(&protocol.Message{Type: protocol.TypeUnsubscribe, Channel: r.name})
	}
	w.phase = hasEnded
}

// end ends all that follows the channel.
func (r *room) end(why *Error) {
	for _, s := range r.subs {
		s.fail(why)
	}
	if r.members != nil {
		r.members.failed(why)
	}
}

// lost is called when the line is gone.
func (r *room) lost() {
	r.wire.lost()
	if r.members != nil {
		r.members.down()
	}
}

// deliver implements follower.
func (r *room) deliver(m *protocol.Message) {
	out := messageOf(m)
	for _, s := range r.subs {
		s.deliver(out, r.wire.position)
	}
}

// subscribed implements follower.
func (r *room) subscribed(recovered *bool, reason string) {
	for _, s := range r.subs {
		if recovered == nil || !*recovered {
			s.at = positionOf(r.wire)
		}
		if f := s.o.onSubscribed; f != nil {
			s.tell(func() { f(recovered != nil && *recovered, reason) })
		}
	}
	if r.members != nil {
		r.members.up()
	}
}

func positionOf(w *wire) *protocol.Position {
	p := w.position
	if p == nil {
		p = w.due
	}
	if p == nil {
		return nil
	}
	at := *p
	return &at
}

// recovered implements follower.
func (r *room) recovered(count int) {
	for _, s := range r.subs {
		if f := s.o.onRecovered; f != nil {
			s.tell(func() { f(count) })
		}
	}
}

// gap implements follower.
func (r *room) gap(g Gap) {
	for _, s := range r.subs {
		if at := positionOf(r.wire); at != nil {
			s.at = at
		}
		if f := s.o.onGap; f != nil {
			s.tell(func() { f(g) })
		}
	}
}

// failed implements follower.
func (r *room) failed(err *Error) {
	for _, s := range r.subs {
		if f := s.o.onFailed; f != nil {
			s.tell(func() { f(err) })
		}
		if !err.Retryable {
			s.fail(err)
		}
	}
	if r.members != nil && !err.Retryable {
		r.members.failed(err)
	}
}

// snapshot implements follower.
func (r *room) snapshot(items []*protocol.Message) {
	list := make([]*Message, len(items))
	for i, m := range items {
		list[i] = messageOf(m)
	}
	for _, s := range r.subs {
		if f := s.o.onState; f != nil {
			s.tell(func() { f(list) })
		}
	}
}

// presence implements follower.
func (r *room) presence(m *protocol.Message) {
	if r.members != nil {
		r.members.told(m)
	}
}

func (r *room) remove(s *Subscription) {
	r.subs = slices.DeleteFunc(r.subs, func(other *Subscription) bool { return other == s })
	r.release()
}
