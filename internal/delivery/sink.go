package delivery

import (
	"bytes"
	"slices"

	"ringdown/internal/channel"
	"ringdown/internal/event"
)

// Sink is what a subscriber's messages are written to: a connection. All methods
// are called on the loop.
type Sink interface {
	// Form is the wire form of shared frames. It never changes.
	Form() channel.Form
	// Offer writes as much of frames as can leave now, keeps nothing of it, and
	// returns the count.
	Offer(frames []byte) int
	// Share queues the rest of a frame, which is immutable and kept by reference.
	Share(rest []byte)
	// Send encodes and queues one event, which is the caller's again afterwards.
	Send(e event.Event)
	// Blocked reports that something is queued because the peer does not read.
	// Subscriber.Drained is to be called when it no longer is.
	Blocked() bool
	// Failed tells that delivering to it panicked with cause; the subscriber is to be
	// closed. It is called while the goroutine panics.
	Failed(cause any)
	Positions
}

// Positions is for a sink whose peer keeps no positions of its own: with each
// message it is told where it stands in all of its channels. Others need not do
// anything in these.
type Positions interface {
	// AppendEvent appends a message, whose JSON text stands on one line, in the form in
	// which the peer is given it. What Subscriber.AppendPosition says during the call
	// is where the peer stands once it has the message.
	AppendEvent(dst, line []byte) []byte
	// Settled tells that the subscriber was given all that there is for now.
	Settled()
}

// events is the memory in which a hub puts messages with positions together.
type events struct {
	text []byte
	ends []int
	at   []channel.Cursor
}

// offer gives a member what comes after its cursor in b, as much as its sink
// takes, and moves the cursor. It reports whether that was all; if not, the member
// has to be pulled for, at the latest when its sink has drained. A sink that fails
// may have ended the member, and then all counts as given.
func (m *member) offer(b *channel.Batch) (all bool) {
	s := m.who
	if s.positions != nil {
		return m.offerEvents(b)
	}
	from := m.reader.Cursor
	frames := b.Bytes(s.form, from)
	// Moved before the write: a write that fails may end the member and put
	// another in its place.
	m.reader.Cursor = b.To
	if n := s.sink.Offer(frames); n < len(frames) && !s.closed {
		next, rest := b.Split(s.form, from, n)
		m.lag(next, rest)
		return false
	}
	return true
}

// lag is for a member that was not given all of a batch: rest, which is to be
// kept by reference, is what is left of the message before at.
func (m *member) lag(at channel.Cursor, rest []byte) {
	s := m.who
	m.reader.Cursor = at
	if m.reader.Phase == channel.Live {
		m.reader.Phase = channel.Lagging
	}
	s.sink.Share(rest)
	if !s.sink.Blocked() {
		s.schedule() // the socket took it after all, and nothing would tell of that
	}
}

// offerEvents is offer where each message is put together with the position behind
// it, some of them at a time.
func (m *member) offerEvents(b *channel.Batch) (all bool) {
	s := m.who
	ev := &s.hub.events
	ev.text, ev.ends, ev.at = ev.text[:0], ev.ends[:0], ev.at[:0]
	all = true
	for e, at := range b.Entries(m.reader.Cursor) {
		if len(ev.text) >= channel.PageBytes {
			all = false
			break
		}
		m.reader.Cursor = at
		ev.text = s.sink.AppendEvent(ev.text, e.Line())
		ev.ends, ev.at = append(ev.ends, len(ev.text)), append(ev.at, at)
	}
	n := s.sink.Offer(ev.text)
	switch {
	case s.closed:
		return true
	case n < len(ev.text):
		i, _ := slices.BinarySearch(ev.ends, n+1)
		m.lag(ev.at[i], bytes.Clone(ev.text[n:ev.ends[i]]))
		all = false
	case !all:
		m.lag(m.reader.Cursor, nil)
	}
	if cap(ev.text) > keepBatch {
		ev.text = nil
	}
	return all
}
