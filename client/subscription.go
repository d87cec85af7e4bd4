package client

import (
	"context"

	"ringdown/protocol"
)

type subscribeOptions struct {
	last         int
	rate         float64
	buffer       int
	state        bool
	onSubscribed func(recovered bool, reason string)
	onRecovered  func(count int)
	onGap        func(Gap)
	onFailed     func(*Error)
	onState      func(items []*Message)
}

// SubscribeOption changes how a channel is followed. The functions of the options below are
// called by Next, in the place among the messages where things happened.
type SubscribeOption func(*subscribeOptions)

// Last begins with so many of the last messages, 1 to 1,000. Of several subscriptions to one
// channel the first decides, and those that come later begin with what is new.
func Last(n int) SubscribeOption { return func(o *subscribeOptions) { o.last = n } }

// Rate has at most so many deliveries a second, from 0.01 to 50. The first subscription
// to a channel decides.
func Rate(perSecond float64) SubscribeOption { return func(o *subscribeOptions) { o.rate = perSecond } }

// Buffer is how many messages wait for Next. Default 1,024. What comes beyond them is asked
// for again when they were taken, where the channel keeps it; otherwise it is told as a Gap
// with the reason slow.
func Buffer(n int) SubscribeOption { return func(o *subscribeOptions) { o.buffer = max(n, 1) } }

// OnSubscribed is told when delivery begins, and whether it goes on where it was.
func OnSubscribed(fn func(recovered bool, reason string)) SubscribeOption {
	return func(o *subscribeOptions) { o.onSubscribed = fn }
}

// OnRecovered is told when what was missed over a break has come: so many messages.
func OnRecovered(fn func(count int)) SubscribeOption {
	return func(o *subscribeOptions) { o.onRecovered = fn }
}

// OnGap is told that messages are missing for good.
func OnGap(fn func(Gap)) SubscribeOption { return func(o *subscribeOptions) { o.onGap = fn } }

// OnFailed is told when the subscription was refused, also where it is tried again.
func OnFailed(fn func(*Error)) SubscribeOption { return func(o *subscribeOptions) { o.onFailed = fn } }

// OnState is given all that a state channel keeps, in place of what was known.
func OnState(fn func(items []*Message)) SubscribeOption {
	return func(o *subscribeOptions) { o.onState, o.state = fn, true }
}

// Subscription follows a channel until it is closed. One goroutine at a time calls Next.
type Subscription struct {
	r     *room
	o     subscribeOptions
	ready chan struct{} // holds one when there is something for Next

	// The connection's lock guards these.
	queue  []queued
	at     *protocol.Position // up to where it was given what is kept
	behind bool               // something kept did not fit
	missed int                // that did not fit and is not kept
	err    *Error             // to be told by Next
	closed bool
}

// queued is a message, or something to be told.
type queued struct {
	m    *Message
	tell func()
}

// Subscribe follows the channel from now on; Next gives what comes. It does not wait: an
// error comes from Next.
func (ch *Channel) Subscribe(options ...SubscribeOption) *Subscription {
	s := &Subscription{ready: make(chan struct{}, 1), o: subscribeOptions{buffer: ch.c.settings.buffer}}
	for _, o := range options {
		o(&s.o)
	}
	c := ch.c
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	s.r = c.hold(ch.name, &s.o)
	s.r.subs = append(s.r.subs, s)
	s.at = positionOf(s.r.wire)
	if c.conn.state == Closed {
		s.fail(ErrClosed)
	}
	return s
}

// Next returns the next message, and waits for it. Its error is that of ctx, ErrClosed, or
// why the subscription is not allowed: that is told once, and who goes on calling Next
// waits until another token allows it.
func (s *Subscription) Next(ctx context.Context) (*Message, error) {
	for {
		q, err, some := s.take()
		switch {
		case q.m != nil:
			return q.m, nil
		case q.tell != nil:
			q.tell()
			continue
		case err != nil:
			return nil, err
		case some:
			continue
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, gaveUp(ctx)
		}
	}
}

// take takes the first of the queue; some says that there is another look to be had.
func (s *Subscription) take() (q queued, err error, some bool) {
	s.r.c.conn.mu.Lock()
	defer s.r.c.conn.mu.Unlock()
	switch {
	case s.closed:
		return q, ErrClosed, false
	case len(s.queue) > 0:
		q, s.queue = s.queue[0], s.queue[1:]
		return q, nil, true
	case s.err != nil:
		err := s.err
		if err.Code != CodeClosed {
			s.err = nil
		}
		return q, err, false
	case s.behind:
		s.catchUp()
	case s.missed > 0:
		missed := s.missed
		s.missed = 0
		if f := s.o.onGap; f != nil {
			s.queue = append(s.queue, queued{tell: func() { f(Gap{Reason: "slow", Missed: missed}) }})
			return q, nil, true
		}
	}
	return q, nil, false
}

// Close ends the subscription; the channel is followed while others do.
func (s *Subscription) Close() {
	s.r.c.conn.mu.Lock()
	defer s.r.c.conn.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.queue = nil
	s.r.remove(s)
	s.wakeUp()
}

// Below, the lock is held.

// deliver puts a message into the queue; at is where the wire is now.
func (s *Subscription) deliver(m *Message, at *protocol.Position) {
	known := m.Kept && at != nil
	switch {
	case known && s.at != nil && s.at.Epoch == at.Epoch && m.Offset <= s.at.Offset:
		return // of what another subscription asked for again
	case s.behind && known:
		return
	case len(s.queue) >= s.o.buffer && known:
		s.behind = true
		return
	case len(s.queue) >= s.o.buffer:
		s.missed++
		return
	}
	if known {
		here := protocol.Position{Epoch: at.Epoch, Offset: m.Offset}
		s.at = &here
	}
	s.queue = append(s.queue, queued{m: m})
	s.wakeUp()
}

// catchUp asks for what did not fit: from where this one is, whatever others have.
func (s *Subscription) catchUp() {
	s.behind = false
	w := s.r.wire
	if s.at == nil || w.phase != on || w.position == nil || w.position.Epoch != s.at.Epoch {
		return // what comes next says where it begins
	}
	at := *s.at
	w.position = &at
	s.r.c.resubscribe(w)
}

func (s *Subscription) tell(fn func()) {
	s.queue = append(s.queue, queued{tell: fn})
	s.wakeUp()
}

func (s *Subscription) fail(err *Error) {
	s.err = err
	s.wakeUp()
}

func (s *Subscription) wakeUp() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
