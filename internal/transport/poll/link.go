package poll

import (
	"bytes"
	"container/list"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/transport"
	"ringdown/protocol"
)

// mostAnswered is how many bytes of messages end an answer. One message may pass
// it, and what comes behind it is for the next.
const mostAnswered = 512 << 10

// mostParked is how many bytes a session collects while no request is there to
// take them. After that it stands still, as who does not read does.
const mostParked = 16 << 10

// mostSpare is how much more than its length an answer may hold while it leaves.
const mostSpare = 64 << 10

// errorPause is how long an answer that has nothing but errors is held back, so
// that a client that asks again at once, for what it may not follow, does not
// ask all the time.
const errorPause = time.Second

// mostSettling is how long a request that does not wait may take to find what
// there is.
const mostSettling = 10 * time.Second

// request is one request that waits for its answer.
type request struct {
	asked    *transport.Asked
	open     session.Open
	keep     bool  // the session outlives the answer
	line     *link // the session that it goes on in; nil: a new one
	wait     time.Duration
	answered chan answer
}

// answer is what becomes of a request.
type answer struct {
	body  []byte
	err   error
	noted bool // the session has recorded the refusal
}

// link collects what the peer is to be given: for one request, or for one after
// the other. It belongs to its loop.
type link struct {
	loop    *reactor.Loop
	resumed bool     // there was a cursor
	request *request // that waits; nil: parked

	session *session.Session
	text    []byte // messages, each with a comma behind it
	timer   reactor.Timer
	failed  *protocol.Error // why there is no welcome
	noted   bool            // the session has recorded that
	open    bool            // welcome
	due     bool            // there is something to answer with
	refused bool            // there are only errors to answer with
	asked   bool            // a look is on its way
	over    bool

	// Of one that goes on; else table is nil.
	table *table
	lease time.Duration
	name  string
	owner string
	place *list.Element // under the table's lock
	tag   string        // the epoch of given
	given uint64        // answers
	named []string      // channels that were asked for
	last  []byte        // the end of a session that ended without a request there
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
		l.text = append(l.begun(), events...)
		l.due = true
		l.look()
	}
	return len(events)
}

// Share implements session.Link.
func (l *link) Share(rest []byte) { l.text = append(l.begun(), rest...) }

const head = `{"messages":[`

// begun returns the text, with the beginning of its document.
func (l *link) begun() []byte {
	if len(l.text) == 0 {
		l.text = append(l.text, head...)
	}
	return l.text
}

// Blocked implements session.Link. A full answer is not added to; the rest is
// for the next.
func (l *link) Blocked() bool {
	return l.over || len(l.text) >= mostAnswered || l.request == nil && len(l.text) >= mostParked
}

// Send implements session.Link.
func (l *link) Send(e event.Event) {
	failed, _ := e.(*event.Error)
	welcome, _ := e.(*event.Welcome)
	switch {
	case l.over:
	case welcome != nil:
		l.welcome(*welcome)
	case !l.open:
		if failed != nil {
			l.failed, l.noted = failed.Err, true
		}
	case l.known(e):
		if l.table != nil {
			l.append(e) // who lost its session wants to see the new one begin
		}
	case failed != nil && !l.atOnce() && !l.due && l.request != nil:
		l.append(e)
		if !l.refused {
			l.refused = true
			l.loop.Arm(&l.timer, min(l.request.wait, errorPause), l)
		}
	default:
		l.append(e)
		l.due = true
		l.look()
	}
}

// welcome begins the session. Who keeps it is told its name.
func (l *link) welcome(e event.Welcome) {
	l.open = true
	l.await()
	if l.table == nil {
		return
	}
	l.name = l.table.add(l)
	e.Session = l.name
	l.append(&e)
}

// await sets how long the request may wait.
func (l *link) await() {
	if l.atOnce() {
		l.loop.Arm(&l.timer, mostSettling, l)
	} else {
		l.loop.Arm(&l.timer, l.request.wait, l)
	}
}

// known reports whether e only says that a channel goes on where the cursor is:
// for the client nothing has happened.
func (l *link) known(e event.Event) bool {
	s, ok := e.(*event.Subscribed)
	return ok && l.resumed && l.given == 0 && len(s.ID) == 0 && (!s.Kept || s.Recovered())
}

