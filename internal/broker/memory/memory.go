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
	feed  broker.Feed
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

var _ broker.Broker = (*Broker)(nil)

// New returns a broker that is not started.
func New(o Options) *Broker {
	if o.Channels <= 0 {
		o.Channels = 1_000_000
	}
	if o.DedupeKeys <= 0 {
		o.DedupeKeys = 1_000_000
	}
	if o.StateKeys <= 0 {
		o.StateKeys = 100_000
	}
	if o.Sweep <= 0 {
		o.Sweep = 10 * time.Second
	}
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

// Start begins to deliver into feed.
func (b *Broker) Start(_ context.Context, _ string, feed broker.Feed) error {
	b.feed = feed
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

// Immediate reports true.
func (b *Broker) Immediate() bool { return true }

// Append accepts p and delivers it.
func (b *Broker) Append(p *broker.Publication, d broker.Done) {
	r, err := b.append(p)
	d.Appended(p, r, err)
}

func (b *Broker) append(p *broker.Publication) (broker.Receipt, error) {
	s := b.shardOf(p.Name())
	for {
		l, err := b.log(s, p.Name())
		if err != nil {
			return broker.Receipt{}, err
		}
		l.mu.Lock()
		if l.dropped {
			// The sweeper dropped it between our look-up and the lock.
			l.mu.Unlock()
			continue
		}
		r, err := l.append(b, p)
		l.mu.Unlock()
		return r, err
	}
}

// Follow makes the feed deliver name's entries.
func (b *Broker) Follow(name string, _ *channel.Declaration, ready func(protocol.Position, error)) {
	s := b.shardOf(name)
	for {
		l, err := b.log(s, name)
		if err != nil {
			ready(protocol.Position{}, err)
			return
		}
		l.mu.Lock()
		if l.dropped {
			l.mu.Unlock()
			continue
		}
		l.followed = true
		at := protocol.Position{Epoch: b.epoch, Offset: l.head}
		l.mu.Unlock()
		ready(at, nil)
		return
	}
}

// Unfollow ends the delivery of name's entries.
func (b *Broker) Unfollow(name string) {
	s := b.shardOf(name)
	s.mu.RLock()
	l := s.logs[name]
	s.mu.RUnlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	l.followed = false
	idle := l.idle()
	l.mu.Unlock()
	if idle {
		b.drop(s, name, l)
	}
}

// Read returns a page of what is kept.
func (b *Broker) Read(_ context.Context, name string, d *channel.Declaration, r broker.Range) (broker.Page, error) {
	s := b.shardOf(name)
	s.mu.RLock()
	l := s.logs[name]
	s.mu.RUnlock()
	if l == nil {
		floor := b.floorOf(s, name)
		return broker.Page{Epoch: b.epoch, Head: floor, Oldest: floor}, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trim(d, b.opts.Now().UnixMilli())
	page := l.read(r)
	page.Epoch = b.epoch
	return page, nil
}

// State returns a page of the latest message of each key.
func (b *Broker) State(_ context.Context, name string, d *channel.Declaration, r broker.StateRange) (broker.StatePage, error) {
	s := b.shardOf(name)
	s.mu.RLock()
	l := s.logs[name]
	s.mu.RUnlock()
	page := broker.StatePage{Epoch: b.epoch}
	if l == nil {
		page.Head = b.floorOf(s, name)
		page.Forgotten = page.Head
		return page, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(d, b.opts.Now().UnixMilli())
	page.Head, page.Forgotten = l.head, l.floor
	if l.latest == nil {
		return page, nil
	}
	page.Forgotten = max(l.floor, l.latest.Forgotten())
	page.Entries, page.More = l.latest.After(r.After, cmp.Or(r.Limit, defaultLimit), cmp.Or(r.Bytes, defaultBytes))
	return page, nil
}

func (b *Broker) floorOf(s *shard, name string) uint64 {
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
