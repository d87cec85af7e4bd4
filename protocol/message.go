package protocol

import (
	"slices"
	"unsafe"
)

// Position is a place in a channel's log: after the message with this offset, in
// this epoch.
type Position struct {
	Epoch  string
	Offset uint64 // 0 to MaxOffset; 0 is the beginning
}

// Message is the one shape that everything has: events and control messages, in
// every transport and in both directions. A field that is zero is absent, but
// for Offset, which is present if Kept.
//
// After a Decode its strings and byte slices alias the frame that was decoded,
// so it is good for as long as the frame is not written to. Clone gives a copy
// that is owned.
type Message struct {
	Type    string
	Channel string
	ID      []byte // raw JSON token as sent (7 or "a"), nil when absent
	Data    []byte // raw JSON value, or if Binary the payload's bytes; nil when absent
	Binary  bool   // Data is bytes and not JSON
	Kept    bool   // Offset is present
	Key     string // state channels: the entity that this is the latest value of
	Dedupe  string // idempotency key of a publication
	Exclude string // of a publication: the connection that is given a _skip in its place
	Trace   string // traceparent of the W3C: the trace that a publication belongs to
	From    string // user id of who published it
	Epoch   string // incarnation of the channel's log
	Token   string // only in auth

	Offset uint64 // position in the channel's log, 0 to MaxOffset
	Prev   uint64 // offset of the publication before; decoding fills it in where the wire leaves it out
	Time   int64  // when the server accepted it, in Unix milliseconds; 0 when absent

	Since    *Position      // only in subscribe: resume after this
	Channels []Subscription // only in subscribe: many at once, instead of Channel
}

// Subscription is one of the channels of a subscribe message.
type Subscription struct {
	Channel string
	Since   *Position // nil when absent
	Data    []byte    // raw JSON value of the parameters, nil when absent
}

// Reset empties m.
func (m *Message) Reset() { *m = Message{} }

// Clone returns a copy of m that shares no memory with it.
func (m *Message) Clone() *Message {
	c := *m
	// All that the copy owns is in one piece of memory, cut up.
	size := len(m.Type) + len(m.Channel) + len(m.ID) + len(m.Data) + len(m.Key) + len(m.Dedupe) + len(m.Exclude) + len(m.Trace) +
		len(m.From) + len(m.Epoch) + len(m.Token)
	o := owner{make([]byte, 0, size)}
	c.Type, c.Channel = o.string(m.Type), o.string(m.Channel)
	c.Key, c.Dedupe, c.From = o.string(m.Key), o.string(m.Dedupe), o.string(m.From)
	c.Exclude, c.Trace = o.string(m.Exclude), o.string(m.Trace)
	c.Epoch, c.Token = o.string(m.Epoch), o.string(m.Token)
	c.ID, c.Data = o.bytes(m.ID), o.bytes(m.Data)
	c.Since = m.Since.clone()
	c.Channels = slices.Clone(m.Channels)
	for i := range c.Channels {
		s := &c.Channels[i]
		s.Channel = string([]byte(s.Channel))
		s.Since = s.Since.clone()
		s.Data = slices.Clone(s.Data)
	}
	return &c
}

func (p *Position) clone() *Position {
	if p == nil {
		return nil
	}
	return &Position{Epoch: string([]byte(p.Epoch)), Offset: p.Offset}
}

// owner hands out pieces of memory that has room for all of them.
type owner struct{ p []byte }

func (o *owner) bytes(p []byte) []byte {
	if p == nil {
		return nil
	}
	start := len(o.p)
	o.p = append(o.p, p...)
	return o.p[start:len(o.p):len(o.p)]
}

func (o *owner) string(s string) string {
	start := len(o.p)
	o.p = append(o.p, s...)
	return view(o.p[start:])
}

// view returns p as a string without copying it. It is the only unsafe thing in
// this package: the string changes if p is written to, which is why Message says
// how long its fields are good for.
func view(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// fillPrev sets Prev where the wire leaves it out, and takes it from messages
// that have none: those that are not kept, and control messages, whose offset is
// a position and not that of a publication. (A _skip stands in the place of one.)
func (m *Message) fillPrev(sent bool) {
	switch {
	case !m.Kept || Verb(m.Type):
		m.Prev = 0
	case !sent && m.Offset > 0:
		m.Prev = m.Offset - 1
	}
}

// sendsPrev reports whether the wire form has to have the field prev.
func (m *Message) sendsPrev() bool {
	return m.Kept && m.Prev+1 != m.Offset && m.Offset > 0 && !Verb(m.Type)
}
