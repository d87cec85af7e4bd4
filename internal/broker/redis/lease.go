package redis

import (
	"context"
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"ringdown/internal/broker"
)

var (
	//go:embed lua/roster.lua
	rosterSource string
	//go:embed lua/renew.lua
	renewSource string
	//go:embed lua/leave.lua
	leaveSource string
	//go:embed lua/reap.lua
	reapSource string
	//go:embed lua/rooms.lua
	roomsSource string
	//go:embed lua/put.lua
	putSource string
	//go:embed lua/take.lua
	takeSource string
	//go:embed lua/drop.lua
	dropSource string
	//go:embed lua/members.lua
	membersSource string
	//go:embed lua/nodes.lua
	nodesSource string

	renewScript   = newScript(rosterSource + renewSource)
	leaveScript   = newScript(rosterSource + leaveSource)
	reapScript    = newScript(rosterSource + reapSource)
	roomsScript   = newScript(roomsSource)
	putScript     = newScript(putSource)
	takeScript    = newScript(takeSource)
	dropScript    = newScript(rosterSource + dropSource)
	membersScript = newScript(membersSource)
	nodesScript   = newScript(rosterSource + nodesSource)
)

// The keys of the nodes, behind the shared base.
const (
	nodesKey = ":n"  // sorted set: lease by when it runs out
	reapKey  = ":x"  // sorted set: lease being dropped, by when the task is given to another
	roomsKey = ":r:" // set, one for each lease: channels where it has members
)

// lease is the text of a lease among the nodes: a node has another token
// whenever it had to take a new one.
func (b *Broker) lease(token string) string { return b.node + " " + token }

// renew renews the lease, or takes a new one where there is none.
func (b *Broker) renew(ctx context.Context) error {
	r := &b.roster
	r.leasing.Lock()
	defer r.leasing.Unlock()
	r.mu.Lock()
	token, again := r.token, r.again
	r.again = false
	r.mu.Unlock()
	if token != "" {
		started := time.Now()
		had, err := b.renewLease(ctx, token, true)
		if err != nil {
			return err
		}
		if had {
			r.mu.Lock()
			r.renewed = started
			r.mu.Unlock()
			if again {
				return b.putAll(ctx, token)
			}
			return nil
		}
		b.opts.Logger.Warn("this node was silent for so long that the others took it for gone, or Redis was emptied; it puts its members in again")
	}
	silent := token != ""
	token, started := newRandom(), time.Now()
	if _, err := b.renewLease(ctx, token, false); err != nil {
		return err
	}
	r.mu.Lock()
	r.token, r.renewed, r.noted = token, started, map[string]struct{}{}
	r.mu.Unlock()
	if err := b.putAll(ctx, token); err != nil || !silent {
		return err
	}
	b.tellBack()
	return nil
}

// tellBack tells our own node of its members: the others were told that they are
// gone, and now have to hear that they are not.
func (b *Broker) tellBack() {
	r := &b.roster
	rooms := map[string][]broker.Member{}
	r.mu.Lock()
	for room, members := range r.rooms {
		rooms[room] = slices.Collect(maps.Values(members))
	}
	r.mu.Unlock()
	for room, members := range rooms {
		b.feed.Lost(room, members)
	}
}

func (b *Broker) renewLease(ctx context.Context, token string, must bool) (had bool, err error) {
	old := "0"
	if must {
		old = "1"
	}
	f, err := b.run(ctx, call{renewScript, []string{b.shared() + nodesKey}, []string{b.lease(token), number(b.opts.Lease.Milliseconds()), old}})[0].texts(1)
	return err == nil && f[0] == "1", err
}

// release ends the lease, so that the other nodes need not wait for that. The
// members stay as long as it would have held: they are about to come back to
// other nodes, and to be told that all of them left is not what anybody wants.
func (b *Broker) release(ctx context.Context) {
	r := &b.roster
	r.mu.Lock()
	token, stay := r.token, int64(0)
	if len(r.rooms) > 0 {
		stay = b.opts.Lease.Milliseconds()
	}
	r.mu.Unlock()
	if token == "" {
		return // the start failed before there was one
	}
	reply := b.run(ctx, call{leaveScript, []string{b.shared() + nodesKey}, []string{b.lease(token), " " + token, number(stay)}})[0]
	if reply.err != nil {
		b.opts.Logger.Info("the lease of this node could not be ended; it runs out", "error", reply.err)
	}
}

// leases renews this node's lease and looks for those that ran out.
func (b *Broker) leases() {
	t := time.NewTicker(b.opts.Lease / 4)
	defer t.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-t.C:
		}
		if err := b.renew(b.ctx); err != nil {
			continue // Redis is away; the watch says so
		}
		b.takeStrays()
		for b.ctx.Err() == nil && b.reap() {
		}
	}
}

// reap drops the members of one node whose lease ran out, and reports whether
// there was one.
func (b *Broker) reap() bool {
	shared := b.shared()
	f, err := b.run(b.ctx, call{reapScript, []string{shared + nodesKey, shared + reapKey}, []string{number(3 * b.opts.Lease.Milliseconds())}})[0].texts(1)
	if err != nil {
		return false
	}
	node, token, _ := strings.Cut(f[0], " ")
	rooms, err := b.roomsOf(token)
	if err != nil {
		return false
	}
	for _, room := range rooms {
		if !b.dropRoom(room, token) {
			return false // whoever is given the task next goes on
		}
	}
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	c := b.client()
	if c == nil {
		return false
	}
	for _, r := range c.DoMulti(ctx,
		c.B().Del().Key(shared+roomsKey+token).Build(),
		c.B().Zrem().Key(shared+reapKey).Member(f[0]).Build()) {
		if r.Error() != nil {
			return false
		}
	}
	if len(rooms) > 0 {
		b.opts.Logger.Info("a node is gone; its members were dropped", "node", node, "channels", len(rooms))
	}
	return true
}

// roomsOf returns the channels where a lease has members.
func (b *Broker) roomsOf(token string) ([]string, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	c := b.client()
	if c == nil {
		return nil, errDown
	}
	return c.Do(ctx, c.B().Smembers().Key(b.shared()+roomsKey+token).Build()).AsStrSlice()
}

// dropBatch is how many members are dropped by one script.
const dropBatch = 500

// dropRoom drops a lease's members from a channel and tells the feed.
func (b *Broker) dropRoom(room, token string) bool {
	base := b.base(room)
	for {
		reply := b.run(b.ctx, call{dropScript, []string{base + roomKey, base + idsKey, base + fencedKey, base + heldKey + token}, []string{token, number(dropBatch)}})[0]
		if reply.err != nil {
			return false
		}
		if len(reply.list) == 0 {
			return true
		}
		values, err := reply.texts(len(reply.list))
		if err != nil {
			return false
		}
		b.feed.Lost(room, b.decodeMembers(room, values))
	}
}

// decodeMembers reads members as kept: "token member". What cannot be read is
// left out.
func (b *Broker) decodeMembers(room string, values []string) []broker.Member {
	list := make([]broker.Member, 0, len(values))
	for _, v := range values {
		m, err := decodeMember(v)
		if err != nil {
			b.garbled(room, err)
			continue
		}
		list = append(list, m)
	}
	return list
}

func decodeMember(v string) (m broker.Member, err error) {
	_, text, ok := strings.Cut(v, " ")
	if !ok || len(text) > maxMessage {
		return m, errGarbled
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return broker.Member{}, err
	}
	if m.ID == "" {
		return broker.Member{}, errGarbled
	}
	return m, nil
}
