package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// lateBroker answers on another goroutine after a moment, as a store does that
// is elsewhere. Reads can be held, counted and made to fail.
type lateBroker struct {
	broker.Broker
	delay  time.Duration // of a read; default 1 ms
	prompt bool          // publications are answered at once
	early  bool          // what a read answers is what was there when it began
	follow chan struct{} // nothing is followed before it is closed; nil: at once

	reads, now, most atomic.Int32 // read in all, at a time, at most at a time
	fail             atomic.Int32 // so many reads that come next fail

	mu   sync.Mutex
	hold chan struct{} // reads wait until it is closed; nil: they do not
	seen chan broker.Range
}

func (b *lateBroker) Immediate() bool { return false }

func (b *lateBroker) Append(p *broker.Publication, d broker.Done) {
	if !b.prompt {
		d = late{d}
	}
	b.Broker.Append(p, d)
}

type late struct{ d broker.Done }

func (l late) Appended(p *broker.Publication, r broker.Receipt, err error) {
	time.AfterFunc(time.Millisecond, func() { l.d.Appended(p, r, err) })
}

func (b *lateBroker) Follow(name string, d *channel.Declaration, ready func(protocol.Position, error)) {
	b.Broker.Follow(name, d, func(p protocol.Position, err error) {
		if b.follow == nil {
			time.AfterFunc(time.Millisecond, func() { ready(p, err) })
			return
		}
		go func() {
			<-b.follow
			ready(p, err)
		}()
	})
}

// wait is the slowness of a read.
func (b *lateBroker) wait(ctx context.Context, r broker.Range) error {
	b.reads.Add(1)
	if n := b.now.Add(1); n > b.most.Load() {
		b.most.Store(n)
	}
	defer b.now.Add(-1)
	b.mu.Lock()
	hold, seen := b.hold, b.seen
	b.mu.Unlock()
	if hold != nil {
		seen <- r
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	} else {
		time.Sleep(max(b.delay, time.Millisecond)) // it is the slowness that is tested
	}
	if b.fail.Add(-1) >= 0 {
		return &protocol.Error{Code: protocol.CodeUnavailable, Message: "planted", Retryable: true}
	}
	b.fail.Store(0)
	return nil
}

// holdReads makes reads wait until release. seen is sent what they ask.
func (b *lateBroker) holdReads() (seen chan broker.Range, release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hold := make(chan struct{})
	b.hold, b.seen = hold, make(chan broker.Range, 1000)
	return b.seen, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hold = nil
		close(hold)
	}
}

func (b *lateBroker) Read(ctx context.Context, name string, d *channel.Declaration, r broker.Range) (broker.Page, error) {
	early, err := b.Broker.Read(ctx, name, d, r)
	if err := b.wait(ctx, r); err != nil {
		return broker.Page{}, err
	}
	if b.early {
		return early, err
	}
	return b.Broker.Read(ctx, name, d, r)
}

func (b *lateBroker) State(ctx context.Context, name string, d *channel.Declaration, r broker.StateRange) (broker.StatePage, error) {
	if err := b.wait(ctx, broker.Range{After: r.After}); err != nil {
		return broker.StatePage{}, err
	}
	return b.Broker.State(ctx, name, d, r)
}

// behindBroker has a feed that can be held back, as that of a node is when the
// store has accepted more than has come to it.
type behindBroker struct {
	lateBroker
	feed broker.Feed

	held bool // guarded by mu, as is what follows
	owed []func()
}

func (b *behindBroker) Start(ctx context.Context, node string, f broker.Feed) error {
	b.feed = f
	return b.Broker.Start(ctx, node, b)
}

func (b *behindBroker) Entry(name, epoch string, e *channel.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held {
		b.owed = append(b.owed, func() { b.feed.Entry(name, epoch, e) })
		return
	}
	b.feed.Entry(name, epoch, e)
}

func (b *behindBroker) Lost(name string, members []broker.Member) { b.feed.Lost(name, members) }
func (b *behindBroker) Control(from string, payload []byte)       { b.feed.Control(from, payload) }

// holdFeed holds the feed back, or lets go what it was held back.
func (b *behindBroker) holdFeed(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = on
	for _, fn := range b.owed {
		fn()
	}
	b.owed = nil
}
