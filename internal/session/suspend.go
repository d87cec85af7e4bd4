package session

import (
	"context"
	"errors"
	"time"

	"ringdown/protocol"
)

// suspension is a session that waits for something: what it was given
// meanwhile, in order.
type suspension struct {
	requests []request // subscriptions that come after the one it waits for
	deferred []*protocol.Message
	bytes    int
}

// await runs work on a goroutine while the session is suspended, then calls
// done on the loop and goes on with what was deferred. The session must not be
// suspended already.
func (x *Session) await(work func() error, done func(err error)) {
	resume := x.suspend()
	x.hub.server.background(x.hub.loop, func(context.Context) error { return work() }, func(err error) {
		resume(func() { x.orClose(err, done) })
	})
}

// suspend makes the session wait. The returned function ends that: it runs fn,
// and then what was deferred, unless the session closed meanwhile.
func (x *Session) suspend() (resume func(fn func())) {
	s := &suspension{}
	x.suspended = s
	x.link.PauseRead()
	return func(fn func()) {
		if x.closed {
			return
		}
		x.suspended = nil
		fn()
		x.catchUp(s)
		if x.suspended == nil && !x.closed {
			x.link.ResumeRead()
			x.settled()
		}
	}
}

// catchUp goes on with what s deferred, unless something suspends again.
func (x *Session) catchUp(s *suspension) {
	if x.suspended == nil {
		x.subscribeAll(s.requests)
	} else {
		x.suspended.requests = append(x.suspended.requests, s.requests...)
	}
	for i, m := range s.deferred {
		if x.closed {
			return
		}
		if x.suspended != nil {
			x.suspended.deferred = append(x.suspended.deferred, s.deferred[i:]...)
			return
		}
		x.dispatch(m)
	}
}

// deferMessage keeps a message that was already read when the session was suspended.
func (x *Session) deferMessage(m *protocol.Message) {
	s := x.suspended
	// What is already read is at most a read buffer, for reading has paused; but
	// small messages take more as messages than they did as frames. A page that
	// subscribes to all it needs in one go must get through.
	const overhead = 256
	s.bytes += len(m.Data) + len(m.Channel) + len(m.Token) + overhead
	if s.bytes > 2*x.MaxMessage() {
		x.fail(m.ID, m.Channel, &protocol.Error{Code: protocol.CodeLimitExceeded, Retryable: true, RetryAfter: time.Second,
			Message: "too many messages while an earlier one is still being worked on; wait for its answer"})
		return
	}
	s.deferred = append(s.deferred, m.Clone())
}

// orClose calls done with err, but for a panic: that costs the connection.
func (x *Session) orClose(err error, done func(error)) {
	var p *panicked
	if errors.As(err, &p) {
		x.fail(nil, "", protocol.Errorf(protocol.CodeInternal, "the server failed on this request; the connection is closed"))
		x.end(protocol.CloseInternal)
		return
	}
	done(err)
}

// hookError is what a client is told of a hook's refusal.
func hookError(err error) *protocol.Error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e
	}
	return protocol.Errorf(protocol.CodeForbidden, "the application refused")
}
