package session

import (
	"context"
	"errors"
	"time"

	"ringdown/internal/delivery"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// suspension is a session that waits for something: what it was given
// meanwhile, in order.
type suspension struct {
	opening  *delivery.Opening // the subscription that it waits for, if that is what it does
	drained  func()            // what is to be done when the peer has read; nil: it does not wait for that
	requests []request         // subscriptions that come after
	deferred []deferred
	bytes    int
}

// deferred is a message that waits for its turn.
type deferred struct {
	message *protocol.Message
	err     error // it was refused already, and only waits to be told so
	bytes   int
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

// ask is wait for what may answer on any goroutine.
func (x *Session) ask(start func(answer func(error)), then func(err error)) {
	x.wait(func(answer func(error)) { x.hub.loop.Here(start, answer) }, then)
}

// wait calls start and goes on with then when it has answered: on the loop, perhaps
// before it returns. Until then the session is suspended.
func (x *Session) wait(start func(answer func(error)), then func(err error)) {
	var resume func(fn func())
	done := false
	start(func(err error) {
		if done = true; resume == nil {
			then(err)
		} else {
			resume(func() { then(err) })
		}
	})
	if !done {
		resume = x.suspend()
	}
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
	for i, d := range s.deferred {
		if x.closed || x.ending {
			return
		}
		if x.suspended == nil && x.link.Blocked() {
			x.pause()
		}
		if x.suspended != nil {
			for _, d := range s.deferred[i:] {
				x.suspended.add(d)
			}
			return
		}
		x.handle(d.message, d.err)
	}
}

func (s *suspension) add(d deferred) {
	s.bytes += d.bytes
	s.deferred = append(s.deferred, d)
}

// pause makes the session wait until the peer has read what it was sent.
func (x *Session) pause() { x.unblocked(func() {}) }

// yield lets others on the loop have a turn.
func (x *Session) yield() {
	resume := x.suspend()
	x.hub.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { resume(func() {}) }))
}

// unblocked runs fn when the peer has taken what it was sent before: answers
// are large beside their requests, and must not pile up for who does not read.
func (x *Session) unblocked(fn func()) {
	if !x.link.Blocked() {
		fn()
		return
	}
	resume := x.suspend()
	x.suspended.drained = func() { resume(fn) }
}

// What a message takes that waits, besides its parts, and one channel of its list.
const (
	deferredBytes = 256
	listedBytes   = 96
)

// mostDeferred is how many bytes of messages may wait. What is already read is at
// most a read buffer, for reading has paused; but small messages take more as
// messages than they did as frames. A page that subscribes to all it needs in one
// go must get through.
func (x *Session) mostDeferred() int {
	_, burst := x.messageRate()
	return 2*x.MaxMessage() + deferredBytes*burst
}

// full says that no more messages can wait.
func (x *Session) full() error {
	if x.suspended == nil || x.suspended.bytes <= x.mostDeferred() {
		return nil
	}
	return &protocol.Error{Code: protocol.CodeLimitExceeded, Retryable: true, RetryAfter: time.Second, Reason: "pending",
		Message: "too many messages while an earlier one is still being worked on; wait for its answer"}
}

// deferMessage keeps a message that was already read when the session was suspended.
func (x *Session) deferMessage(m *protocol.Message, err error) {
	if full := x.full(); full != nil {
		if x.link.Blocked() {
			// It sends on and on and does not read the answers.
			x.cutOff(protocol.CloseRateLimited, full)
			return
		}
		x.deny(actionOf(m), m.ID, m.Channel, full)
		return
	}
	n := deferredBytes + len(m.Data) + len(m.Channel) + len(m.Key) + len(m.Token)
	for i := range m.Channels {
		n += listedBytes + len(m.Channels[i].Channel) + len(m.Channels[i].Data)
	}
	x.suspended.add(deferred{m.Clone(), err, n})
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

// hookError is what a client is told when a hook returned err: what the hook
// says, if it means to refuse, and otherwise that the application failed, whose
// cause is for the log.
func hookError(err error) error {
	var e *protocol.Error
	if errors.As(err, &e) {
		return err
	}
	return &failedHook{protocol.Errorf(protocol.CodeUnavailable, "the application could not answer just now; try again").WithReason("hook"), err}
}

// failedHook is a hook's failure, with what it failed on.
type failedHook struct {
	told  *protocol.Error
	cause error
}

func (f *failedHook) Error() string { return f.told.Error() + ": " + f.cause.Error() }
func (f *failedHook) Unwrap() error { return f.told }
