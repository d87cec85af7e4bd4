package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/test/history"
)

// round is a while in which clients come to channels and leave them as fast as they
// can, and a moment in which everybody stays where they are.
type round struct {
	calm    chan struct{} // closed: settle on a channel and say so
	over    chan struct{} // closed: that was it
	settled sync.WaitGroup
}

func (r *round) calmed() bool {
	select {
	case <-r.calm:
		return true
	default:
		return false
	}
}

// tally counts what a run has done, so that it can be seen that it did.
type tally struct {
	subscribed, unsubscribed, published, polled, streamed, connected atomic.Int64
}

func (c *tally) String() string {
	return fmt.Sprintf("%d subscribed, %d unsubscribed, %d published, %d polls, %d streams, %d connections",
		c.subscribed.Load(), c.unsubscribed.Load(), c.published.Load(), c.polled.Load(), c.streamed.Load(), c.connected.Load())
}

// churner is a client that follows one channel after the other, mostly for as long
// as it takes to ask.
type churner struct {
	name     string
	by       string // ws, sse or poll
	rec      *history.Recorder
	rng      *rand.Rand
	tally    *tally
	rounds   chan *round
	address  func() string
	trouble  func(format string, args ...any)
	channels []string

	mu      sync.Mutex
	times   int // that it began anew
	follows map[string]*following
	asked   map[int]*following    // by the number of the request
	stands  map[string]*following // where it left a channel that has a history
	heard   chan struct{}         // has one when a message came
}

// following is one channel as one follower sees it.
type following struct {
	session string // in the history; one that begins anew is another
	asked   time.Duration
	at      *history.Position
	answer  bool
	number  int // of the newest message of the channel's own publisher
}

// run takes part in one round after the other.
func (c *churner) run(ctx context.Context) {
	var line *wire
	for r := range c.rounds {
		if c.by == "ws" {
			line = c.overSocket(ctx, r, line)
			continue
		}
		for ctx.Err() == nil && !r.calmed() {
			c.visit(ctx, r, false)
		}
		c.visit(ctx, r, true)
	}
	if line != nil {
		c.hangUp(line, history.SubEnd)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.channels {
		c.forget(name)
	}
}

// judged reports whether the checker can judge a channel: its messages have offsets
// and nothing is left out.
func judged(name string) bool { return strings.HasPrefix(name, "log:") }

// begin takes note that a channel is about to be followed, from where it was left if
// that is known and not to be anew.
func (c *churner) begin(name string, anew bool) *following {
	c.tally.subscribed.Add(1)
	f := c.stands[name]
	if f == nil || anew {
		c.forget(name)
		c.times++
		f = &following{session: fmt.Sprint(c.name, "/", c.times)}
	}
	delete(c.stands, name)
	f.answer, f.number, f.asked = false, 0, c.rec.Now()
	return f
}

// forget gives up to come back to where a channel was left. c.mu is held.
func (c *churner) forget(name string) {
	if f := c.stands[name]; f != nil {
		c.rec.Add(history.Event{Kind: history.SubEnd, Client: f.session, Channel: name})
		delete(c.stands, name)
	}
}

// end takes note that a channel is followed no longer.
func (c *churner) end(name string, kind history.Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.follows[name]
	if f == nil {
		return
	}
	delete(c.follows, name)
	c.tally.unsubscribed.Add(1)
	if f.answer && judged(name) {
		c.rec.Add(history.Event{Kind: kind, Client: f.session, Channel: name})
		c.stands[name] = f
	}
}

// take takes note of a message.
func (c *churner) take(m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number, err := strconv.Atoi(string(m.ID)); err == nil && m.Type == "subscribed" {
		c.follows[m.Channel] = c.asked[number]
		delete(c.asked, number)
	}
	f := c.follows[m.Channel]
	if f == nil {
		if m.Type == "m" {
			c.trouble("%s was given a message of %s, which it does not follow", c.name, m.Channel)
		}
		return
	}
	var d struct {
		ID, Reason     string
		Recovered      bool
		Head, From, To uint64
	}
	_ = json.Unmarshal(m.Data, &d)
	e := history.Event{Client: f.session, Channel: m.Channel, Epoch: m.Epoch, Offset: m.Offset, Reason: d.Reason, ID: d.ID}
	switch m.Type {
	case "subscribed":
		e.Kind, e.Asked, e.Head, e.Since, e.Recovered = history.SubOK, f.asked, max(d.Head, m.Offset), f.at, d.Recovered
		f.at, f.answer = &history.Position{Epoch: m.Epoch, Offset: m.Offset}, true
	case "gap":
		e.Kind, e.From, e.To = history.Gap, d.From, d.To
		if f.at != nil {
			e.Epoch, f.at = f.at.Epoch, &history.Position{Epoch: f.at.Epoch, Offset: max(f.at.Offset, d.To)}
		}
	case "m":
		if f.at == nil || !f.answer {
			c.trouble("%s was given a message of %s before the answer", c.name, m.Channel)
			return
		}
		e.Kind, e.Epoch, e.Prev = history.Recv, f.at.Epoch, m.prev()
		f.at = &history.Position{Epoch: f.at.Epoch, Offset: m.Offset}
		if of, number, ok := strings.Cut(d.ID, "-"); ok && strings.HasPrefix(of, "p") {
			f.number, _ = strconv.Atoi(number)
			select {
			case c.heard <- struct{}{}:
			default:
			}
		}
	default:
		return
	}
	if judged(m.Channel) {
		c.rec.Add(e)
	}
}

// behind returns the channels whose publishers have gone further than it has heard:
// it follows them, and has nothing newer than the number of made.
func (c *churner) behind(made map[string]int) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, f := range c.follows {
		if f.number <= made[name] {
			names = append(names, name)
		}
	}
	return names
}

func (c *churner) some() string { return c.channels[c.rng.IntN(len(c.channels))] }
