package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// brokers are those that a delivery is tested over.
func brokers(t *testing.T, test func(t *testing.T, o houseOptions)) {
	t.Run("memory", func(t *testing.T) { test(t, houseOptions{}) })
	t.Run("elsewhere", func(t *testing.T) {
		test(t, houseOptions{broker: &lateBroker{driver: memory.New(memory.Options{}), prompt: true}})
	})
}

// view is what a subscriber of a state channel knows, kept as a client keeps
// it: a snapshot replaces everything, a message is applied by key.
type view struct {
	t      *testing.T
	known  map[string]string
	at     uint64 // position
	inside bool   // a snapshot
	states int    // snapshots begun
	gaps   []string
	given  int
}

func (v *view) apply(list []protocol.Message) {
	v.t.Helper()
	for _, m := range list {
		switch m.Type {
		case "subscribed":
			v.at = m.Offset
			continue
		case "gap":
			v.gaps = append(v.gaps, string(m.Data))
			var g struct{ To uint64 }
			if err := json.Unmarshal(m.Data, &g); err != nil {
				v.t.Fatal(err)
			}
			v.at, v.inside, v.known = g.To, true, nil // a snapshot of that position follows
			continue
		case "state":
			v.snapshot(m)
			continue
		}
		if v.inside {
			v.t.Fatalf("a message in the middle of a snapshot: %s", show([]protocol.Message{m}))
		}
		if m.Offset <= v.at {
			v.t.Fatalf("%d comes after %d", m.Offset, v.at)
		}
		v.at = m.Offset
		v.given++
		if string(m.Data) == "null" {
			delete(v.known, m.Key)
		} else if m.Key != "" {
			v.known[m.Key] = string(m.Data)
		}
	}
}

func (v *view) snapshot(m protocol.Message) {
	var d struct {
		Items []struct {
			Type   string
			Key    string
			Offset uint64
			Data   json.RawMessage
		}
		More *bool
	}
	if err := json.Unmarshal(m.Data, &d); err != nil || d.More == nil {
		v.t.Fatalf("%s: %v", m.Data, err)
	}
	if !v.inside || v.known == nil {
		v.known = map[string]string{}
		v.states++
	}
	for _, i := range d.Items {
		if string(i.Data) == "null" || i.Key == "" || i.Offset == 0 || i.Type == "" {
			v.t.Fatalf("a snapshot has the item %+v", i)
		}
		if _, twice := v.known[i.Key]; twice {
			v.t.Fatalf("a snapshot has %s twice", i.Key)
		}
		v.known[i.Key] = string(i.Data)
	}
	v.inside = *d.More
}

