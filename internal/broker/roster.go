package broker

import (
	"context"

	"ringdown/internal/presence"
)

// Member is somebody who is present in a channel: one per connection.
type Member = presence.Member

// MemberRange asks Members for a page of a channel's members.
type MemberRange struct {
	After string // ID of the last member of the page before; empty: from the first
	Limit int    // members at most; 0: none, to ask only for the total
}

// MemberPage is an answer of Members.
type MemberPage struct {
	Members []Member // in order of their IDs
	Total   int      // in the channel, not only in the page
	More    bool     // members after the last one are there
}

// Roster is a broker that keeps who is present in the channels, on all nodes. What a
// node put in is leased: the driver renews it for as long as the node runs, and drops
// it when the node is gone, telling Feed.Lost. The methods may block.
type Roster interface {
	// Put adds a member of this node, or changes what it says of itself. entered
	// reports that it was not there before.
	Put(ctx context.Context, channel string, m Member) (entered bool, err error)
	// Remove removes a member of this node and reports whether it was there.
	Remove(ctx context.Context, channel, id string) (left bool, err error)
	// Members returns a page of the members of a channel.
	Members(ctx context.Context, channel string, r MemberRange) (MemberPage, error)
}

// Bus is a broker that several nodes share, and carries messages between them, at
// most once.
type Bus interface {
	// Nodes returns the names of the nodes that are there, as far as is known. It
	// may block.
	Nodes(ctx context.Context) ([]string, error)
	// Send sends payload to the node named to, or to every other node if to is
	// empty. It fails with not_found when no such node is known to be there; a nil
	// error does not say that it arrived. It may block.
	Send(ctx context.Context, to string, payload []byte) error
}
