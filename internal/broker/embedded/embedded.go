// Package embedded is the broker of a single node that keeps its logs on the
// disk: what a restart, even a kill, leaves in place.
//
// The store puts everything of a channel that is to be kept into one order, on one
// goroutine, and calls back from that goroutine: with a message once it is durable,
// and with the position of a channel in between. So what followers are given, what
// is acknowledged, and where a follower begins are in the order of the log without
// a lock. Channels that keep nothing need no disk: their messages are given to
// followers at once.
package embedded

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	store *store.Store // set by Start
}

// shard has the followers of a part of all channels. Its lock is held while they are
// given something, so that none is given two things at a time.
type shard struct {
	mu       sync.Mutex
	followed map[string][]*subscription
}

// subscription is one follower of a log.
type subscription struct {
	shard    *shard
	name     string
	follower broker.Follower
	begun    bool // its position was given out: what comes from now on is its
	kept     bool // the log has an epoch
}

var (
	_ broker.Broker = (*Broker)(nil)
	_ broker.Roster = (*Broker)(nil)
	_ broker.Claims = (*log)(nil)
)

// New returns a broker that is not started. Nothing is opened before Start.
func New(o store.Options) *Broker {
	b := &Broker{opts: o, seed: maphash.MakeSeed()}
	for i := range b.shard {
		b.shard[i].followed = make(map[string][]*subscription)
	}
	return b
}

// Start opens the store, which may take as long as reading the journal does, and
// serves its logs. There is nobody else to tell of.
func (b *Broker) Start(context.Context, string, broker.Feed) error {
	b.opts.Restarted, b.opts.Followed = b.restarted, b.isFollowed
	s, err := store.Open(b.opts)
	if err != nil {
		return err
	}
	b.store = s
	return nil
}

// Claimed implements broker.Claims.
func (l *log) Claimed(p protocol.Position) { l.broker.store.Claim(l.name, p) }

