package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// subscribeBatch is how many topics one SUBSCRIBE names.
const subscribeBatch = 512

// subscriptions keeps one connection that hears everything this node listens to:
// its own topics and those of the channels it follows.
func (b *Broker) subscriptions() {
	for first := true; b.ctx.Err() == nil; first = false {
		if !first {
			b.metrics.Reconnect.Add(1)
		}
		b.listen()
		b.follows.connected.Store(false)
		if !b.doze(100 * time.Millisecond) {
			return
		}
	}
}

// listen subscribes to everything and stays until the connection breaks or the
// primary is another.
func (b *Broker) listen() {
	c, cancel := b.dedicate()
	if c == nil {
		return
	}
	defer cancel()
	select {
	case <-b.server.changed: // what changed before is what we have
	default:
	}
	lost := c.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { b.hear(m.Channel, m.Message) }})
	s := &b.follows
	s.mu.Lock()
	s.turned = s.turned[:0]
	topics := []string{b.shared(), b.shared() + b.node}
	for topic := range s.byTopic {
		topics = append(topics, topic)
	}
	s.mu.Unlock()
	if !b.turn(c, topics, nil) {
		return
	}
	s.connected.Store(true)
	// Whatever was published while nothing was heard is in the logs.
	for _, f := range b.followed() {
		b.lagNow(f)
	}
	alive := time.NewTicker(b.opts.Timeout)
	defer alive.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case err := <-lost:
			b.opts.Logger.Debug("the connection of the subscriptions broke", "error", err)
			return
		case <-b.server.changed:
			return
		case <-alive.C:
			if !b.hearing(c) {
				return
			}
		case <-s.wake:
			on, off := s.takeTurned()
			if !b.turn(c, on, off) {
				return
			}
		}
	}
}

// dedicate takes a connection of the primary, or of one server of a cluster:
// what is published to any of them reaches all.
func (b *Broker) dedicate() (rueidis.DedicatedClient, func()) {
	c := b.client()
	if c == nil {
		return nil, nil
	}
	if b.opts.Cluster {
		for _, node := range c.Nodes() {
			if _, err := ask(b.ctx, node); err == nil {
				c = node
				break
			}
		}
	}
	d, cancel := c.Dedicate()
	return d, func() { d.Close(); cancel() }
}

// hearing reports whether the connection is one to the primary still.
func (b *Broker) hearing(c rueidis.DedicatedClient) bool {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	lineage, err := ask(ctx, c)
	return err == nil && (b.opts.Cluster || lineage == b.lineage())
}

// takeTurned returns the topics that are to be subscribed and unsubscribed.
func (s *follows) takeTurned() (on, off []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, topic := range s.turned {
		if s.byTopic[topic] != nil {
			on = append(on, topic)
		} else {
			off = append(off, topic)
		}
	}
	s.turned = nil
	return on, off
}

// turn subscribes and unsubscribes, and goes on with those who wait for it. It
// reports whether the connection is usable.
func (b *Broker) turn(c rueidis.DedicatedClient, on, off []string) bool {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.Timeout)
	defer cancel()
	for len(off) > 0 {
		n := min(len(off), subscribeBatch)
		if c.Do(ctx, c.B().Unsubscribe().Channel(off[:n]...).Build()).NonRedisError() != nil {
			return false
		}
		off = off[n:]
	}
	for len(on) > 0 {
		n := min(len(on), subscribeBatch)
		if c.Do(ctx, c.B().Subscribe().Channel(on[:n]...).Build()).Error() != nil {
			return false
		}
		waiting := b.follows.waiting(on[:n])
		if len(waiting) > 0 && b.ctx.Err() == nil {
			b.work.Go(func() { b.joined(waiting) })
		}
		on = on[n:]
	}
	return true
}

// waiting returns the follows of the topics that have not been answered.
func (s *follows) waiting(topics []string) (list []*follow) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, topic := range topics {
		if f := s.byTopic[topic]; f != nil {
			if _, ok := s.joining[f]; ok {
				list = append(list, f)
			}
		}
	}
	return list
}

// listening waits until this node hears.
func (b *Broker) listening(ctx context.Context) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !b.follows.connected.Load() {
		select {
		case <-ctx.Done():
			return b.failure(errDown)
		case <-t.C:
		}
	}
	return nil
}
