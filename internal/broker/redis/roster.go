package redis

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringdown/internal/broker"
)

// roster is what this node has put in. Redis may lose it, or take this node for
// dead: then it is put in again from here.
type roster struct {
	leasing sync.Mutex // held while a lease is renewed or taken

	mu      sync.Mutex
	token   string    // of the lease
	renewed time.Time // when the lease was last known to hold
	again   bool      // Redis may lack what was put in
	rooms   map[string]map[string]broker.Member
	noted   map[string]struct{} // channels that Redis knows this lease has members in
	strays  map[stray]struct{}  // who may be in though nobody was told so
}

type stray struct{ room, id string }

func (r *roster) init() {
	r.rooms, r.noted, r.strays = map[string]map[string]broker.Member{}, map[string]struct{}{}, map[stray]struct{}{}
}

var errFenced = errors.New("redis: this node's lease has run out")

// Put puts a member of this node in.
func (b *Broker) Put(ctx context.Context, room string, m broker.Member) (entered bool, err error) {
	r := &b.roster
	r.mu.Lock()
	if r.rooms[room] == nil {
		r.rooms[room] = map[string]broker.Member{}
	}
	before, was := r.rooms[room][m.ID]
	r.rooms[room][m.ID] = m
	delete(r.strays, stray{room, m.ID})
	r.mu.Unlock()
	for try := 0; ; try++ {
		entered, err = b.put(ctx, room, m)
		if !errors.Is(err, errFenced) || try == 2 {
			break
		}
		if err = b.renew(ctx); err != nil {
			break
		}
	}
	if err == nil {
		return entered, nil
	}
	r.mu.Lock()
	if was {
		r.rooms[room][m.ID] = before
		r.again = true
	} else {
		r.forget(room, m.ID)
		r.strays[stray{room, m.ID}] = struct{}{}
	}
	r.mu.Unlock()
	return false, b.failure(err)
}

// forget takes a member out of what is ours. r.mu is held.
func (r *roster) forget(room, id string) (was bool) {
	_, was = r.rooms[room][id]
	delete(r.rooms[room], id)
	if len(r.rooms[room]) == 0 {
		delete(r.rooms, room)
	}
	return was
}

// put puts a member in under the lease that this node has now.
func (b *Broker) put(ctx context.Context, room string, m broker.Member) (entered bool, err error) {
	r := &b.roster
	r.mu.Lock()
	token, fresh := r.token, time.Since(r.renewed) < b.opts.Lease
	_, noted := r.noted[room]
	r.mu.Unlock()
	if !fresh {
		// Whether it holds still is not known: a machine that slept begins here.
		if err := b.renew(ctx); err != nil {
			return false, err
		}
		return false, errFenced
	}
	if !noted {
		if err := b.note(ctx, token, room); err != nil {
			return false, err
		}
	}
	f, err := b.run(ctx, b.putCall(token, room, m))[0].texts(1)
	if err != nil {
		return false, err
	}
	if f[0] == "fenced" {
		return false, errFenced
	}
	return f[0] == "1", nil
}

// note tells Redis that the lease has members in some channels.
func (b *Broker) note(ctx context.Context, token string, rooms ...string) error {
	f, err := b.run(ctx, call{roomsScript, []string{b.shared() + nodesKey, b.shared() + roomsKey + token}, append([]string{b.lease(token)}, rooms...)})[0].texts(1)
	if err != nil {
		return err
	}
	if f[0] != "1" {
		return errFenced
	}
	r := &b.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.token == token {
		for _, room := range rooms {
			r.noted[room] = struct{}{}
		}
	}
	return nil
}

func (b *Broker) putCall(token, room string, m broker.Member) call {
	if !json.Valid(m.Data) {
		m.Data = nil // callers do not give such, and the whole member could not be read with it
	}
	base := b.base(room)
	return call{putScript, []string{base + roomKey, base + idsKey, base + fencedKey, base + heldKey + token}, []string{m.ID, token, string(m.AppendJSON(nil))}}
}