func (b *Broker) isFollowed(name string) bool {
	s := b.shardOf(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.followed[name] != nil
}

// restarted tells the followers of the channels that go on in a new epoch. It comes
// in the order of the log, like all that the store tells.
func (b *Broker) restarted(epoch string, head func(string) (uint64, error)) {
	for i := range b.shard {
		s := &b.shard[i]
		s.mu.Lock()
		for name, list := range s.followed {
			for _, f := range list {
				if !f.begun || !f.kept {
					continue
				}
				if offset, err := head(name); err == nil { // else the next entry tells
					f.follower.Restart(protocol.Position{Epoch: epoch, Offset: offset})
				}
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

// Store returns the store once the broker was started.
func (b *Broker) Store() *store.Store { return b.store }

// Started reports whether Start has opened the store.
func (b *Broker) Started() bool { return b.store != nil }

// Open returns a handle on a log.
func (b *Broker) Open(name string, d *channel.Declaration) broker.Log {
	l := &log{broker: b, name: name}
	l.declared.Store(d)
	return l
}

// log is a log as it was opened.
type log struct {
	broker   *Broker
	name     string
	declared atomic.Pointer[channel.Declaration]
}

// Redeclare changes what is kept.
func (l *log) Redeclare(d *channel.Declaration) { l.declared.Store(d) }

// appending is one publication on its way through the store.
type appending struct {
	store.Append
	keep      store.Keep
	log       *log
	message   *protocol.Message
	ephemeral bool
	done      broker.Done
}

var pool = sync.Pool{New: func() any { return new(appending) }}

// Append accepts p.
func (l *log) Append(p *broker.Publication, d broker.Done) {
	declared := l.declared.Load()
	if !declared.Kept() && p.Dedupe == "" {
		l.pass(p, d)
		return
	}
	a := pool.Get().(*appending)
	*a = appending{log: l, message: p.Message.Clone(), ephemeral: p.Ephemeral, done: d}
	a.Append = store.Append{Log: l.name, Message: a.message, Dedupe: p.Dedupe, Done: a}
	if p.Dedupe != "" {
		a.Fingerprint, a.Reused = p.Fingerprint(), broker.ErrReused
	}
	if declared.Kept() && !p.Ephemeral {
		a.keep = keep(declared)
		a.Append.Keep = &a.keep
	}
	l.broker.store.Append(&a.Append)
}

// pass delivers what nobody keeps.
func (l *log) pass(p *broker.Publication, d broker.Done) {
	now := l.broker.now()
	p.Message.Time = now
	l.deliver(&p.Message, p.Ephemeral)
	d.Appended(broker.Receipt{Time: now}, nil)
}

func (b *Broker) now() int64 { return b.store.Now().UnixMilli() }

// Appended is the store's answer.
func (a *appending) Appended(_ *store.Append, r store.Result, err error) {
	l, m, ephemeral, d := a.log, a.message, a.ephemeral, a.done
	*a = appending{}
	pool.Put(a)
	if err != nil {
		d.Appended(broker.Receipt{}, err)
		return
	}
	if !r.Duplicate {
		l.deliver(m, ephemeral)
	}
	receipt := broker.Receipt{Time: r.Time, Duplicate: r.Duplicate}
	if r.Offset > 0 {
		receipt.Position = protocol.Position{Epoch: l.broker.store.Epoch(), Offset: r.Offset}
	}
	d.Appended(receipt, nil)
}

// deliver gives a message to those who follow.
func (l *log) deliver(m *protocol.Message, ephemeral bool) {
	s := l.broker.shardOf(l.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	var e *channel.Entry
	for _, f := range s.followed[l.name] {
		if !f.begun {
			continue
		}
		if e == nil {
			e = channel.NewEntry(m, ephemeral)
		}
		f.follower.Entry(l.broker.store.Epoch(), e)
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

// Follow gives f what is appended from now on.
func (l *log) Follow(f broker.Follower) broker.Subscription {
	sh := l.broker.shardOf(l.name)
	s := &subscription{shard: sh, name: strings.Clone(l.name), follower: f, kept: l.declared.Load().Kept()}
	sh.mu.Lock()
	sh.followed[s.name] = append(sh.followed[s.name], s)
	sh.mu.Unlock()
	begin := func(offset uint64, err error) { s.begin(l.broker.store.Epoch(), offset, err) }
	if s.kept {
		l.broker.store.Position(s.name, begin)
	} else {
		begin(0, nil)
	}
	return s
}

// begin tells where the delivery begins.
func (s *subscription) begin(epoch string, offset uint64, err error) {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	if err != nil {
		s.remove()
		s.follower.Begin(protocol.Position{}, err)
		return
	}
	s.begun = true
	s.follower.Begin(protocol.Position{Epoch: epoch, Offset: offset}, nil)
}

// Close ends the delivery.
func (s *subscription) Close() {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	s.remove()
}

// remove takes s out of its shard, whose lock is held.
func (s *subscription) remove() {
	list := s.shard.followed[s.name]
	i := slices.Index(list, s)
	switch {
	case i < 0:
	case len(list) == 1:
		delete(s.shard.followed, s.name)
	default:
		s.shard.followed[s.name] = slices.Delete(list, i, i+1)
	}
}

// Read returns a page of what is kept.
func (l *log) Read(ctx context.Context, r broker.Range) (broker.Page, error) {
	b := l.broker
	page := broker.Page{Epoch: b.store.Epoch()}
	p, err := b.store.Read(ctx, l.name, keep(l.declared.Load()), store.Range{After: r.After, Before: r.Before, Last: r.Last, Limit: r.Limit, Bytes: r.Bytes},
		func(m *store.Record) { page.Entries = append(page.Entries, entry(l.name, m)) })
	if err != nil {
		return broker.Page{}, err
	}
	page.Head, page.Oldest, page.More = p.Head, p.Oldest, p.More
	return page, nil
}

// State returns a page of the latest message of each key.
func (l *log) State(ctx context.Context, r broker.StateRange) (broker.StatePage, error) {
	b := l.broker
	page := broker.StatePage{Epoch: b.store.Epoch()}
	p, err := b.store.State(ctx, l.name, keep(l.declared.Load()), r.After, r.Limit, r.Bytes,
		func(m *store.Record) { page.Entries = append(page.Entries, entry(l.name, m)) })
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
