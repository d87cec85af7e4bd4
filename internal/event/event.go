// Package event is what a session tells its client, as values: each transport
// and each dialect encodes them in its own way. The messages of channels are not
// among them: they leave as frames that all subscribers share (channel.Form).
//
// Whoever is given an event, and what it points to, has it for the call only.
package event

import (
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Event is one of the types of this package.
type Event interface {
	// native fills in m as the native protocol has the event, but for its data,
	// which is appended to data.
	native(m *protocol.Message, data []byte) []byte
}

// Welcome is the first that a client is told.
type Welcome struct {
	Connection   string
	User         string        // empty: nobody signed in
	Secret       string        // of a stream: with it its client may post for it
	Session      string        // of long-poll: in which it goes on
	Ping         time.Duration // after how much silence the server says something
	Expires      time.Time     // the token; zero: never
	DedupeWindow time.Duration
	MaxMessage   int // bytes
	Server       string
}

// Subscribed answers a subscription. What the channel has from there on follows.
type Subscribed struct {
	ID       []byte
	Channel  string
	Kept     bool // the channel keeps messages, and Position says where the client stands
	Position protocol.Position
	Asked    bool   // the client said where it was
	Lost     string // Asked: why it could not go on there; empty: it could, and misses nothing
	Head     uint64 // Asked: the offset of the newest message
	Barred   bool   // the past that was asked for is not this client's to read
}

// Recovered reports whether the client goes on where it was.
func (e *Subscribed) Recovered() bool { return e.Asked && e.Lost == "" }

// Unsubscribed tells that a subscription has ended.
type Unsubscribed struct {
	ID      []byte
	Channel string
}

// Ack answers what was done.
type Ack struct {
	ID       []byte
	Channel  string
	Position protocol.Position // of a publication that is kept
	Expires  time.Time         // of a token that was accepted; zero: never
	Result   []byte            // of a call: JSON
}

// Error tells what was not done.
type Error struct {
	ID      []byte
	Channel string
	Err     *protocol.Error
	Close   protocol.CloseCode // 0, or this is the last that is told, for want of a close frame
}

// Gap tells that messages of a channel were lost to this client.
type Gap struct {
	Channel string
	Reason  string // slow, trimmed, epoch
	Epoch   string // of the log that begins, where Lost says that one does
	Lost    channel.Gap
}

// State is a page of what a state channel holds.
type State struct {
	Channel string
	Entries []*channel.Entry
	More    bool
}

// History is a page of what a channel keeps.
type History struct {
	ID      []byte
	Channel string
	Epoch   string
	Entries []*channel.Entry
	More    bool
}

// Members is a page of who is in a channel.
type Members struct {
	ID      []byte
	Channel string
	Page    broker.MemberPage
}

// Ping asks for a sign of life.
type Ping struct{}

// Pong is one.
type Pong struct {
	ID   []byte
	Time time.Time
}

// Reconnect asks the client to come back, elsewhere if it can.
type Reconnect struct{ After, Within time.Duration }