func (l *link) append(e event.Event) {
	m := event.Encode(e)
	defer m.Release()
	n := len(l.begun())
	l.text = protocol.AppendJSON(l.text, &m.Message)
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
	if last := event.Closing(code, reason); last != nil && l.open {
		l.append(last)
	}
	// Not now: the session may be in the middle of something.
	l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { l.close() }))
}

// PauseRead implements session.Link: nothing is read.
func (l *link) PauseRead() {}

// ResumeRead implements session.Link.
func (l *link) ResumeRead() {}

// atOnce says that the request does not wait for anything to happen: it is the
// first one, or wants to know only what there is.
func (l *link) atOnce() bool {
	return l.request != nil && (!l.resumed && l.given == 0 || l.request.wait == 0)
}

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
	if !l.asked && !l.over && l.request != nil {
		l.asked = true
		l.loop.Post((*glance)(l))
	}
}

// glance is a look at the session when it has done what it was doing.
type glance link

// Run answers the request, unless there is more to come: then Settled tells.
func (g *glance) Run(*reactor.Loop) {
	l := (*link)(g)
	l.asked = false
	if !l.over && l.request != nil && (l.Blocked() || !l.session.Busy()) {
		l.answer()
	}
}

// Fire answers the request because it has waited long enough, or ends a session
// that no request came for.
func (l *link) Fire(*reactor.Loop) {
	if l.request == nil {
		l.expire()
	} else {
		l.answer()
	}
}

// abandon is for a request whose client has gone.
func (l *link) abandon(q *request) {
	switch {
	case l.request != q:
	case l.table == nil || !l.open:
		l.request = nil
		l.end()
	default:
		l.park()
	}
}

// answer answers the request. It ends the session, unless that goes on.
func (l *link) answer() {
	if l.table == nil || !l.open {
		l.close()
		return
	}
	q := l.request
	body := l.body()
	l.park()
	q.answered <- answer{body: body}
}

// close answers the request and ends the session.
func (l *link) close() {
	if l.over || l.session == nil {
		l.over = true
		return // it was abandoned before it began
	}
	var a answer
	switch {
	case l.open && l.request == nil && l.table != nil:
		// For the next request, if one comes; it will have the count of before.
		l.last = l.body()
		l.given--
	case l.open:
		a.body = l.body()
	case l.failed != nil:
		a.err, a.noted = l.failed, l.noted
	default:
		a.err = protocol.Errorf(protocol.CodeUnavailable, "the server did not let the connection in yet; try again")
	}
	q := l.request
	l.request = nil
	// Before the answer: whoever has it, and looks, sees one connection less.
	l.session.Closed(nil)
	l.over = true
	if l.last != nil {
		return
	}
	l.forget()
	if q != nil {
		q.answered <- a
	}
}

// end ends the session without an answer.
func (l *link) end() {
	if !l.over && l.session != nil {
		l.session.Closed(nil)
	}
	l.over = true
	l.forget()
}

func (l *link) forget() {
	l.loop.Disarm(&l.timer)
	l.text, l.last = nil, nil
	if l.table != nil {
		l.table.remove(l)
	}
}

// body is the document of the next answer, with all that was collected.
func (l *link) body() []byte {
	l.given++
	text := l.begun()
	l.text = nil
	b := l.page(text)
	if cap(b) > len(b)+mostSpare {
		b = bytes.Clone(b) // it may wait long for who reads slowly
	}
	return b
}

// page ends a document whose messages are begun with text; nil: there are none.
func (l *link) page(text []byte) []byte {
	if text == nil {
		text = []byte(head)
	}
	b := append(bytes.TrimSuffix(text, []byte{','}), `],"cursor":"`...)
	n := len(b)
	if l.table == nil {
		b = l.session.AppendPosition(b)
	} else {
		b = l.session.AppendPositionWith(b, answers, cursor.Place{Position: protocol.Position{Epoch: l.tag, Offset: l.given}})
	}
	if len(b) == n {
		b = append(b, cursor.None...)
	}
	return append(b, "\"}\n"...)
}
