// Package broker is the contract between a node and whatever keeps the log of
// its channels: the order of messages, their offsets, how long they are kept,
// and who else hears of them.
//
// The law for every driver, checked by brokertest:
//
//   - One channel, one order. Offsets of an epoch strictly increase, and every
//     follower on every node is given the entries in that order, each once.
//   - Nobody sees a publication before it was accepted: followers are given an
//     entry only when it is as durable as the channel promises. They may be given
//     it before Done hears of it.
//   - Followers are independent: the end of one Subscription ends no other, in
//     whatever order they begin and end.
//   - When Append has returned for one publication before it is called with
//     another, the first one comes first in the log.
//   - A publication repeated with the same dedupe key inside the window is
//     stored once, and both receipts have the same position. A publication with
//     that key and another content (Fingerprint) is refused with ErrReused.
//   - An epoch changes whenever continuity cannot be proven.
package broker

import (
	"context"
	"time"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// DedupeWindow is how long a dedupe key is remembered at least.
const DedupeWindow = 2 * time.Minute

// Publication is a message to be accepted. It is the caller's again once Append
// has returned: drivers copy what they keep of it.
type Publication struct {
	// Message carries type, channel, data, key and from. The driver gives it its
	// offset, prev and time.
	Message protocol.Message
	// Dedupe is the idempotency key, already scoped to who publishes; empty: none.
	Dedupe string
	// Ephemeral messages get no offset, are never kept and may be lost.
	Ephemeral bool
}

// Receipt says where an accepted publication stands.
type Receipt struct {
	Position  protocol.Position // zero on channels that keep nothing
	Time      int64             // Unix milliseconds
	Duplicate bool              // accepted before, under the same dedupe key
}

// Done hears what became of a publication, exactly once, on any goroutine and
// perhaps before Append returns. It must not block. A nil err means accepted;
// a *protocol.Error says why not, with CodeUnavailable or CodeTimeout when the
// outcome is not known and only a dedupe key makes a retry safe.
type Done interface {
	Appended(r Receipt, err error)
}

// Follower is given what a log gets. Its methods are called one at a time, in the
// order of the log; they must not block, and must not call the driver.
type Follower interface {
	// Begin comes once, and first: with the position that delivery begins after, or
	// with an error, and then nothing else comes.
	Begin(at protocol.Position, err error)
	Entry(epoch string, e *channel.Entry)
	// Restart tells that the log went on in a new epoch, and that the entry which
	// comes next follows at. A driver may leave it to that entry to tell.
	Restart(at protocol.Position)
}

// Subscription is one follower of a log. Whoever began it ends it.
type Subscription interface {
	// Close ends the delivery. It may be called before Begin was called. Entries that
	// are under way may still be delivered after it.
	Close()
}

// Log is a handle on a channel's log. It needs no closing, so it is made for a single
// publication as well as for the whole life of a channel. All methods are safe for
// concurrent use; only Read and State may block.
type Log interface {
	// Append accepts a publication.
	Append(p *Publication, d Done)
	// Follow gives f what is appended from now on.
	Follow(f Follower) Subscription
	// Read returns a page of the log, an empty one if nobody has published to it.
	Read(ctx context.Context, r Range) (Page, error)
	// State returns a page of the latest messages of the keys that have not expired,
	// an empty one if nobody has published to the channel.
	State(ctx context.Context, r StateRange) (StatePage, error)
	// Redeclare says what the channel keeps from now on. It is not for a channel that
	// begins or ceases to keep messages: the node opens such a channel again.
	Redeclare(d *channel.Declaration)
}

// Feed is what a driver tells the node beside the logs. Its methods must not block.
type Feed interface {
	// Lost tells of members of a channel whose node is gone. Exactly one of the other
	// nodes is told, after the roster has dropped them. A driver that finds out that
	// its own node was taken for gone calls Lost with that node's members, and the
	// node puts back those that are still here.
	Lost(name string, members []Member)
	// Control is a message that another node sent with Bus.Send. payload is the
	// receiver's to keep.
	Control(from string, payload []byte)
}

// Claims is a Log that wants to know which positions clients say they have seen,
// because it can be set back without its driver's knowledge: a raw copy of a store is
// put back, for instance. Nodes find out by a type assertion.
type Claims interface {
	// Claimed tells that a client says it was given the message at p, while the log is
	// in the same epoch and has not come that far. It must not block. The client may
	// lie.
	Claimed(p protocol.Position)
}

// Range asks Read for a page of a channel's log: the oldest kept messages after
// After; or, if Last is positive, the last so many; or, if Before is positive, the
// newest messages before that offset (and after After), so that one can page
// backwards. Last and Before are not both set. A page is always oldest first.
type Range struct {
	After  uint64
	Before uint64 // at most protocol.MaxOffset+1, which is before the end of any log
	Last   int
	Limit  int // messages at most; 0: the driver's own
	Bytes  int // about so many bytes at most, but at least one message; 0: the driver's own
}

// Page is an answer of Read.
type Page struct {
	Epoch   string
	Head    uint64 // offset of the newest message, kept or trimmed by now
	Oldest  uint64 // the offset after which everything is still kept: Prev of the oldest kept message, or Head
	Entries []*channel.Entry
	// More says that there are messages beyond the page: kept after the last of
	// Entries, or, for Before, kept before the first of them and after After.
	More bool
}

// StateRange asks State for a page of what a state channel holds: the latest
// messages of its keys whose offsets are after After, in order of offsets. To
// read all of it, After is the offset of the last entry of the page before: a key
// that is written meanwhile comes again on a later page, so the reader ends at the
// head and has seen everything, however much is written meanwhile.
type StateRange struct {
	After uint64
	Limit int // entries at most; 0: the driver's own
	Bytes int // about so many bytes at most, but at least one entry; 0: the driver's own
}

// StatePage is an answer of State. Entries include keys that were deleted
// (channel.Entry.Deleted), for those who know of them, as far as deletions are
// remembered.
type StatePage struct {
	Epoch     string
	Head      uint64 // offset of the newest message
	Forgotten uint64 // deletions up to this offset are no longer told: who stands before it begins anew at 0
	Entries   []*channel.Entry
	More      bool
}

// Broker is a driver of logs. What else it offers, the node finds out by type
// assertions: Roster, Bus, Claims, Immediate. All methods are safe for concurrent use.
type Broker interface {
	// Start connects, and begins to tell feed. node names this node among those that
	// share the broker: 1 to 64 bytes of A-Z a-z 0-9 _ -, and never the same for two
	// that run at a time.
	Start(ctx context.Context, node string, feed Feed) error
	// Stop ends every goroutine; publications under way get their Done first.
	Stop(ctx context.Context) error
	// Ready returns nil when publications can be accepted now.
	Ready(ctx context.Context) error
	// Open returns a handle on the log of that name, which keeps what d says. It
	// neither blocks nor fails, and may keep name and d.
	Open(name string, d *channel.Declaration) Log
}

// Immediate is a broker that can say that its logs never block. If so, Append calls
// Done before it returns, and Read, State and the Roster answer from memory.
type Immediate interface{ Immediate() bool }
