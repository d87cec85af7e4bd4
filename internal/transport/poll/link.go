package poll

import (
	"bytes"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/transport"
	"ringdown/protocol"
)

// mostAnswered is how many bytes of messages end an answer. One message may pass
// it, and so may a state, which is only good as a whole.
const mostAnswered = 512 << 10

// errorPause is how long an answer that has nothing but errors is held back, so
// that a client that asks again at once, for what it may not follow, does not
// ask all the time.
const errorPause = time.Second

// mostSettling is how long a request that does not wait may take to find what
// there is.
const mostSettling = 10 * time.Second

// link is one request: a session's link that collects what the peer is to be
// given. It belongs to its loop.
type link struct {
	loop     *reactor.Loop
	wait     time.Duration
	resumed  bool // there was a cursor
	answered chan answer

	session *session.Session
	text    []byte // messages, each with a comma behind it
	timer   reactor.Timer
	failed  *protocol.Error // told before the welcome
	open    bool            // welcome
	due     bool            // there is something to answer with
	refused bool            // there are only errors to answer with
	asked   bool            // a look is on its way
	over    bool
}

// answer is what becomes of a request.
type answer struct {
	body []byte
	err  error
}

// Attach implements session.Stream.
func (l *link) Attach(x *session.Session) { l.session = x }

// Loop implements session.Link.
func (l *link) Loop() *reactor.Loop { return l.loop }

// Form implements session.Link.
func (l *link) Form() channel.Form { return channel.FormLine }

// AppendEvent implements session.Stream. The position is told at the end.
func (l *link) AppendEvent(dst, line []byte) []byte { return append(append(dst, line...), ',') }

// Offer implements session.Link. It takes all of what one look at a channel
// gives, which is bounded.
func (l *link) Offer(events []byte) int {
	if len(events) > 0 && !l.over {
		l.text = append(l.text, events...)
		l.due = true
		l.look()
	}
	return len(events)
}

// Share implements session.Link.
func (l *link) Share(rest []byte) { l.text = append(l.text, rest...) }

// Blocked implements session.Link. A full answer is not added to; the rest is
// for the next.
func (l *link) Blocked() bool { return l.over || len(l.text) >= mostAnswered }

// Send implements session.Link.
func (l *link) Send(m *protocol.Message) {
	switch {
	case l.over:
	case m.Type == protocol.TypeWelcome:
		l.open = true
		if l.atOnce() {
			l.loop.Arm(&l.timer, mostSettling, l)
		} else {
			l.loop.Arm(&l.timer, l.wait, l)
		}
	case !l.open:
		if m.Type == protocol.TypeError {
			l.failed = transport.ErrorOf(m.Data)
		}
	case l.known(m):
	case m.Type == protocol.TypeError && !l.atOnce() && !l.due:
		l.append(m)
		if !l.refused {
			l.refused = true
			l.loop.Arm(&l.timer, min(l.wait, errorPause), l)
		}
	default:
		l.append(m)
		l.due = true
		l.look()
	}
}

// known reports whether m only says that a channel goes on where the cursor is:
// for the client nothing has happened.
func (l *link) known(m *protocol.Message) bool {
	return l.resumed && m.Type == protocol.TypeSubscribed && (!m.Kept || bytes.HasPrefix(m.Data, []byte(`{"recovered":true`)))
}

func (l *link) append(m *protocol.Message) {
	n := len(l.text)
	l.text = protocol.AppendJSON(l.text, m)
	channel.OneLine(l.text[n:])
	l.text = append(l.text, ',')
}

// Close implements session.Link.
func (l *link) Close(code protocol.CloseCode, reason string) {
	if l.over {
		return
	}
	if !l.open && l.failed == nil {
		l.failed = &protocol.Error{Code: protocol.CodeUnavailable, Message: reason, Retryable: true}
	}
	if last, ok := transport.Closing(l.text, code, reason); ok && l.open {
		l.text = append(last, ',')
	}
	// Not now: the session may be in the middle of something.
	l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { l.end() }))
}

// PauseRead implements session.Link: nothing is read.
func (l *link) PauseRead() {}

// ResumeRead implements session.Link.
func (l *link) ResumeRead() {}

// atOnce says that the request does not wait for anything to happen: it is the
// first one, or wants to know only what there is.
func (l *link) atOnce() bool { return !l.resumed || l.wait == 0 }

// Heartbeat implements session.Stream: an answer comes in one piece.
func (l *link) Heartbeat() time.Duration { return 0 }

// Settled implements session.Stream.
func (l *link) Settled() {
	if l.due || l.atOnce() {
		l.due = true
		l.look()
	}
}

// look sees to it that the answer goes once what comes with it is there.
func (l *link) look() {
	if !l.asked && !l.over {
		l.asked = true
		l.loop.Post((*glance)(l))
	}
}

// glance is a look at the session when it has done what it was doing.
type glance link

// Run ends the request, unless there is more to come: then Settled tells.
func (g *glance) Run(*reactor.Loop) {
	l := (*link)(g)
	l.asked = false
	if l.Blocked() || !l.session.Busy() {
		l.end()
	}
}

// Fire ends the request because it has waited long enough.
func (l *link) Fire(*reactor.Loop) { l.end() }

// end answers, and ends the session.
func (l *link) end() {
	if l.over {
		return
	}
	l.over = true
	l.loop.Disarm(&l.timer)
	if l.session == nil {
		return // it was abandoned before it began
	}
	var a answer
	switch {
	case l.open:
		a.body = l.body()
	case l.failed != nil:
		a.err = l.failed
	default:
		a.err = protocol.Errorf(protocol.CodeUnavailable, "the server did not let the connection in yet; try again")
	}
	// Before the answer: whoever has it, and looks, sees one connection less.
	l.session.Closed(nil)
	l.answered <- a
}

// body is the answer's document.
func (l *link) body() []byte {
	b := append(make([]byte, 0, len(l.text)+256), `{"messages":[`...)
	b = append(b, bytes.TrimSuffix(l.text, []byte{','})...)
	b = append(b, `],"cursor":"`...)
	n := len(b)
	if b = l.session.AppendPosition(b); len(b) == n {
		b = append(b, cursor.None...)
	}
	return append(b, "\"}\n"...)
}
