// Package redis keeps the logs of channels in Redis 6.2 or newer, or Valkey,
// alone, watched by Sentinels, or as a Cluster, so that many nodes are one
// server.
//
// # A channel
//
// A channel's log is a stream whose ids are the offsets: they are dense, a page
// is one range, and Redis itself refuses to write an id twice. One script per
// publish does everything: epoch, dedupe key, offset, log, trimming, state, and
// the PUBLISH to those who follow (SPUBLISH in a Cluster of 7.0). So nobody hears of what was not accepted, and
// all nodes hear of it in the same order.
//
// # Following
//
// PUBLISH may lose messages, and nothing relies on it. Each carries the
// fingerprint of the one before it. What does not continue where the follower
// stands is read from the stream instead; so is what a check finds that looks at
// the heads of all followed logs in turns.
//
// # Epochs
//
// A fingerprint is a hash chained over all messages of a log, so equal ones at
// one offset mean equal histories. Every script is given what the node has seen
// of the log (see evidence) and goes on in a new epoch where that is not part of
// it: a server that was emptied, or a replica that was promoted without the last
// messages, cannot pass for the log that subscribers know.
package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/lifecycle"
)

// Options say where Redis is. Addresses are needed; the other zero fields mean
// the defaults.
type Options struct {
	// Addresses are host:port of a server, of some servers of a cluster, or of
	// the Sentinels if Master is set.
	Addresses []string
	// Master is the name under which the Sentinels know the primary.
	Master string
	// Cluster says that the addresses are of a Redis Cluster.
	Cluster bool
	// Username and Password are for Redis, and those of the Sentinels for these.
	Username, Password                 string
	SentinelUsername, SentinelPassword string
	TLS                                *tls.Config // nil: none
	// Prefix is what all keys and topics begin with, for servers that others use
	// too. It has no braces. Default "rd:".
	Prefix string
	// Timeout is how long Redis has to answer, and how long a publication may be
	// on its way in all. Default 3 s.
	Timeout time.Duration
	// Lease is how long the members of a node stay in the roster when it is silent.
	// Default 10 s.
	Lease time.Duration
	// Check is how often the heads of followed logs are looked at, where there are
	// not more than a few thousand. Default 1 s.
	Check time.Duration
	// Pending is how many publications may be on their way, and PendingBytes how
	// large they may be together; more are refused at once. Default 16,384 and 64 MiB.
	Pending, PendingBytes int
	// StateKeys is how many keys one state channel may have, the deleted ones that
	// are remembered among them. Default 100,000.
	StateKeys int
	// old has tests do as with a Cluster that does not know SPUBLISH yet.
	old bool
	// Now is the clock of tests. Default: that of Redis.
	Now    func() time.Time
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, "rd:")
	o.Timeout = cmp.Or(o.Timeout, 3*time.Second)
	o.Lease = cmp.Or(o.Lease, 10*time.Second)
	o.Check = cmp.Or(o.Check, time.Second)
	o.Pending = cmp.Or(o.Pending, 16<<10)
	o.PendingBytes = cmp.Or(o.PendingBytes, 64<<20)
	o.StateKeys = cmp.Or(o.StateKeys, 100_000)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Broker implements broker.Broker. Make it with New.
type Broker struct {
	opts    Options
	publish string // PUBLISH or SPUBLISH
	node    string
	feed    broker.Feed
	metrics Metrics

	server   server
	lanes    [lanes]lane
	pending  atomic.Int64
	bytes    atomic.Int64
	evidence evidence
	follows  follows
	suspects suspects
	roster   roster

	ctx     context.Context // ends when the broker stops
	cancel  context.CancelFunc
	work    lifecycle.Crew
	started atomic.Bool
	stopped sync.Once
	closing atomic.Bool
}

// Metrics counts what a broker met. Fields may be read at any time.
type Metrics struct {
	Garbled   atomic.Uint64 // messages that could not be read, and were dropped
	Holes     atomic.Uint64 // times that a feed did not continue and the log was read
	Epochs    atomic.Uint64 // epochs that this node saw changing
	Reconnect atomic.Uint64 // times that the connection of the subscriptions was made anew
}

