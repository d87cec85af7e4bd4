package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"ringdown/test/history"
)

// wire is a WebSocket of which one goroutine reads, and answers go to another.
type wire struct {
	*socket
	answers chan message
	closing atomic.Bool
	read    sync.WaitGroup
	number  int
}

func (w *wire) close() {
	w.closing.Store(true)
	w.socket.close()
	w.read.Wait()
}

// hangUp ends a connection, and with it whatever was followed on it.
func (c *churner) hangUp(w *wire, kind history.Kind) {
	w.close()
	for _, name := range c.followed() {
		c.end(name, kind)
	}
	clear(c.asked) // nobody reads now
}

func (c *churner) wire(ctx context.Context) *wire {
	conn, err := dial(ctx, c.address(), c.name)
	if err != nil {
		if ctx.Err() == nil {
			c.trouble("%s cannot connect: %v", c.name, err)
		}
		return nil
	}
	c.tally.connected.Add(1)
	w := &wire{socket: conn, answers: make(chan message, 2*burst+2)}
	w.read.Go(func() {
		defer conn.end()
		for {
			m, err := conn.read()
			if err != nil {
				if !w.closing.Load() && ctx.Err() == nil {
					c.trouble("%s lost its connection: %v", c.name, err)
				}
				return
			}
			switch {
			case m.Type != "unsubscribed":
				c.take(&m)
			case len(m.ID) == 0:
				c.trouble("%s was unsubscribed: %s", c.name, m.Data)
			default:
				c.end(m.Channel, history.SubEnd)
			}
			if len(m.ID) > 0 {
				w.answers <- m
			}
		}
	})
	return w
}

// send sends a request, of which f is what is to be followed, if anything.
func (c *churner) send(w *wire, request map[string]any, f *following) {
	w.number++
	request["id"] = w.number
	if f != nil {
		c.mu.Lock()
		c.asked[w.number] = f
		c.mu.Unlock()
	}
	_ = w.write(request) // the reader finds out
}

// answer waits for the next answer; of none the type is empty.
func (c *churner) answer(w *wire) (m message) {
	select {
	case m = <-w.answers:
		if m.Type == "error" {
			c.trouble("%s asked for something and was told %s", c.name, m.Data)
		}
	case <-w.ended.Done():
	}
	return m
}

func (c *churner) overSocket(ctx context.Context, r *round, w *wire) *wire {
	for ctx.Err() == nil && !r.calmed() {
		if w != nil && (c.rng.IntN(8) == 0 || w.ended.Err() != nil) {
			c.hangUp(w, history.Away)
			w = nil
		}
		if w == nil {
			if w = c.wire(ctx); w == nil {
				break
			}
		}
		name := c.some()
		c.storm(w, name)
		if c.rng.IntN(8) == 0 {
			c.publish(w, name)
		}
		select { // one who is deaf stays, and is found when all is calm
		case <-c.heard:
		case <-r.calm:
		case <-w.ended.Done():
		}
	}
	r.settled.Done()
	<-r.over
	return w
}

func (c *churner) followed() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.follows {
		names = append(names, name)
	}
	return names
}

// burst is how often a channel is followed and left without waiting for an answer.
const burst = 8

// storm leaves what is followed, follows a channel and leaves it again and again, and
// in the end follows it.
func (c *churner) storm(w *wire, name string) {
	sent := 0
	leave := func(name string) {
		c.send(w, map[string]any{"type": "unsubscribe", "channel": name}, nil)
		sent++
	}
	for _, old := range c.followed() {
		leave(old)
	}
	for i := range burst {
		c.mu.Lock()
		f := c.begin(name, i > 0 || !judged(name) || c.rng.IntN(2) == 0)
		c.mu.Unlock()
		request := map[string]any{"type": "subscribe", "channel": name}
		if f.at != nil {
			request["since"] = *f.at
		}
		c.send(w, request, f)
		if sent++; i < burst-1 {
			leave(name)
		}
	}
	for range sent {
		c.answer(w)
	}
	select {
	case <-c.heard:
	default:
	}
}

func (c *churner) publish(w *wire, name string) {
	id := fmt.Sprintf("%s-%d", c.name, c.tally.published.Add(1))
	request := map[string]any{"type": "m", "channel": name, "data": map[string]string{"ID": id}}
	if strings.HasPrefix(name, "board:") {
		request["key"] = c.name
	}
	e := history.Event{Kind: history.PubInvoke, Client: c.name, Channel: name, ID: id}
	if judged(name) {
		c.rec.Add(e)
	}
	c.send(w, request, nil)
	m := c.answer(w)
	e.Kind = history.PubUnknown
	if m.Type == "ack" {
		e.Kind, e.Epoch, e.Offset = history.PubOK, m.Epoch, m.Offset
	}
	if judged(name) {
		c.rec.Add(e)
	}
}