// reads lets c read until it has come to head.
func (v *view) reads(c *client, head uint64) {
	v.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for v.at < head || v.inside {
		if time.Now().After(deadline) {
			v.t.Fatalf("comes to %d and not to %d", v.at, head)
		}
		c.link.mu.Lock()
		more := c.link.more
		c.link.mu.Unlock()
		c.drain(-1)
		c.h.settle()
		got := c.messages()
		v.apply(got)
		if len(got) == 0 {
			select {
			case <-more:
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func narrow(buffer int) []*channel.Declaration {
	return []*channel.Declaration{{Name: "board", State: &channel.State{}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: buffer, Bytes: 1 << 20}}}
}

// TestSlowStateReader: whoever reads a little now and then, cut anywhere, while
// keys are written and deleted at random, ends with what the channel has.
func TestSlowStateReader(t *testing.T) {
	brokers(t, func(t *testing.T, o houseOptions) {
		for seed := range uint64(12) {
			o.channels = narrow(8)
			if o.broker != nil {
				o.broker = &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
			}
			rnd := rand.New(rand.NewPCG(seed, 3))
			h := newHouse(t, o)
			want := map[string]string{}
			head := uint64(0)
			write := func(n int) {
				key := fmt.Sprint("k", rnd.IntN(60))
				if rnd.IntN(5) == 0 {
					head = h.publish("board", "e", key, "null").Position.Offset
					delete(want, key)
				} else {
					head = h.publish("board", "e", key, fmt.Sprint(n)).Position.Offset
					want[key] = fmt.Sprint(n)
				}
			}
			for n := range 100 {
				write(n)
			}
			c := h.welcomed("ann")
			v := &view{t: t}
			c.send(`{"type":"subscribe","channel":"board","id":1}`)
			c.fill(rnd.IntN(3000))
			for n := range 400 {
				write(n)
				if rnd.IntN(6) == 0 {
					c.drain(rnd.IntN(1500))
					v.apply(c.messages())
				}
			}
			v.reads(c, head)
			if fmt.Sprint(v.known) != fmt.Sprint(want) {
				t.Fatalf("seed %d: knows %v\nwant %v", seed, v.known, want)
			}
			if v.states != 1 || len(v.gaps) != 0 {
				t.Errorf("seed %d: %d snapshots, gaps %v", seed, v.states, v.gaps)
			}
			// And it is one of the live again.
			v.reads(c, h.publish("board", "e", "end", "1").Position.Offset)
			c.leave()
		}
	})
}

// TestStatePages: a snapshot leaves page by page, and nothing is read for who
// does not take what was read before.
func TestStatePages(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
	h := newHouse(t, houseOptions{broker: late})
	const keys = 3000
	value := `"` + strings.Repeat("x", 100) + `"`
	for n := range keys {
		h.publish("board", "e", fmt.Sprint("key-", n), value)
	}
	c := h.welcomed("ann")
	v := &view{t: t}
	block := func(on bool) {
		c.link.mu.Lock()
		c.link.block = on
		c.link.mu.Unlock()
	}
	late.delay = 5 * time.Millisecond
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	v.apply([]protocol.Message{c.next(), c.next()})
	block(true)
	h.settle()
	v.apply(c.messages())
	before := late.reads.Load()
	h.settle()
	if n := late.reads.Load(); n != before {
		t.Fatalf("%d pages were read for who does not read", n-before)
	}
	if len(v.known) >= keys/2 {
		t.Fatalf("%d keys were given to who does not read", len(v.known))
	}
	// Written while it waits: not part of the snapshot.
	head := v.at
	h.publish("board", "e", "key-7", "7")
	h.publish("board", "e", "key-8", "null")
	h.publish("board", "e", "new", "1")
	block(false)
	v.reads(c, head+3)
	if len(v.known) != keys || v.known["key-7"] != "7" || v.known["new"] != "1" || v.at != head+3 || v.states != 1 || len(v.gaps) != 0 {
		t.Fatalf("%d keys at %d, %d snapshots, gaps %v", len(v.known), v.at, v.states, v.gaps)
	}
}

// TestForgottenDeletions: who stands before deletions that are forgotten is told
// of a gap and begins anew.
func TestForgottenDeletions(t *testing.T) {
	brokers(t, func(t *testing.T, o houseOptions) {
		o.channels = narrow(8)
		h := newHouse(t, o)
		h.publish("board", "e", "stays", "1")
		h.publish("board", "e", "gone", "1")
		c := h.welcomed("ann")
		v := &view{t: t}
		c.send(`{"type":"subscribe","channel":"board","id":1}`)
		subscribed := c.next()
		v.apply([]protocol.Message{subscribed})
		v.reads(c, 2)
		v.apply(c.messages())
		c.fill(0)
		h.publish("board", "e", "first", "1") // cut in the socket
		h.settle()
		h.publish("board", "e", "gone", "null")
		for n := range channel.MaxTombstones + 10 {
			h.publish("board", "e", fmt.Sprint("k", n), "1")
			h.publish("board", "e", fmt.Sprint("k", n), "null")
		}
		head := h.publish("board", "e", "last", "2").Position.Offset
		v.reads(c, head)
		if got := fmt.Sprint(v.known); got != "map[first:1 last:2 stays:1]" || v.states != 2 {
			t.Errorf("knows %s after %d snapshots", got, v.states)
		}
		if want := fmt.Sprintf(`{"from":4,"to":%d,"reason":"trimmed"}`, head); len(v.gaps) != 1 || v.gaps[0] != want {
			t.Errorf("gaps %v, want %s", v.gaps, want)
		}
		for offset, want := range map[uint64]string{
			2:           `{"recovered":false,"reason":"trimmed"}`,
			head + 9:    `{"recovered":false,"reason":"unknown"}`,
			head - 1:    fmt.Sprintf(`{"recovered":true,"head":%d}`, head),
			head - 9:    fmt.Sprintf(`{"recovered":true,"head":%d}`, head),
			head - 1500: fmt.Sprintf(`{"recovered":true,"head":%d}`, head),
		} {
			again := h.welcomed("bob")
			again.sendf(`{"type":"subscribe","channel":"board","id":1,"since":{"epoch":%q,"offset":%d}}`, subscribed.Epoch, offset)
			first := again.next()
			if string(first.Data) != want {
				t.Errorf("since %d: %s", offset, show([]protocol.Message{first}))
			}
			w := &view{t: t, known: map[string]string{"first": "1", "stays": "1"}, at: offset}
			w.apply([]protocol.Message{first})
			if strings.Contains(want, "false") {
				w.inside, w.known = true, nil // a snapshot follows
			}
			w.reads(again, head)
			if fmt.Sprint(w.known) != fmt.Sprint(v.known) || w.at != head {
				t.Errorf("since %d: knows %v at %d", offset, w.known, w.at)
			}
			if strings.Contains(want, "true") == (w.states > 0) {
				t.Errorf("since %d: %d snapshots", offset, w.states)
			}
		}
	})
}

// TestStateAndHistory: where everything is kept, everything is given, and only
// who stands before that begins anew.
func TestStateAndHistory(t *testing.T) {
	brokers(t, func(t *testing.T, o houseOptions) {
		o.channels = []*channel.Declaration{{Name: "board", State: &channel.State{}, History: &channel.History{Messages: 20},
			Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 4, Bytes: 1 << 20}}}
		h := newHouse(t, o)
		for n := range 40 {
			h.publish("board", "e", "k", fmt.Sprint(n))
		}
		epoch := h.publish("board", "e", "", `"no key"`).Position.Epoch
		for n := range 9 {
			h.publish("board", "e", "k", fmt.Sprint(n))
		}
		c := h.welcomed("ann")
		c.sendf(`{"type":"subscribe","channel":"board","id":1,"since":{"epoch":%q,"offset":35}}`, epoch)
		got := c.await(16)
		if end := run(t, 35, got[1:]); string(got[0].Data) != `{"recovered":true,"head":50}` || end != 50 {
			t.Error(show(got))
		}
		for offset, reason := range map[uint64]string{29: "trimmed", 51: "unknown"} {
			c := h.welcomed("ann")
			c.sendf(`{"type":"subscribe","channel":"board","id":1,"since":{"epoch":%q,"offset":%d}}`, epoch, offset)
			if got := c.await(2); !bytes.Contains(got[0].Data, []byte(reason)) || got[0].Offset != 50 || keys(t, got[1]) != "k=8" {
				t.Error(show(got))
			}
		}
		if got := c.messages(); len(got) != 0 {
			t.Error(show(got))
		}
	})
}

// TestManyKeysAtFullSpeed: while all keys are written as fast as can be, some
// read slowly and some fast; nothing is queued for anybody, and in the end
// everybody has the latest of each key.
func TestManyKeysAtFullSpeed(t *testing.T) {
	keys, writes, slow, fast := 300, 6_000, 12, 3
	if os.Getenv("RINGDOWN_LONG") != "" {
		keys, writes, slow, fast = 10_000, 100_000, 10, 5
	}
	h := newHouse(t, houseOptions{channels: narrow(256)})
	for n := range keys {
		h.publish("board", "e", fmt.Sprint("key-", n), "-1")
	}
	type reader struct {
		*client
		*view
		slow bool
	}
	var readers []reader
	for n := range slow + fast {
		c := h.welcomed("ann")
		c.send(`{"type":"subscribe","channel":"board","id":1}`)
		readers = append(readers, reader{c, &view{t: t}, n < slow})
	}
	// A crowd of which nobody looks at what they are given, half of them slow.
	var crowd []*client
	for range 12 * (slow + fast) {
		c := h.welcomed("bob")
		c.send(`{"type":"subscribe","channel":"board","id":1}`)
		crowd = append(crowd, c)
	}
	read := func(more int) {
		for i, c := range crowd {
			if i%2 == 0 {
				c.drain(more)
			}
			c.link.mu.Lock()
			c.link.stream = nil
			n := len(c.link.backlog)
			c.link.mu.Unlock()
			if n > 2*channel.StateBytes {
				t.Fatalf("%d bytes are queued for who reads slowly", n)
			}
		}
		for _, r := range readers {
			if r.slow {
				r.drain(more)
				r.link.mu.Lock()
				n := len(r.link.backlog)
				r.link.mu.Unlock()
				if n > 2*channel.StateBytes {
					t.Fatalf("%d bytes are queued for who reads slowly", n)
				}
			}
			r.apply(r.messages())
		}
	}
	before := heap()
	var head uint64
	begun := time.Now()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for n := range writes {
			head = h.publish("board", "e", fmt.Sprint("key-", n%keys), fmt.Sprint(n)).Position.Offset
		}
	}()
	for busy := true; busy; {
		select {
		case <-written:
			busy = false
		default:
		}
		read(4 << 10)
		h.settle()
	}
	h.settle()
	for _, r := range readers {
		r.apply(r.messages())
	}
	for _, c := range crowd {
		c.link.mu.Lock()
		c.link.stream = nil
		c.link.mu.Unlock()
	}
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if n := h.node.RingBytes(); n > 256<<10 {
		t.Errorf("the ring holds %d bytes", n)
	}
	given := 0
	for i, r := range readers {
		r.reads(r.client, head)
		if len(r.known) != keys || r.states != 1 || len(r.gaps) != 0 {
			t.Fatalf("reader %d has %d keys of %d, %d snapshots, gaps %v", i, len(r.known), keys, r.states, r.gaps)
		}
		for n := writes - keys; n < writes; n++ {
			if got := r.known[fmt.Sprint("key-", n%keys)]; got != fmt.Sprint(n) {
				t.Fatalf("reader %d has %s for key-%d, want %d", i, got, n%keys, n)
			}
		}
		if r.slow {
			given += r.given
		} else if r.given < writes/2 && writes < 10_000 {
			t.Logf("reader %d was given %d of %d", i, r.given, writes)
		}
	}
	t.Logf("%d writes to %d keys, all given after %v; who reads slowly was given %d", writes, keys, time.Since(begun), given/slow)
	if given/slow >= writes {
		t.Error("who reads slowly was given everything")
	}
}

// heap is the least of several looks: a pool, and what ends in the background,
// keeps its garbage through one collection.
func heap() int64 {
	least := int64(math.MaxInt64)
	for range 4 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, int64(m.HeapAlloc))
	}
	return least
}
