package sim

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/channel"
	"ringdown/test/history"
)

// TestChurn: clients on four loops of two nodes come to three channels and leave them
// without waiting for an answer, so that the last of one loop leaves while others come.
// When they stay where they are, everybody is given what is published from then on.
func TestChurn(t *testing.T) {
	of := seeds(t)
	left := 0
	for seed := of.first; seed < of.end; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var events []history.Event
			var p history.Policy
			synctest.Test(t, func(t *testing.T) { events, p = churn(t, seed) })
			for i := range events {
				if events[i].Kind == history.SubEnd {
					left++
				}
			}
			check(t, seed, events, p)
		})
	}
	if t.Logf("channels were left %d times", left); left < 100*int(of.end-of.first) {
		t.Errorf("the runs do not show enough: channels were left %d times", left)
	}
}

func churn(t *testing.T, seed uint64) ([]history.Event, history.Policy) {
	d := &channel.Declaration{Name: "c:{n}", History: &channel.History{Messages: 1000}, Buffer: channel.Buffer{Messages: 16, Bytes: 1 << 20},
		Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}}
	s := newStory(t, seed, d, "c:0", "c:1", "c:2")
	var still swich
	var subs []*subscriber
	var reading, writing sync.WaitGroup
	for i := range 12 {
		c := &churner{still: &still, subscriber: subscriber{client: s.client("s", i), at: map[string]*history.Position{}, answer: map[string]bool{}, left: map[string]int{}}}
		subs = append(subs, &c.subscriber)
		reading.Go(c.run)
	}
	for i := range 4 {
		p := &publisher{client: s.client("p", i)}
		writing.Go(p.run)
	}
	time.Sleep(3 * time.Second)
	still.Store(true)
	time.Sleep(5 * time.Second) // more than anything takes on its way
	s.w.calm.Store(true)
	writing.Wait()
	s.w.rest(subs, (*subscriber).lacks)
	s.end(&reading)
	return s.w.rec.Events(), history.Policy{Store: "simulated", Kept: 1000, Lags: true}
}

// churner follows one channel at a time, mostly for as long as it takes to ask.
type churner struct {
	subscriber
	still  *swich // stay where you are
	number int    // of the request
	waits  int    // for so many answers
	heard  bool   // something, since it asked
}

func (c *churner) run() {
	for c.wait(50 * time.Millisecond) {
		c.w.mu.Lock()
		m := c.w.machines[c.rng.IntN(2)]
		c.w.mu.Unlock()
		l := m.connect(c.name, 1<<20)
		if l == nil {
			continue
		}
		c.waits = 0
		c.converse(l, 0, func() bool {
			switch {
			case c.waits > 0:
			case !c.heard && c.followed() != "": // one who is deaf stays, and is found in the end
			case !c.still.Load():
				c.storm(l)
				return c.rng.IntN(30) > 0
			case c.followed() == "":
				c.storm(l)
			}
			return true
		}, func(m *message) bool {
			if len(m.ID) > 0 {
				c.waits--
			}
			c.heard = c.heard || m.Type == "m" && c.waits == 0
			return c.see(m)
		})
		if c.w.ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		for name := range c.answer {
			c.leave(name)
		}
		c.mu.Unlock()
	}
}

func (c *churner) followed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.answer {
		return name
	}
	return ""
}

// storm leaves what is followed, and follows a channel and leaves it a few times; in the
// end it is followed, mostly.
func (c *churner) storm(l *link) {
	ask := func(verb, name string) {
		c.number++
		c.waits++
		text, _ := json.Marshal(map[string]any{"type": verb, "id": c.number, "channel": name})
		l.write(text)
	}
	c.heard = false
	if old := c.followed(); old != "" {
		ask("unsubscribe", old)
	}
	c.mu.Lock()
	c.asked = c.w.rec.Now()
	c.mu.Unlock()
	name := c.w.channels[c.rng.IntN(len(c.w.channels))]
	for range c.rng.IntN(3) {
		ask("subscribe", name)
		ask("unsubscribe", name)
	}
	if c.still.Load() || c.rng.IntN(3) > 0 {
		ask("subscribe", name)
	}
}
