// Package node holds what the server can do with channels, whoever asks for it and
// over what: find a channel, publish to it, follow it, read its history. Sessions,
// REST and the Go API call it; each is a door that requests come in by.
//
// A node keeps a Channel for every channel that somebody here follows: a ring, which
// the channel's log fills, and whom to nudge when there is something new in it.
// Channels that are only published to need none.
//
// What is trusted: the door says who the caller is, and has checked names and the
// size of payloads. Permit asks the channel's rules.
package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Options make a Node. Broker and Table are needed.
type Options struct {
	Broker broker.Broker
	Table  *channel.Table
	// RingBytes is the memory that all rings together may take. When it is used up, a
	// ring that grows is cut to its fair share. Default 256 MiB.
	RingBytes int64
	// Channels is how many channels may be followed at a time. Default 1,000,000.
	Channels int
	// Quiet is how long a channel that gets nothing new keeps its ring, at least.
	// After that, readers are given what the store has. Default 30 s.
	Quiet  time.Duration
	Logger *slog.Logger
}

const shards = 64

// Node is this server's part of the cluster. All methods are safe for
// concurrent use.
type Node struct {
	opts   Options
	name   string
	broker broker.Broker
	roster broker.Roster // nil: the broker keeps none
	bus    broker.Bus    // nil: this node is alone
	hook   atomic.Pointer[Hook]
	table  atomic.Pointer[channel.Table]

	publications sync.Pool // of *broker.Publication

	seed  maphash.Seed
	shard [shards]shard

	ringBytes  atomic.Int64
	channels   atomic.Int64
	metrics    Metrics
	control    control
	attendance attendance
	members    members
}

type shard struct {
	mu       sync.RWMutex
	channels map[string]*Channel
}

// New returns a node that is not started.
func New(o Options) *Node {
	o.RingBytes = cmp.Or(o.RingBytes, 256<<20)
	o.Channels = cmp.Or(o.Channels, 1_000_000)
	o.Quiet = cmp.Or(o.Quiet, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	n := &Node{opts: o, name: newName(), broker: o.Broker, seed: maphash.MakeSeed(), control: newControl(), members: newMembers()}
	n.roster, _ = o.Broker.(broker.Roster)
	n.bus, _ = o.Broker.(broker.Bus)
	n.publications.New = func() any { return new(broker.Publication) }
	n.table.Store(o.Table)
	n.Handle(verbChannels, n.listHere)
	n.attendance.open(n)
	for i := range n.shard {
		n.shard[i].channels = make(map[string]*Channel)
	}
	return n
}

// newName makes a name that no other node has: 48 random bits.
func newName() string {
	var r [6]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(r[:])
}

// Start starts the broker.
func (n *Node) Start(ctx context.Context) error {
	if err := n.broker.Start(ctx, n.name, (*feed)(n)); err != nil {
		return err
	}
	n.control.work.Go(n.tidy)
	return nil
}

// tidy empties the rings of quiet channels, until the node stops.
func (n *Node) tidy() {
	t := time.NewTicker(n.opts.Quiet)
	defer t.Stop()
	for {
		select {
		case <-n.control.ctx.Done():
			return
		case <-t.C:
			n.each((*Channel).rest)
		}
	}
}

// Name returns the name of this node among those that share the broker. It is a new
// one at each start of the process.
func (n *Node) Name() string { return n.name }

// Stop ends the answers to other nodes and the work on members, and stops the
// broker. It removes no members: see attendance.
func (n *Node) Stop(ctx context.Context) error {
	n.control.stop(ctx)
	return errors.Join(n.attendance.stop(ctx), n.broker.Stop(ctx))
}

// Ready returns nil when publications can be accepted now.
func (n *Node) Ready(ctx context.Context) error { return n.broker.Ready(ctx) }

// Immediate reports whether Publish always answers before it returns.
func (n *Node) Immediate() bool {
	b, ok := n.broker.(broker.Immediate)
	return ok && b.Immediate()
}

// Table returns the declared channels.
func (n *Node) Table() *channel.Table { return n.table.Load() }

// SetTable replaces the declared channels. Channels that are followed take over
// their new declaration at once. Those that are no longer declared keep the old one
// until their last subscriber leaves; the sessions see to that.
func (n *Node) SetTable(t *channel.Table) {
	n.table.Store(t)
	n.each(func(c *Channel) {
		if d, ok := t.Match(c.Name); ok && !protocol.ServerOwned(c.Name) {
			c.redeclare(d)
		}
	})
}

// Target is a declared channel: what its name means.
type Target struct {
	Declaration *channel.Declaration
}

// Resolve finds what the name is declared as. It fails with bad_request for an
// invalid name, forbidden for one of the server's own, and not_found otherwise.
func (n *Node) Resolve(name string) (Target, error) {
	// One of the server's own logs may be followed here; clients still may not.
	if c := n.lookup(name); c != nil && !protocol.ServerOwned(name) {
		return c.Target(), nil
	}
	return resolve(n.table.Load(), name)
}

func resolve(table *channel.Table, name string) (Target, error) {
	if err := protocol.ValidChannel(name); err != nil {
		return Target{}, err
	}
	if protocol.ServerOwned(name) {
		return Target{}, protocol.Errorf(protocol.CodeForbidden, "channels beginning with $ belong to the server")
	}
	return declared(table, name)
}

// Redeclared is Resolve by the newest table, for a name that was valid before. A
// channel that is followed may still have an older declaration.
func (n *Node) Redeclared(name string) (Target, error) {
	return declared(n.table.Load(), name)
}

func declared(table *channel.Table, name string) (Target, error) {
	d, ok := table.Match(name)
	if !ok {
		return Target{}, protocol.Errorf(protocol.CodeNotFound, "no channel %q is declared; declare it, or a pattern that matches it, under channels in the configuration file", name)
	}
	return Target{d}, nil
}

// lookup returns the channel if somebody here follows it.
func (n *Node) lookup(name string) *Channel {
	s := n.shardOf(name)
	s.mu.RLock()
	c := s.channels[name]
	s.mu.RUnlock()
	return c
}

func (n *Node) shardOf(name string) *shard { return &n.shard[n.shardIndex(name)] }

func (n *Node) shardIndex(name string) uint64 { return maphash.String(n.seed, name) % shards }

// each calls fn with every channel that is followed, under no lock.
func (n *Node) each(fn func(c *Channel)) {
	for i := range n.shard {
		s := &n.shard[i]
		s.mu.RLock()
		list := slices.Collect(maps.Values(s.channels))
		s.mu.RUnlock()
		for _, c := range list {
			fn(c)
		}
	}
}

// Channels returns how many channels are followed, and RingBytes what their
// rings take.
func (n *Node) Channels() int { return int(n.channels.Load()) }

// RingBytes returns the bytes that all rings together take.
func (n *Node) RingBytes() int64 { return n.ringBytes.Load() }

// feed is the node as its broker sees it.
type feed Node

// Lost hears of members of a channel whose node is gone.
func (f *feed) Lost(name string, members []broker.Member) {
	(*Node)(f).attendance.lost(name, members)
}
