package session

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// TestMemoryOfChannels is the budget of a quiet channel with one subscriber: the
// broker's log, the node's channel and ring, the loop's group, the subscription,
// and their places in maps.
func TestMemoryOfChannels(t *testing.T) {
	const sessions, each = 50, 100
	for _, w := range []struct {
		name    string
		publish int
		budget  int64 // bytes
	}{
		{"live:%d:%d", 0, 1024},
		{"kept:%d:%d", 0, 1024},
		{"live:%d:%d", 3, 1024},
		{"kept:%d:%d", 1, 1024 + 400}, // and the message that is kept
		{"board:%d:%d", 0, 1024},
	} {
		t.Run(fmt.Sprintf("%s/%d", w.name, w.publish), func(t *testing.T) {
			h := newHouse(t, houseOptions{quiet: 20 * time.Millisecond, channels: []*channel.Declaration{
				{Name: "live:{a}:{b}", Allow: open(channel.Anyone)},
				{Name: "kept:{a}:{b}", Allow: open(channel.Anyone), History: &channel.History{Messages: 100}},
				{Name: "board:{a}:{b}", Allow: open(channel.Anyone), State: &channel.State{}},
			}})
			var all []*client
			for range sessions {
				c := h.welcomed("ann")
				link := &nullLink{fakeLink: c.link}
				h.do(func() { c.x.link = link })
				all = append(all, c)
			}
			before := heap()
			for i, c := range all {
				for k := range each {
					name := fmt.Sprintf(w.name, i, k)
					h.do(func() { c.x.Message(&protocol.Message{Type: "subscribe", Channel: name}) })
				}
			}
			for range w.publish {
				for i := range all {
					for k := range each {
						h.publish(fmt.Sprintf(w.name, i, k), "e", "", `"a message of a usual size"`)
					}
				}
			}
			h.settle()
			h.rested()
			if n := h.node.Channels(); n != sessions*each {
				t.Fatalf("%d channels", n)
			}
			got := (heap() - before) / (sessions * each)
			t.Logf("%d bytes a channel", got)
			if got > w.budget {
				t.Errorf("%d bytes a channel, the budget is %d", got, w.budget)
			}
		})
	}
}

// rested waits until the rings are empty.
func (h *house) rested() {
	h.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for h.node.RingBytes() > 0 {
		if time.Now().After(deadline) {
			h.t.Fatalf("the rings hold %d bytes", h.node.RingBytes())
		}
		time.Sleep(time.Millisecond) // rings are emptied by a clock
	}
}

// TestQuiet: when a channel has been quiet its ring holds nothing, and nobody
// misses anything by that but who lags where nothing is kept, and he is told.
func TestQuiet(t *testing.T) {
	h := newHouse(t, houseOptions{quiet: 200 * time.Millisecond})
	channels := []string{"kept", "live", "board"}
	slow, live := map[string]*client{}, map[string]*client{}
	var epoch string
	for _, name := range channels {
		slow[name], live[name] = h.subscribed("ann", name), h.subscribed("bob", name)
		slow[name].fill(10)
		for n := range 5 {
			key := ""
			if name == "board" {
				key = "k"
			}
			if e := h.publish(name, "e", key, fmt.Sprint(n)).Position.Epoch; e != "" {
				epoch = e
			}
			h.settle() // the first is cut in the socket of who is slow
		}
	}
	h.settle()
	h.rested()
	for _, c := range slow {
		c.drain(-1)
	}
	h.settle()
	if end := run(t, 0, slow["kept"].messages()); end != 5 {
		t.Errorf("kept comes to %d", end)
	}
	if got := slow["live"].messages(); len(got) != 2 || got[1].Type != protocol.TypeGap || string(got[1].Data) != `{"missed":4,"reason":"slow"}` {
		t.Error(show(got))
	}
	if got := slow["board"].messages(); values(got) != "k=0 k=4" {
		t.Error(show(got))
	}
	back := h.welcomed("eve")
	back.since("kept", epoch, 2)
	if end := run(t, 2, back.await(3)); end != 5 {
		t.Errorf("coming back comes to %d", end)
	}
	for _, name := range channels {
		if got := live[name].messages(); len(got) != 5 {
			t.Errorf("%s: %s", name, show(got))
		}
		key := ""
		if name == "board" {
			key = "k"
		}
		h.publish(name, "e", key, `"new"`)
		for _, c := range []*client{slow[name], live[name]} {
			if m := c.next(); string(m.Data) != `"new"` {
				t.Error(show([]protocol.Message{m}))
			}
		}
	}
}

// TestMemoryOfStates: a subscriber of a state of 100,000 keys is given all of
// them in pages, and costs a page.
func TestMemoryOfStates(t *testing.T) {
	const keys = 100_000
	h := newHouse(t, houseOptions{})
	value := `"` + strings.Repeat("x", 100) + `"`
	for n := range keys {
		h.publish("board", "e", fmt.Sprint("key-", n), value)
	}
	c := h.welcomed("ann")
	link := &nullLink{fakeLink: c.link}
	h.do(func() { c.x.link = link })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	for done := false; !done; {
		h.do(func() { done = c.x.out.Len() == 1 && !c.x.Busy() })
	}
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	spent := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d messages, %d bytes made on the way, in %v", link.sent, spent, took)
	if link.sent < 200 || link.sent > 2000 {
		t.Errorf("%d messages", link.sent)
	}
	// What is made on the way is the lists of entries of its pages, at 8 bytes a
	// key or not much more.
	if spent > 40*keys {
		t.Errorf("%d bytes were made on the way of %d keys", spent, keys)
	}
}