// putAll puts everything in that is this node's.
func (b *Broker) putAll(ctx context.Context, token string) error {
	r := &b.roster
	type one struct {
		room string
		m    broker.Member
	}
	var all []one
	var rooms []string
	r.mu.Lock()
	for room, members := range r.rooms {
		rooms = append(rooms, room)
		for _, m := range members {
			all = append(all, one{room, m})
		}
	}
	r.mu.Unlock()
	for len(rooms) > 0 {
		n := min(len(rooms), batchCount)
		if err := b.note(ctx, token, rooms[:n]...); err != nil {
			return err
		}
		rooms = rooms[n:]
	}
	for len(all) > 0 {
		n := min(len(all), batchCount)
		calls := make([]call, n)
		for i, o := range all[:n] {
			calls[i] = b.putCall(token, o.room, o.m)
		}
		for i, reply := range b.run(ctx, calls...) {
			if reply.err != nil {
				r.mu.Lock()
				r.again = true
				r.mu.Unlock()
				return reply.err
			}
			r.mu.Lock()
			if _, ours := r.rooms[all[i].room][all[i].m.ID]; !ours {
				r.strays[stray{all[i].room, all[i].m.ID}] = struct{}{} // it left meanwhile
			}
			r.mu.Unlock()
		}
		all = all[n:]
	}
	return nil
}

// Remove takes a member of this node out.
func (b *Broker) Remove(ctx context.Context, room, id string) (left bool, err error) {
	r := &b.roster
	r.mu.Lock()
	r.forget(room, id)
	token := r.token
	r.mu.Unlock()
	left, err = b.take(ctx, token, room, id)
	if err != nil {
		r.mu.Lock()
		r.strays[stray{room, id}] = struct{}{}
		r.mu.Unlock()
		return false, b.failure(err)
	}
	return left, nil
}

func (b *Broker) take(ctx context.Context, token, room, id string) (bool, error) {
	base := b.base(room)
	f, err := b.run(ctx, call{takeScript, []string{base + roomKey, base + idsKey, base + heldKey + token}, []string{id, token}})[0].texts(1)
	return err == nil && f[0] == "1", err
}

// takeStrays takes those out of whom it was not known whether they are in.
func (b *Broker) takeStrays() {
	r := &b.roster
	r.mu.Lock()
	token := r.token
	list := make([]stray, 0, len(r.strays))
	for s := range r.strays {
		list = append(list, s)
	}
	r.mu.Unlock()
	for _, s := range list {
		if _, err := b.take(b.ctx, token, s.room, s.id); err != nil {
			return
		}
		r.mu.Lock()
		delete(r.strays, s)
		r.mu.Unlock()
	}
}

// Members returns a page of who is in.
func (b *Broker) Members(ctx context.Context, room string, r broker.MemberRange) (page broker.MemberPage, err error) {
	base := b.base(room)
	reply := b.run(ctx, call{membersScript, []string{base + roomKey, base + idsKey}, []string{r.After, strconv.Itoa(max(r.Limit, 0))}})[0]
	f, err := reply.texts(2)
	if err != nil || len(reply.list) != 3 {
		return page, b.failure(errOr(err, errGarbled))
	}
	values, err := reply.list[2].AsStrSlice()
	if err != nil {
		return page, b.failure(errGarbled)
	}
	if page.Total, err = strconv.Atoi(f[0]); err != nil {
		return page, b.failure(errGarbled)
	}
	page.More = f[1] == "1"
	page.Members = b.decodeMembers(room, values)
	return page, nil
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// Nodes returns the nodes that are there.
func (b *Broker) Nodes(ctx context.Context) ([]string, error) {
	reply := b.run(ctx, call{nodesScript, []string{b.shared() + nodesKey}, nil})[0]
	leases, err := reply.texts(len(reply.list))
	if err != nil {
		return nil, b.failure(err)
	}
	var names []string
	seen := map[string]bool{}
	for _, l := range leases {
		name, _, _ := strings.Cut(l, " ")
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names, nil
}
