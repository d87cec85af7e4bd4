package poll

import (
	"slices"
	"strconv"

	"ringdown/internal/cursor"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// A session that goes on is parked between two requests: nothing but what it
// collects meanwhile, up to a bound, and a lease. The cursor of each answer says
// how many answers there were, as if that were the position in a channel. A
// request that comes with another one lost an answer, and what it lost is not
// there any more: it gets a new session, which goes on from the positions that
// the cursor has. So it is with a request that comes to another node.

// answers is the channel whose position is the count. No client can name it.
var answers = cursor.KeyOf("$answers")

// mostNamed is how many names of channels a session remembers to have been asked for.
const mostNamed = cursor.MaxChannels

// park leaves the session to wait for its next request.
func (l *link) park() {
	l.request, l.due, l.refused = nil, false, false
	l.loop.Arm(&l.timer, l.lease, l)
	l.table.park(l)
}

// goOn gives the session its next request, and reports whether it is one of this
// session.
func (l *link) goOn(q *request) bool {
	count := q.asked.Places[answers]
	switch {
	case l.session.User() != userOf(&q.open) || l.over && l.last == nil:
		return false
	case count.Epoch != l.tag || count.Offset != l.given:
		l.end()
		return false
	case l.over:
		q.answered <- answer{body: l.last}
		l.forget()
		return true
	}
	if old := l.request; old != nil {
		old.answered <- answer{body: l.page(nil)} // it has given up, or wants to know something else
	} else {
		l.table.unpark(l)
	}
	l.request = q
	l.await()
	l.subscribe(q.asked.Follow)
	l.session.Drained()
	if l.due || l.atOnce() {
		l.look()
	}
	return true
}

func userOf(o *session.Open) string {
	if o.Identity == nil {
		return ""
	}
	return o.Identity.User
}

// subscribe subscribes to what a request names for the first time. What it names
// no more goes on until it is unsubscribed.
func (l *link) subscribe(follow []session.Follow) {
	m := protocol.Message{Type: protocol.TypeSubscribe}
	for _, f := range follow {
		if slices.Contains(l.named, f.Channel) || l.session.Follows(f.Channel) {
			continue
		}
		l.note(f.Channel)
		sub := protocol.Subscription{Channel: f.Channel}
		if f.Since != nil && !f.Since.Within {
			sub.Since = &f.Since.Position
		} else if f.Last > 0 {
			sub.Data = append(strconv.AppendInt([]byte(`{"last":`), int64(f.Last), 10), '}')
		}
		m.Channels = append(m.Channels, sub)
	}
	if len(m.Channels) > 0 {
		l.session.Message(&m)
	}
}

func (l *link) note(name string) {
	if len(l.named) == mostNamed {
		l.named = l.named[1:]
	}
	l.named = append(l.named, name)
}

// expire ends a session that no request has come for.
func (l *link) expire() {
	if l.request == nil {
		l.end()
	}
}