var (
	_ broker.Broker = (*Broker)(nil)
	_ broker.Roster = (*Broker)(nil)
	_ broker.Bus    = (*Broker)(nil)
)

// New returns a broker that is not started.
func New(o Options) (*Broker, error) {
	o = o.withDefaults()
	if len(o.Addresses) == 0 {
		return nil, errors.New("redis: there is no address")
	}
	if strings.ContainsAny(o.Prefix, "{}") {
		return nil, errors.New("redis: the prefix has a brace, which would put all keys of a cluster into one slot")
	}
	b := &Broker{opts: o, publish: "PUBLISH"}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.server.changed = make(chan struct{}, 1)
	b.server.poke = make(chan struct{}, 1)
	b.evidence.young, b.evidence.turned = map[string][]point{}, time.Now()
	b.follows.init()
	b.follows.first = b.newListener("")
	b.roster.init()
	for i := range b.lanes {
		b.lanes[i].wake = make(chan struct{}, 1)
	}
	return b, nil
}

// Start connects. It fails when Redis cannot be reached before ctx ends or the
// timeout has passed: a server that cannot work should not pretend to.
func (b *Broker) Start(ctx context.Context, node string, feed broker.Feed) error {
	b.node, b.feed = node, feed
	ctx, cancel := context.WithTimeout(ctx, 2*b.opts.Timeout)
	defer cancel()
	err := b.enter(ctx)
	if err != nil {
		// Nobody stops what did not start.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.opts.Timeout)
		defer cancel()
		_ = b.Stop(ending) // it never fails
	}
	return err
}

func (b *Broker) enter(ctx context.Context) error {
	if err := b.connect(ctx); err != nil {
		return err
	}
	b.started.Store(true)
	if err := b.renew(ctx); err != nil {
		return fmt.Errorf("redis: taking a lease: %w", b.reason(err))
	}
	if err := b.mayPublish(ctx); err != nil {
		return fmt.Errorf("redis: publishing: %w", b.reason(err))
	}
	for _, fn := range []func(){b.watch, func() { b.subscriptions(b.follows.first) }, b.checks, b.leases} {
		b.work.Go(fn)
	}
	for range catchers {
		b.work.Go(b.catchUps)
	}
	for i := range b.lanes {
		b.work.Go(func() { b.drive(&b.lanes[i]) })
	}
	// Messages to this node are heard from here on.
	return b.listening(ctx)
}

// Stop ends every goroutine; publications that wait are answered first.
func (b *Broker) Stop(ctx context.Context) error {
	b.stopped.Do(func() {
		b.closing.Store(true)
		if b.started.Load() {
			b.drain(ctx)
			b.release(ctx)
		}
		b.cancel()
		_ = b.work.Wait(context.WithoutCancel(ctx)) // all are under b.ctx, which has ended
		b.abandon()
		b.server.close()
	})
	return nil
}

// Ready returns nil when Redis takes writes and this node hears its news.
func (b *Broker) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	defer cancel()
	if err := b.usable(ctx); err != nil {
		return b.failure(err)
	}
	if !b.follows.connected() {
		return b.failure(errDown)
	}
	return nil
}

// Open returns a handle on a channel's log.
func (b *Broker) Open(name string, d *channel.Declaration) broker.Log {
	l := &log{broker: b, name: name}
	l.declared.Store(d)
	return l
}

// log is a channel's log as it was opened.
type log struct {
	broker   *Broker
	name     string
	declared atomic.Pointer[channel.Declaration]
}

// Redeclare changes what is kept.
func (l *log) Redeclare(d *channel.Declaration) { l.declared.Store(d) }

// Metrics returns the broker's counters.
func (b *Broker) Metrics() *Metrics { return &b.metrics }

// doze waits, and reports false when the broker stops.
func (b *Broker) doze(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-b.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
