package redis

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// subscribeBatch is how many topics one SUBSCRIBE names, and how many commands
// are sent at a time.
const subscribeBatch = 512

// listener keeps one connection that hears topics. The first hears what nodes
// tell each other and, unless logs are sharded, those of the channels; of others
// there is one for each primary.
type listener struct {
	address string // of the primary; empty for the first
	ctx     context.Context
	cancel  context.CancelFunc
	up      atomic.Bool // it hears all it should
	wake    chan struct{}
	turned  []string // topics to be subscribed or unsubscribed; follows.mu is held
}

func (b *Broker) newListener(address string) *listener {
	l := &listener{address: address, wake: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(b.ctx)
	return l
}

// turn has l look at whether it is to hear a topic. follows.mu is held.
func (l *listener) turn(topic string) {
	if l == nil {
		return // the slot is nobody's, for now
	}
	l.turned = append(l.turned, topic)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// listener returns who is to hear f; nil while its slot is nobody's. mu is held.
func (s *follows) listener(f *follow) *listener {
	switch {
	case !s.sharded:
		return s.first
	case s.owners == nil:
		return nil
	}
	return s.owners[f.slot]
}

// server returns who listens to the server that has f's log.
func (s *follows) server(f *follow) *listener {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.listener(f)
}

// turn has f subscribed or unsubscribed, whichever is right when that is done.
// mu is held.
func (s *follows) turn(f *follow) {
	s.listener(f).turn(f.topic)
}

// connected reports whether everything is heard that should be.
func (s *follows) connected() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.shards {
		if !l.up.Load() {
			return false
		}
	}
	return s.first.up.Load() && (!s.sharded || len(s.shards) > 0)
}

// subscriptions keeps l connected.
func (b *Broker) subscriptions(l *listener) {
	defer l.cancel()
	for first := true; l.ctx.Err() == nil; first = false {
		if !first {
			b.metrics.Reconnect.Add(1)
		}
		b.listen(l)
		l.up.Store(false)
		b.doubt(nil)
		if !b.doze(100 * time.Millisecond) {
			return
		}
	}
}

// listen subscribes to everything and stays until the connection breaks or the
// primary is another.
func (b *Broker) listen(l *listener) {
	if l.address == "" {
		select {
		case <-b.server.changed: // whoever it is now is looked up below
		default:
		}
	}
	p := b.server.current.Load()
	c, release := b.dedicate(l, p)
	if c == nil {
		return
	}
	defer release()
	lost := c.SetPubSubHooks(b.ears(l, p))
	s := &b.follows
	var topics []string
	s.mu.Lock()
	l.turned = nil
	for topic, list := range s.byTopic {
		if s.listener(list[0]) == l {
			topics = append(topics, topic)
		}
	}
	s.mu.Unlock()
	if err := b.attend(l, c); err != nil {
		b.follows.refusal.Store(&err)
		return
	}
	if !b.turn(l, c, topics, nil) {
		return
	}
	l.up.Store(true)
	b.stay(l, c, lost)
}

// ears are what hears l's connection, which is one to p.
func (b *Broker) ears(l *listener, p *primary) rueidis.PubSubHooks {
	return rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) {
			// A primary that slept while another was made wakes and does what it was
			// sent before. That is no part of the history that this node is in now,
			// and whoever took it for one would have to be told of a new epoch.
			if b.server.current.Load() == p {
				b.hear(m.Channel, m.Message)
			}
		},
		OnSubscription: func(s rueidis.PubSubSubscription) {
			if s.Kind == "sunsubscribe" {
				b.stray(l, s.Channel)
			}
		},
	}
}

// stay keeps to the connection for as long as it is the right one, and has it
// hear what turns.
func (b *Broker) stay(l *listener, c rueidis.DedicatedClient, lost <-chan error) {
	alive := time.NewTicker(b.opts.Timeout)
	defer alive.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case err := <-lost:
			b.opts.Logger.Debug("a connection of the subscriptions broke", "error", err)
			return
		case <-alive.C:
			if !b.hearing(c) {
				return
			}
		case <-l.wake:
			on, off := b.follows.takeTurned(l)
			if !b.turn(l, c, on, off) {
				return
			}
		case <-b.changed(l):
			return
		}
	}
}

// changed is told that the primary is another. Those who listen to one of a
// Cluster end when it is none any more.
func (b *Broker) changed(l *listener) <-chan struct{} {
	if l.address != "" {
		return nil
	}
	return b.server.changed
}

// dedicate takes a connection of l's own: to its primary, or for the first to p,
// which is the only one, or to one server of a cluster, as what is published to
// any of them reaches all.
func (b *Broker) dedicate(l *listener, p *primary) (rueidis.DedicatedClient, func()) {
	if p == nil {
		return nil, nil
	}
	c := p.client
	switch {
	case l.address != "":
		if c = c.Nodes()[l.address]; c == nil {
			return nil, nil // the client does not know it yet
		}
	case b.opts.Cluster:
		for _, node := range c.Nodes() {
			ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
			_, err := ask(ctx, node)
			cancel()
			if err == nil {
				c = node
				break
			}
		}
	}
	d, cancel := c.Dedicate()
	return d, func() { d.Close(); cancel() }
}

