package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// driver is a broker with a roster.
type driver interface {
	broker.Broker
	broker.Roster
}

// lateBroker answers on another goroutine after a moment, as a store does that
// is elsewhere. Reads can be held, counted and made to fail.
type lateBroker struct {
	driver
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

type late struct{ d broker.Done }

func (l late) Appended(r broker.Receipt, err error) {
	time.AfterFunc(time.Millisecond, func() { l.d.Appended(r, err) })
}

// lateFollower is told late where it begins, and what comes before that after it.
type lateFollower struct {
	broker.Follower
	mu    sync.Mutex
	begun bool
	line  []func()
}

func (f *lateFollower) put(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun {
		fn()
	} else {
		f.line = append(f.line, fn)
	}
}

func (f *lateFollower) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = true
	for _, fn := range f.line {
		fn()
	}
}

func (f *lateFollower) Begin(p protocol.Position, err error) {
	f.put(func() { f.Follower.Begin(p, err) })
}
func (f *lateFollower) Entry(epoch string, e *channel.Entry) {
	f.put(func() { f.Follower.Entry(epoch, e) })
}
func (f *lateFollower) Restart(p protocol.Position) { f.put(func() { f.Follower.Restart(p) }) }

func (b *lateBroker) Open(name string, d *channel.Declaration) broker.Log {
	l := &brokertest.Log{Log: b.driver.Open(name, d)}
	l.OnAppend = func(p *broker.Publication, d broker.Done) {
		if !b.prompt {
			d = late{d}
		}
		l.Log.Append(p, d)
	}
	l.OnFollow = func(f broker.Follower) broker.Subscription {
		late := &lateFollower{Follower: f}
		sub := l.Log.Follow(late)
		if b.follow == nil {
			time.AfterFunc(time.Millisecond, late.begin)
			return sub
		}
		go func() {
			<-b.follow
			late.begin()
		}()
		return sub
	}
	l.OnRead = func(ctx context.Context, r broker.Range) (broker.Page, error) {
		early, err := l.Log.Read(ctx, r)
		if err := b.wait(ctx, r); err != nil {
			return broker.Page{}, err
		}
		if b.early {
			return early, err
		}
		return l.Log.Read(ctx, r)
	}
	l.OnState = func(ctx context.Context, r broker.StateRange) (broker.StatePage, error) {
		if err := b.wait(ctx, broker.Range{After: r.After}); err != nil {
			return broker.StatePage{}, err
		}
		return l.Log.State(ctx, r)
	}
	return l
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

// behindBroker has followers that can be held back, as those of a node are when
// the store has accepted more than has come to it.
type behindBroker struct {
	lateBroker

	held bool // guarded by mu, as is what follows
	owed []func()
}

type behindFollower struct {
	broker.Follower
	b *behindBroker
}

func (f behindFollower) Entry(epoch string, e *channel.Entry) {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	if f.b.held {
		f.b.owed = append(f.b.owed, func() { f.Follower.Entry(epoch, e) })
		return
	}
	f.Follower.Entry(epoch, e)
}

func (b *behindBroker) Open(name string, d *channel.Declaration) broker.Log {
	l := &brokertest.Log{Log: b.lateBroker.Open(name, d)}
	l.OnFollow = func(f broker.Follower) broker.Subscription { return l.Log.Follow(behindFollower{f, b}) }
	return l
}

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
