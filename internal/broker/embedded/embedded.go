// Package embedded is the broker of a single node that keeps its logs on the
// disk: what a restart, even a kill, leaves in place.
//
// The store puts everything of a channel that has to be kept into one order, on
// one goroutine, and calls back from it: with a message once it is durable, and
// with the position of a channel in between. So what is fed, what is acknowledged
// and where a follower begins are in the order of the log without a lock.
// Channels that keep nothing need no disk: their messages are fed at once.
package embedded

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/store"
	"ringdown/protocol"
)

const shards = 64

// Broker implements broker.Broker. Make it with New.
type Broker struct {
	broker.Alone

	opts  store.Options
	seed  maphash.Seed
	shard [shards]shard
	feed  broker.Feed
	store *store.Store // set by Start
}

// shard is the channels that are followed, of a part of all. Its lock is held
// while they are fed, so that no channel is fed twice at a time.
type shard struct {
	mu       sync.Mutex
	followed map[string]*follow
}

// follow is a channel that is followed.
type follow struct {
	name   string
	placed bool // its position was given out: what comes from now on is fed
	kept   bool // it has an epoch
}

var _ broker.Broker = (*Broker)(nil)

// New returns a broker that is not started. Nothing is opened before Start.
func New(o store.Options) *Broker {
	b := &Broker{opts: o, seed: maphash.MakeSeed()}
	for i := range b.shard {
		b.shard[i].followed = make(map[string]*follow)
	}
	return b
}

// Start opens the store, which may take as long as reading the journal does, and
// begins to deliver into feed.
func (b *Broker) Start(_ context.Context, _ string, feed broker.Feed) error {
	b.opts.Restarted, b.opts.Followed = b.restarted, b.isFollowed
	b.feed = feed
	s, err := store.Open(b.opts)
	if err != nil {
		return err
	}
	b.store = s
	return nil
}

// Claimed implements broker.Claims.
func (b *Broker) Claimed(name string, p protocol.Position) { b.store.Claim(name, p) }

func (b *Broker) isFollowed(name string) bool {
	s := b.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followed[name] != nil
}

// restarted tells the feed of the channels that go on in a new epoch. It comes in
// the order of the log, like all that the store tells.
func (b *Broker) restarted(epoch string, head func(string) (uint64, error)) {
	feed, ok := b.feed.(broker.Restarter)
	if !ok {
		return // the next entries tell
	}
	for i := range b.shard {
		s := &b.shard[i]
		s.mu.Lock()
		for _, f := range s.followed {
			if !f.placed || !f.kept {
				continue
			}
			if offset, err := head(f.name); err == nil { // else the next entry tells
				feed.Restarted(f.name, protocol.Position{Epoch: epoch, Offset: offset})
			}
		}
		s.mu.Unlock()
	}
}

// Stop writes everything down and closes the store.
func (b *Broker) Stop(ctx context.Context) error {
	if b.store == nil {
		return nil
	}
	return b.store.Close(ctx)
}

// Ready returns nil when publications can be accepted now.
func (b *Broker) Ready(context.Context) error {
	if b.store == nil {
		return errors.New("the store is not open")
	}
	return b.store.Ready()
}

// Immediate reports false: Done waits for the disk.
func (b *Broker) Immediate() bool { return false }

// Store returns the store once the broker was started.
func (b *Broker) Store() *store.Store { return b.store }

// Started reports whether Start has opened the store.
func (b *Broker) Started() bool { return b.store != nil }

// appending is one publication on its way through the store.
type appending struct {
	store.Append
	keep   store.Keep
	broker *Broker
	pub    *broker.Publication
	done   broker.Done
}

var pool = sync.Pool{New: func() any { return new(appending) }}

// Append accepts p.
func (b *Broker) Append(p *broker.Publication, d broker.Done) {
	if !p.Declaration.Kept() && p.Dedupe == "" {
		b.pass(p, d)
		return
	}
	a := pool.Get().(*appending)
	*a = appending{broker: b, pub: p, done: d}
	a.Append = store.Append{Log: p.Name(), Message: &p.Message, Dedupe: p.Dedupe, Done: a}
	if p.Dedupe != "" {
		a.Fingerprint, a.Reused = p.Fingerprint(), broker.ErrReused
	}
	if p.Declaration.Kept() && !p.Ephemeral {
		a.keep = keep(p.Declaration)
		a.Append.Keep = &a.keep
	}
	b.store.Append(&a.Append)
}

// pass feeds what nobody keeps.
func (b *Broker) pass(p *broker.Publication, d broker.Done) {
	now := b.now()
	p.Message.Time = now
	b.deliver(p)
	d.Appended(p, broker.Receipt{Time: now}, nil)
}

