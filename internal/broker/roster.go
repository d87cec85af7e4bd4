package broker

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"ringdown/protocol"
)

// Member is somebody who is present in a channel: one per connection.
type Member struct {
	ID   string          `json:"id"`             // of the connection
	User string          `json:"user,omitempty"` // empty: not signed in
	Data json.RawMessage `json:"data,omitempty"` // what the member says of itself; valid JSON
}

// MemberRange asks Members for a page of a channel's members.
type MemberRange struct {
	After string // ID of the last member of the page before; empty: from the first
	Limit int    // members at most; 0: none, for who only wants to know the total
}

// MemberPage is an answer of Members.
type MemberPage struct {
	Members []Member // in order of their IDs
	Total   int      // in the channel, not only in the page
	More    bool     // members after the last one are there
}

// Roster keeps who is present in the channels, on all nodes. What a node put in
// is leased: the driver renews it for as long as the node runs, and drops it
// when the node is gone, telling Feed.Lost. The methods may block.
type Roster interface {
	// Put puts a member of this node in, or changes what it says of itself.
	// entered reports that it was not in before.
	Put(ctx context.Context, channel string, m Member) (entered bool, err error)
	// Remove takes a member of this node out and reports whether it was in.
	Remove(ctx context.Context, channel, id string) (left bool, err error)
	// Members returns a page of who is in.
	Members(ctx context.Context, channel string, r MemberRange) (MemberPage, error)
}

// Bus carries messages between the nodes that share a broker, at most once.
type Bus interface {
	// Nodes returns the names of the nodes that are there, as far as is known. It
	// may block.
	Nodes(ctx context.Context) ([]string, error)
	// Send sends payload to the node named to, or to every other node if to is
	// empty. It fails with not_found when no such node is known to be there; a nil
	// error does not say that it arrived. It may block.
	Send(ctx context.Context, to string, payload []byte) error
}

// Alone is the roster and the bus of a broker that serves one node only. The
// zero value is ready to use; it is safe for concurrent use.
type Alone struct {
	mu    sync.Mutex
	rooms map[string]map[string]Member
}

// Put implements Roster.
func (a *Alone) Put(_ context.Context, channel string, m Member) (entered bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	room := a.rooms[channel]
	if room == nil {
		room = map[string]Member{}
		if a.rooms == nil {
			a.rooms = map[string]map[string]Member{}
		}
		a.rooms[strings.Clone(channel)] = room
	}
	_, was := room[m.ID]
	room[m.ID] = m
	return !was, nil
}

// Remove implements Roster.
func (a *Alone) Remove(_ context.Context, channel, id string) (left bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	room := a.rooms[channel]
	_, was := room[id]
	delete(room, id)
	if was && len(room) == 0 {
		delete(a.rooms, channel)
	}
	return was, nil
}

// Members implements Roster.
func (a *Alone) Members(_ context.Context, channel string, r MemberRange) (MemberPage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	room := a.rooms[channel]
	page := MemberPage{Total: len(room)}
	if r.Limit <= 0 {
		return page, nil
	}
	for id, m := range room {
		if id > r.After {
			page.Members = append(page.Members, m)
		}
	}
	slices.SortFunc(page.Members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	if len(page.Members) > r.Limit {
		page.Members, page.More = page.Members[:r.Limit:r.Limit], true
	}
	return page, nil
}

// Nodes implements Bus: there is nobody else.
func (a *Alone) Nodes(context.Context) ([]string, error) { return nil, nil }

// Send implements Bus: there is nobody else.
func (a *Alone) Send(_ context.Context, to string, _ []byte) error {
	if to == "" {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotFound, "this server runs alone; there is no node %q", to)
}
