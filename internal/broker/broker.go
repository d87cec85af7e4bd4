// Package broker is the contract between a node and whatever keeps the log of
// its channels: the order of messages, their offsets, how long they are kept,
// and who else hears of them.
//
// The law for every driver, checked by brokertest:
//
//   - One channel, one order. Offsets of an epoch strictly increase, and every
//     node's feed gives the entries of a channel in that order, each once.
//   - Nobody sees a publication before it was accepted: the feed is given an
//     entry only when it is as durable as the channel promises. It may be given
//     it before Done hears of it.
//   - A publication appended before another was begun comes first.
//   - A publication repeated with the same dedupe key inside the window is
//     stored once, and both receipts carry the same position. One that says
//     something else under that key (Fingerprint) is refused with ErrReused.
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

// Publication is what a node asks the broker to accept. Drivers copy what they
// keep of Message: its memory is the caller's again once Done was called.
type Publication struct {
	// Message carries type, channel, data, key and from. The driver sets the
	// offset, prev and time.
	Message protocol.Message
	// Log names the log that the message goes to where it is not that of
	// Message.Channel: what the server tells about a channel has a log of its own.
	Log string
	// Dedupe is the idempotency key, already scoped to who publishes; empty: none.
	Dedupe string
	// Ephemeral messages get no offset, are never kept and may be lost.
	Ephemeral bool
	// Declaration says what the channel keeps. It is not changed by anybody.
	Declaration *channel.Declaration
}

// Name returns the name of the log that p goes to: what the driver keeps it
// under, and what the feed calls it.
func (p *Publication) Name() string {
	if p.Log != "" {
		return p.Log
	}
	return p.Message.Channel
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
	Appended(p *Publication, r Receipt, err error)
}

// Feed is where a driver delivers. It must not block.
type Feed interface {
	// Entry is called in order for each channel, never at the same time for one
	// channel.
	Entry(channel, epoch string, e *channel.Entry)
	// Lost tells of members of a channel whose node is gone. Exactly one of the
	// nodes that are left is told, after the roster has dropped them. A driver
	// that finds that its own node was taken for gone tells it so of its own
	// members: the node puts those back that are still there.
	Lost(channel string, members []Member)
	// Control is a message that another node sent with Bus.Send. payload is the
	// receiver's to keep.
	Control(from string, payload []byte)
}

// Restarter is a feed that wants to know at once when a log went on in a new
// epoch, and not only with the next entry of it. Drivers look whether their feed
// is one.
type Restarter interface {
	// Restarted tells that the next entry of the channel follows p. It comes in
	// order with Entry, and must not block.
	Restarted(channel string, p protocol.Position)
}

// Claims is a driver that wants to know what clients say they have seen of its
// logs: one whose logs can be set back behind its own back. Nodes look whether
// their driver is one.
type Claims interface {
	// Claimed tells that a client says it was given what is at p, while the log, in
	// the same epoch, has not come there. It must not block. The client may lie.
	Claimed(channel string, p protocol.Position)
}

// Range asks Read for a page of a channel's log, which is always told oldest
// first: the oldest kept messages after After; or if Last is positive the last
// so many; or if Before is positive the newest messages before that offset (and
// after After), so that one can page backwards. Last and Before are not both set.
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
// walk a state, After is the offset of the last entry of the page before: keys
// written meanwhile are met again further on, so the walk ends at the head with
// everything seen, however much is written beside it.
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

// Broker is a driver. All methods are safe for concurrent use; Append, Follow
// and Unfollow never block.
type Broker interface {
	Roster
	Bus
	// Start connects and begins to deliver into feed. node names this node among
	// those that share the broker: 1 to 64 bytes of A-Z a-z 0-9 _ -, and never
	// the same for two that run at a time.
	Start(ctx context.Context, node string, feed Feed) error
	// Stop ends every goroutine; publications under way get their Done first.
	Stop(ctx context.Context) error
	// Append accepts a publication.
	Append(p *Publication, d Done)
	// Follow makes the feed deliver the entries of a channel to this node, and
	// calls ready once, holding no lock, with the position that delivery begins
	// after, or with an error. Entries after the position may already be
	// delivered before ready is called.
	Follow(name string, d *channel.Declaration, ready func(p protocol.Position, err error))
	// Unfollow ends that.
	Unfollow(name string)
	// Read returns a page of the log. A channel nobody published to has an empty page.
	Read(ctx context.Context, name string, d *channel.Declaration, r Range) (Page, error)
	// State returns a page of the latest messages of the keys that have not
	// expired. A channel nobody published to has an empty page.
	State(ctx context.Context, name string, d *channel.Declaration, r StateRange) (StatePage, error)
	// Ready returns nil when publications can be accepted now.
	Ready(ctx context.Context) error
	// Immediate reports that Append always calls Done before it returns, on the
	// caller's goroutine, and that Read, State and the Roster do not block.
	Immediate() bool
}