// attend subscribes the first listener to what is between nodes.
func (b *Broker) attend(l *listener, c rueidis.DedicatedClient) error {
	if l.address != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, b.opts.Timeout)
	defer cancel()
	return c.Do(ctx, c.B().Subscribe().Channel(b.shared(), b.shared()+b.node).Build()).Error()
}

// hearing reports whether the connection is one to the primary still.
func (b *Broker) hearing(c rueidis.DedicatedClient) bool {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	lineage, err := ask(ctx, c)
	return err == nil && (b.opts.Cluster || lineage == b.lineage())
}

// heardBy reports whether somebody follows a topic, and l is to hear it. mu is held.
func (s *follows) heardBy(topic string, l *listener) bool {
	list := s.byTopic[topic]
	return len(list) > 0 && s.listener(list[0]) == l
}

// takeTurned returns the topics that l is to subscribe and unsubscribe.
func (s *follows) takeTurned(l *listener) (on, off []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, topic := range l.turned {
		if s.heardBy(topic, l) {
			on = append(on, topic)
		} else {
			off = append(off, topic)
		}
	}
	l.turned = nil
	return on, off
}

// turn subscribes and unsubscribes, and goes on with those who wait for it. It
// reports whether the connection is usable.
func (b *Broker) turn(l *listener, c rueidis.DedicatedClient, on, off []string) bool {
	for _, part := range b.parts(off) {
		ctx, cancel := context.WithTimeout(l.ctx, b.opts.Timeout)
		commands := make(rueidis.Commands, len(part))
		for i, topics := range part {
			if b.follows.sharded {
				commands[i] = c.B().Sunsubscribe().Channel(topics...).Build()
			} else {
				commands[i] = c.B().Unsubscribe().Channel(topics...).Build()
			}
		}
		replies := c.DoMulti(ctx, commands...)
		cancel()
		for _, r := range replies {
			if r.NonRedisError() != nil {
				return false
			}
		}
	}
	for _, part := range b.parts(on) {
		ctx, cancel := context.WithTimeout(l.ctx, b.opts.Timeout)
		commands := make(rueidis.Commands, len(part))
		for i, topics := range part {
			if b.follows.sharded {
				commands[i] = c.B().Ssubscribe().Channel(topics...).Build()
			} else {
				commands[i] = c.B().Subscribe().Channel(topics...).Build()
			}
		}
		replies := c.DoMulti(ctx, commands...)
		cancel()
		for i, r := range replies {
			switch err := r.Error(); {
			case err == nil:
				b.subscribed(part[i])
			case r.NonRedisError() != nil:
				return false
			case isRefusal(err):
				b.refuse(part[i], err)
			case b.follows.sharded:
				b.opts.Logger.Debug("topics were not subscribed", "error", err)
				b.stray(l, part[i]...)
			default:
				return false
			}
		}
	}
	return true
}

// isRefusal reports whether Redis lacks not the means, but the will.
func isRefusal(err error) bool {
	r, ok := rueidis.IsRedisErr(err)
	return ok && word(r.Error()) == "NOPERM"
}

// refuse answers those who wait to follow topics that this node may not hear.
func (b *Broker) refuse(topics []string, err error) {
	b.opts.Logger.Warn("Redis does not let this node hear channels", "error", b.reason(err))
	b.follows.mu.RLock()
	var waiting []*follow
	for _, topic := range topics {
		waiting = append(waiting, b.follows.byTopic[topic]...)
	}
	b.follows.mu.RUnlock()
	for _, f := range waiting {
		b.fail(f, err)
	}
}

// parts groups topics: those of an inner list are for one command, and where
// logs are sharded of one slot; an outer one is sent at a time.
func (b *Broker) parts(topics []string) (parts [][][]string) {
	if !b.follows.sharded {
		for some := range slices.Chunk(topics, subscribeBatch) {
			parts = append(parts, [][]string{some})
		}
		return parts
	}
	bySlot := map[uint16][]string{}
	for _, topic := range topics {
		slot := slotOf(topic)
		bySlot[slot] = append(bySlot[slot], topic)
	}
	var groups [][]string
	for _, all := range bySlot {
		groups = slices.AppendSeq(groups, slices.Chunk(all, subscribeBatch))
	}
	return slices.Collect(slices.Chunk(groups, subscribeBatch))
}

// subscribed goes on with the follows of topics that are heard from now on.
// Those who wait for it are told where they begin. The others were subscribed
// before: whatever was published while nothing was heard is in their logs.
func (b *Broker) subscribed(topics []string) {
	s := &b.follows
	var waiting, again []*follow
	s.mu.RLock()
	for _, topic := range topics {
		for _, f := range s.byTopic[topic] {
			if _, ok := s.joining[f]; ok {
				waiting = append(waiting, f)
			} else if f.declared.Load().Kept() {
				again = append(again, f)
			}
		}
	}
	s.mu.RUnlock()
	for _, f := range again {
		b.lagNow(f)
	}
	if len(waiting) > 0 && b.ctx.Err() == nil {
		b.work.Go(func() { b.joined(waiting) })
	}
}

// listening waits until this node hears.
func (b *Broker) listening(ctx context.Context) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !b.follows.connected() {
		err := errDown
		if refusal := b.follows.refusal.Load(); refusal != nil {
			err = *refusal
		}
		if isRefusal(err) {
			return fmt.Errorf("redis: subscribing: %w", b.reason(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis: subscribing: %w", b.reason(err))
		case <-t.C:
		}
	}
	return nil
}
