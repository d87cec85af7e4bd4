// Package memory is the broker of a single node that keeps everything in the
// memory of its process. It is the reference for what the broker contract
// means. Nothing outlives the process: each start is a new epoch.
//
// A Log is one channel; the map of logs is split into shards so that channels
// do not wait for each other. Everything about a channel, its feed included,
// happens under that channel's lock, which is what puts entries in one order.
package memory

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Options bound the memory of the broker. Zero fields mean the defaults.
type Options struct {
	// Channels is how many channels may be held at a time; more are refused. Default 1,000,000.
	Channels int
	// DedupeKeys is how many idempotency keys are remembered over all channels;
	// more publications with a key are refused until the oldest expire. Default 1,000,000.
	DedupeKeys int
	// StateKeys is how many keys one state channel may have, the deleted ones that
	// are remembered among them. Default 100,000.
	StateKeys int
	// Sweep is how often history that is too old, expired dedupe keys and idle
	// channels are dropped. Default 10 s.
	Sweep time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

const (
	shards       = 64
	defaultLimit = 256
	defaultBytes = 256 << 10
)

// Broker implements broker.Broker. Make it with New.
type Broker struct {
	broker.Alone

	opts  Options
	epoch string
	seed  maphash.Seed
	shard [shards]shard

	channels atomic.Int64
	dedupes  atomic.Int64

	stop    chan struct{}
	stopped sync.Once
	swept   sync.WaitGroup
}

type shard struct {
	mu   sync.RWMutex
	logs map[string]*log
	// floors are where logs begin that are made anew, so that no offset is given out
	// twice in an epoch. The names of one number share a floor: it is that of the
	// one that came furthest.
	floors [floors]uint64
}

// floors is how many a shard has.
const floors = 1024

// floor is where the floor of a name is. The shard's lock is held.
func (b *Broker) floor(s *shard, name string) *uint64 {
	return &s.floors[maphash.String(b.seed, name)/shards%floors]
}

var (
	_ broker.Broker    = (*Broker)(nil)
	_ broker.Roster    = (*Broker)(nil)
	_ broker.Immediate = (*Broker)(nil)
)

// New returns a broker that is not started.
func New(o Options) *Broker {
	o.Channels = cmp.Or(max(o.Channels, 0), 1_000_000)
	o.DedupeKeys = cmp.Or(max(o.DedupeKeys, 0), 1_000_000)
	o.StateKeys = cmp.Or(max(o.StateKeys, 0), 100_000)
	o.Sweep = cmp.Or(max(o.Sweep, 0), 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Broker{opts: o, epoch: newEpoch(), seed: maphash.MakeSeed(), stop: make(chan struct{})}
	for i := range b.shard {
		b.shard[i].logs = make(map[string]*log)
	}
	return b
}

func newEpoch() string {
	var r [6]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(r[:])
}

// Start begins to drop what is too old. There is nobody else to tell of.
func (b *Broker) Start(context.Context, string, broker.Feed) error {
	b.swept.Add(1)
	go b.sweep()
	return nil
}

// Stop ends the sweeper. What is kept stays readable until the process ends.
func (b *Broker) Stop(context.Context) error {
	b.stopped.Do(func() { close(b.stop) })
	b.swept.Wait()
	return nil
}

// Ready returns nil: memory is always there.
func (b *Broker) Ready(context.Context) error { return nil }

// Immediate reports true: nothing here blocks.
func (b *Broker) Immediate() bool { return true }

// Open returns a handle on a log, which need not be there.
func (b *Broker) Open(name string, d *channel.Declaration) broker.Log {
	h := &handle{broker: b, name: name}
	h.declared.Store(d)
	return h
}

// handle is one log as it was opened.
type handle struct {
	broker   *Broker
	name     string
	declared atomic.Pointer[channel.Declaration]
	log      atomic.Pointer[log] // as found last; it may have been dropped since
}

// lock returns the log, made if need be, with its lock held.
func (h *handle) lock() (*log, error) {
	for {
		l := h.log.Load()
		if l == nil {
			var err error
			if l, err = h.broker.log(h.broker.shardOf(h.name), h.name); err != nil {
				return nil, err
			}
			h.log.Store(l)
		}
		l.mu.Lock()
		if !l.dropped {
			return l, nil
		}
		l.mu.Unlock()
		h.log.Store(nil)
	}
}

// peek is lock for readers, which make no log: nil if there is none.
func (h *handle) peek() *log {
	s := h.broker.shardOf(h.name)
	s.mu.RLock()
	l := s.logs[h.name]
	s.mu.RUnlock()
	if l != nil {
		l.mu.Lock()
	}
	return l
}

// Append accepts p and delivers it.
func (h *handle) Append(p *broker.Publication, d broker.Done) {
	l, err := h.lock()
	if err != nil {
		d.Appended(broker.Receipt{}, err)
		return
	}
	r, err := l.append(h.broker, p, h.declared.Load())
	l.mu.Unlock()
	d.Appended(r, err)
}

// Redeclare changes what is kept.
func (h *handle) Redeclare(d *channel.Declaration) { h.declared.Store(d) }

// subscription is one follower of a log, in a list with its others.
type subscription struct {
	next     *subscription
	broker   *Broker
	log      *log
	follower broker.Follower
}

// Follow gives f what is appended from now on.
func (h *handle) Follow(f broker.Follower) broker.Subscription {
	l, err := h.lock()
	if err != nil {
		f.Begin(protocol.Position{}, err)
		return &subscription{}
	}
	defer l.mu.Unlock()
	s := &subscription{l.followers, h.broker, l, f}
	l.followers = s
	f.Begin(protocol.Position{Epoch: h.broker.epoch, Offset: l.head}, nil)
	return s
}

// Close ends the delivery.
func (s *subscription) Close() {
	l := s.log
	if l == nil {
		return
	}
	l.mu.Lock()
	for at := &l.followers; *at != nil; at = &(*at).next {
		if *at == s {
			*at = s.next
			break
		}
	}
	idle := l.idle()
	l.mu.Unlock()
	if idle {
		s.broker.drop(s.broker.shardOf(l.name), l.name, l)
	}
}

// Read returns a page of what is kept.
func (h *handle) Read(_ context.Context, r broker.Range) (broker.Page, error) {
	b := h.broker
	l := h.peek()
	if l == nil {
		floor := b.floorOf(h.name)
		return broker.Page{Epoch: b.epoch, Head: floor, Oldest: floor}, nil
	}
	defer l.mu.Unlock()
	l.trim(h.declared.Load(), b.opts.Now().UnixMilli())
	page := l.read(r)
	page.Epoch = b.epoch
	return page, nil
}

// State returns a page of the latest message of each key.
func (h *handle) State(_ context.Context, r broker.StateRange) (broker.StatePage, error) {
	b := h.broker
	page := broker.StatePage{Epoch: b.epoch}
	l := h.peek()
	if l == nil {
		page.Head = b.floorOf(h.name)
		page.Forgotten = page.Head
		return page, nil
	}
	defer l.mu.Unlock()
	l.expire(h.declared.Load(), b.opts.Now().UnixMilli())
	page.Head, page.Forgotten = l.head, l.floor
	if l.latest == nil {
		return page, nil
	}
	page.Forgotten = max(l.floor, l.latest.Forgotten())
	page.Entries, page.More = l.latest.After(r.After, cmp.Or(r.Limit, defaultLimit), cmp.Or(r.Bytes, defaultBytes))
	return page, nil
}

func (b *Broker) floorOf(name string) uint64 {
	s := b.shardOf(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return *b.floor(s, name)
}

func (b *Broker) shardOf(name string) *shard {
	return &b.shard[maphash.String(b.seed, name)%shards]
}

// log returns the log of name, made if need be. name may alias memory that the
// caller reuses: it is copied when kept.
func (b *Broker) log(s *shard, name string) (*log, error) {
	s.mu.RLock()
	l := s.logs[name]
	s.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[name]; l != nil {
		return l, nil
	}
	if b.channels.Load() >= int64(b.opts.Channels) {
		return nil, protocol.Errorf(protocol.CodeLimitExceeded, "this server holds its limit of %d channels (limits.node.channels); there is room again when all messages of some have expired (for, of history or state) and nobody is subscribed to them", b.opts.Channels).WithLimit("limits.node.channels")
	}
	b.channels.Add(1)
	floor := *b.floor(s, name)
	l = &log{name: string([]byte(name)), head: floor, floor: floor}
	s.logs[l.name] = l
	return l, nil
}

// drop removes l if it is still idle.
func (b *Broker) drop(s *shard, name string, l *log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped || !l.idle() {
		return
	}
	l.dropped = true
	floor := b.floor(s, name)
	*floor = max(*floor, l.head)
	delete(s.logs, name)
	b.channels.Add(-1)
}

func (b *Broker) sweep() {
	defer b.swept.Done()
	t := time.NewTicker(b.opts.Sweep)
	defer t.Stop()
	for {
		select {
		case <-b.stop:
			return
		case <-t.C:
			for i := range b.shard {
				b.sweepShard(&b.shard[i])
			}
		}
	}
}

func (b *Broker) sweepShard(s *shard) {
	s.mu.RLock()
	logs := make([]*log, 0, len(s.logs))
	for _, l := range s.logs {
		logs = append(logs, l)
	}
	s.mu.RUnlock()
	now := b.opts.Now().UnixMilli()
	for _, l := range logs {
		l.mu.Lock()
		l.trim(l.declared, now)
		l.expire(l.declared, now)
		b.dedupes.Add(-int64(l.forget(now)))
		idle := l.idle()
		l.mu.Unlock()
		if idle {
			b.drop(s, l.name, l)
		}
	}
}
