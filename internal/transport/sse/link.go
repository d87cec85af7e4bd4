package sse

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// link is a stream: a session's link and a reactor's handler in one object. It
// belongs to its loop.
type link struct {
	opts    *Options
	rc      *reactor.Conn
	session *session.Session
	opening *opening // until the head was sent; nil from then on
	timer   reactor.Timer
	early   uint8 // how much earlier than others it is sent comments, of 256 parts
	closing bool
	chunked bool  // over HTTP/1.1: each write is a chunk
	heard   int16 // bytes that came in, which none should
	why     error // for Closed
}

// opening is what is needed only until the answer has begun.
type opening struct {
	server *session.Server
	open   session.Open
	begin  func(status int, e *protocol.Error) // sends the head; e is nil for a stream, and else the whole answer
	failed *protocol.Error                     // the last error that the session told of
}

// mostHeard is how much a client may send behind its request: nothing has a
// meaning there.
const mostHeard = 4 << 10

var (
	errDead    = errors.New("the peer is gone without a word")
	errStalled = errors.New("the peer takes nothing of what waits for it")
	errNoise   = errors.New("the peer sends what nobody asked for")
)

// start begins the session, on the loop.
func (l *link) start(rc *reactor.Conn) {
	l.rc = rc
	l.early = uint8(rand.N(256))
	l.opening.server.Open(l, l.opening.open)
}

// Attach implements session.Stream.
func (l *link) Attach(x *session.Session) { l.session = x }

// Heartbeat implements session.Stream.
func (l *link) Heartbeat() time.Duration { return l.opts.Heartbeat }

// Settled implements session.Stream.
func (l *link) Settled() {}

// AppendEvent implements session.Stream.
func (l *link) AppendEvent(dst, line []byte) []byte {
	if !l.chunked {
		return appendEvent(dst, line, l.session)
	}
	return closeChunk(appendEvent(append(dst, chunkRoom...), line, l.session), len(dst))
}

// chunk returns text in the form in which the transfer has it.
func (l *link) chunk(text []byte) []byte {
	if !l.chunked {
		return text
	}
	return closeChunk(append([]byte(chunkRoom), text...), 0)
}

// Loop implements session.Link.
func (l *link) Loop() *reactor.Loop { return l.rc.Loop() }

// Form implements session.Link.
func (l *link) Form() channel.Form { return channel.FormLine }

// Offer implements session.Link.
func (l *link) Offer(events []byte) int {
	if l.closing {
		return len(events)
	}
	return l.rc.Offer(events)
}

// Share implements session.Link.
func (l *link) Share(rest []byte) {
	if !l.closing {
		l.rc.Share(rest)
	}
}

// Blocked implements session.Link.
func (l *link) Blocked() bool { return l.rc != nil && l.rc.Blocked() }

// PauseRead implements session.Link. What comes in by POST is deferred by the
// session, and reading goes on, to hear of the peer's end.
func (l *link) PauseRead() {}

// ResumeRead implements session.Link.
func (l *link) ResumeRead() {}

// Send implements session.Link. The head waits for the session's first word, so
// that who is not let in gets a status.
func (l *link) Send(e event.Event) {
	if l.closing {
		return
	}
	if o := l.opening; o != nil {
		if e, ok := e.(*event.Error); ok {
			o.failed = e.Err
			return
		}
		l.opening = nil
		o.begin(200, nil)
		l.Loop().Arm(&l.timer, l.patience(), l)
		l.rc.Send(l.chunk(appendEvent(appendRetry(nil, comeback()), appendText(nil, e), l.session)))
		return
	}
	buf := l.Loop().Buffer()
	line := appendText(buf, e)
	l.rc.Send(l.AppendEvent(line[len(line):], line))
}

// Close implements session.Link.
func (l *link) Close(code protocol.CloseCode, reason string) {
	if l.closing {
		return
	}
	if l.why == nil {
		l.why = fmt.Errorf("closed with %d %s", code, reason)
	}
	if o := l.opening; o != nil {
		l.opening = nil
		e := o.failed
		if e == nil {
			e = &protocol.Error{Code: protocol.CodeUnavailable, Message: reason, Retryable: true}
		}
		o.begin(e.Code.HTTPStatus(), e)
	} else {
		l.finish(code, reason)
	}
	l.closing = true
	l.rc.CloseAfterFlush(closeGrace)
}

// finish says the last that there is to say on a stream, and that it was the last.
func (l *link) finish(code protocol.CloseCode, reason string) {
	if last := event.Closing(code, reason); last != nil {
		l.rc.Send(l.chunk(appendData(nil, appendText(nil, last))))
	}
	if l.chunked {
		l.rc.Send([]byte(lastChunk))
	}
}

// Data implements reactor.Handler: nothing is to come.
func (l *link) Data(c *reactor.Conn, p []byte) {
	if len(p) > mostHeard-int(l.heard) {
		c.Close(errNoise)
		return
	}
	l.heard += int16(len(p))
}

// Drained implements reactor.Handler.
func (l *link) Drained(*reactor.Conn) { l.session.Drained() }

// Closed implements reactor.Handler.
func (l *link) Closed(rc *reactor.Conn, err error) {
	rc.Loop().Disarm(&l.timer)
	if l.why != nil {
		err = l.why
	}
	l.closing = true
	if l.session != nil {
		l.session.Closed(err)
	}
	l.rc = nil
}

// ReactorConn names the connection to the loop, so that a panic in a timer's
// callback costs this one.
func (l *link) ReactorConn() *reactor.Conn { return l.rc }

// patience is how long nothing may be sent: drawn, so that those who were last
// sent the same message are not sent their comments at once.
func (l *link) patience() time.Duration {
	d := l.opts.Heartbeat
	return d - d/5*time.Duration(l.early)/256
}

// Fire sends a comment if nothing was sent for a while, so that proxies keep the
// line open, and looks whether anybody is still there. The timer is not moved by
// what is sent, which would cost every message.
func (l *link) Fire(loop *reactor.Loop) {
	if l.closing {
		return
	}
	silent := loop.Now().Sub(l.rc.LastWrite())
	next := l.opts.Heartbeat
	switch {
	case l.rc.Dead():
		l.rc.Close(errDead)
		return
	case l.rc.Blocked() && silent >= l.opts.StalledTimeout:
		l.rc.Close(errStalled)
		return
	case l.rc.Blocked():
	case silent < l.patience():
		next = l.patience() - silent
	default:
		l.rc.Send(l.chunk([]byte(heartbeat)))
		next = l.patience()
	}
	loop.Arm(&l.timer, next, l)
}