func (b *Broker) now() int64 { return b.store.Now().UnixMilli() }

// Appended is the store's answer.
func (a *appending) Appended(_ *store.Append, r store.Result, err error) {
	p, d, b := a.pub, a.done, a.broker
	*a = appending{}
	pool.Put(a)
	if err != nil {
		d.Appended(p, broker.Receipt{}, err)
		return
	}
	if !r.Duplicate {
		b.deliver(p)
	}
	receipt := broker.Receipt{Time: r.Time, Duplicate: r.Duplicate}
	if r.Offset > 0 {
		receipt.Position = protocol.Position{Epoch: b.store.Epoch(), Offset: r.Offset}
	}
	d.Appended(p, receipt, nil)
}

// deliver feeds p if its channel is followed.
func (b *Broker) deliver(p *broker.Publication) {
	name := p.Name()
	s := b.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.followed[name]; f != nil && f.placed {
		// By its own name: that of p is the publisher's memory.
		b.feed.Entry(f.name, b.store.Epoch(), channel.NewEntry(&p.Message, p.Ephemeral))
	}
}

// keep is what a declaration means to the store.
func keep(d *channel.Declaration) store.Keep {
	k := store.Keep{}
	if d.State != nil {
		// A state channel is followed by its keys' latest messages, not by its past.
		k = store.Keep{Messages: d.Buffer.Messages, For: d.State.For, State: true, StateFor: d.State.For}
	}
	if h := d.History; h != nil {
		k.Messages, k.Bytes, k.For = h.Messages, h.Bytes, h.For
	}
	return k
}

// Follow makes the feed deliver name's entries.
func (b *Broker) Follow(name string, d *channel.Declaration, ready func(protocol.Position, error)) {
	name = strings.Clone(name)
	s := b.shardOf(name)
	begin := func(offset uint64, err error) {
		s.mu.Lock()
		if f := s.followed[name]; f != nil {
			if f.placed = f.placed || err == nil; !f.placed {
				delete(s.followed, name)
			}
		}
		s.mu.Unlock()
		if err != nil {
			ready(protocol.Position{}, err)
			return
		}
		ready(protocol.Position{Epoch: b.store.Epoch(), Offset: offset}, nil)
	}
	s.mu.Lock()
	if s.followed[name] == nil {
		s.followed[name] = &follow{name: name, kept: d.Kept()}
	}
	s.mu.Unlock()
	if d.Kept() {
		b.store.Position(name, begin)
		return
	}
	begin(0, nil)
}

// Unfollow ends the delivery of name's entries.
func (b *Broker) Unfollow(name string) {
	s := b.shardOf(name)
	s.mu.Lock()
	delete(s.followed, name)
	s.mu.Unlock()
}

// Read returns a page of what is kept.
func (b *Broker) Read(ctx context.Context, name string, d *channel.Declaration, r broker.Range) (broker.Page, error) {
	page := broker.Page{Epoch: b.store.Epoch()}
	p, err := b.store.Read(ctx, name, keep(d), store.Range{After: r.After, Before: r.Before, Last: r.Last, Limit: r.Limit, Bytes: r.Bytes},
		func(m *store.Record) { page.Entries = append(page.Entries, entry(name, m)) })
	if err != nil {
		return broker.Page{}, err
	}
	page.Head, page.Oldest, page.More = p.Head, p.Oldest, p.More
	return page, nil
}

// State returns a page of the latest message of each key.
func (b *Broker) State(ctx context.Context, name string, d *channel.Declaration, r broker.StateRange) (broker.StatePage, error) {
	page := broker.StatePage{Epoch: b.store.Epoch()}
	p, err := b.store.State(ctx, name, keep(d), r.After, r.Limit, r.Bytes,
		func(m *store.Record) { page.Entries = append(page.Entries, entry(name, m)) })
	if err != nil {
		return broker.StatePage{}, err
	}
	page.Head, page.Forgotten, page.More = p.Head, p.Forgotten, p.More
	return page, nil
}

// entry makes the entry again that was fed when m was accepted. It copies m.
func entry(name string, m *store.Record) *channel.Entry {
	if m.Channel != "" {
		name = m.Channel
	}
	return channel.NewEntry(&protocol.Message{
		Type: m.Type, Channel: name, Key: m.Key, From: m.From, Data: m.Data, Binary: m.Binary,
		Offset: m.Offset, Prev: m.Prev, Time: m.Time, Kept: true,
	}, false)
}

func (b *Broker) shardOf(name string) *shard {
	return &b.shard[maphash.String(b.seed, name)%shards]
}
