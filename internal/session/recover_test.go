package session

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// since subscribes from a position and returns the answer.
func (c *client) since(name, epoch string, offset uint64) protocol.Message {
	c.h.t.Helper()
	c.sendf(`{"type":"subscribe","channel":%q,"id":1,"since":{"epoch":%q,"offset":%d}}`, name, epoch, offset)
	return c.next()
}

// TestSinceEdges: every border of what is kept, with what the ring holds and
// what only the store has.
func TestSinceEdges(t *testing.T) {
	brokers(t, func(t *testing.T, o houseOptions) {
		h := newHouse(t, o)
		h.subscribed("bob", "trim") // its ring holds 4, its log 10
		var epoch string
		for n := range 30 {
			epoch = h.publish("trim", "e", "", fmt.Sprint(n+1)).Position.Epoch
		}
		for _, w := range []struct {
			channel, epoch string
			offset         uint64
			reason         string // "": recovered
		}{
			{"trim", epoch, 30, ""}, // everything
			{"trim", epoch, 29, ""},
			{"trim", epoch, 26, ""}, // the ring's border
			{"trim", epoch, 25, ""}, // one before it
			{"trim", epoch, 20, ""}, // the log's border
			{"trim", epoch, 19, "trimmed"},
			{"trim", epoch, 1, "trimmed"},
			{"trim", epoch, 0, "trimmed"},
			{"trim", epoch, 31, "unknown"},
			{"trim", epoch, protocol.MaxOffset, "unknown"},
			{"trim", "another", 25, "epoch"},
			{"room:empty", epoch, 0, "unknown"}, // keeps nothing
			{"kept", epoch, 0, ""},              // kept, and nobody published yet
			{"kept", epoch, 1, "unknown"},
		} {
			t.Run(fmt.Sprint(w.channel, " ", w.epoch == epoch, " ", w.offset), func(t *testing.T) {
				c := h.welcomed("ann")
				defer c.leave()
				m := c.since(w.channel, w.epoch, w.offset)
				head := uint64(0)
				if w.channel == "trim" {
					head = 30
				}
				begin, want := w.offset, fmt.Sprintf(`{"recovered":true,"head":%d}`, head)
				if w.reason != "" {
					begin, want = head, fmt.Sprintf(`{"recovered":false,"reason":%q}`, w.reason)
				}
				if string(m.Data) != want || m.Offset != begin || (m.Epoch != epoch) != (w.channel == "room:empty") {
					t.Fatalf("%s, want %s from %d", show([]protocol.Message{m}), want, begin)
				}
				if w.channel == "room:empty" {
					return
				}
				for at := begin; at < head; {
					at = run(t, at, []protocol.Message{c.next()})
				}
				h.settle()
				if got := c.messages(); len(got) != 0 {
					t.Fatalf("too much: %s", show(got))
				}
			})
		}
	})
}

// TestTrimmedWhileReading: what is trimmed before it could be given is a gap, in
// the middle of catching up too.
func TestTrimmedWhileReading(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
	h := newHouse(t, houseOptions{broker: late})
	wide := `"` + strings.Repeat("x", 20<<10) + `"` // three to a page
	var epoch string
	for range 10 {
		epoch = h.publish("trim", "e", "", wide).Position.Epoch
	}
	seen, release := late.holdReads()
	c := h.welcomed("ann")
	c.sendf(`{"type":"subscribe","channel":"trim","id":1,"since":{"epoch":%q,"offset":0}}`, epoch)
	if r := <-seen; r.After != 0 {
		t.Fatalf("read %+v", r)
	}
	release()
	if m := c.next(); string(m.Data) != `{"recovered":true,"head":10}` {
		t.Fatal(show([]protocol.Message{m}))
	}
	at := run(t, 0, []protocol.Message{c.next(), c.next(), c.next()})
	seen, release = late.holdReads()
	for range 20 {
		h.publish("trim", "e", "", "1")
	}
	// The page that is asked for was begun before, or is begun now: both ways
	// what is missing is named.
	select {
	case <-seen:
	case <-time.After(100 * time.Millisecond):
	}
	release()
	gaps := 0
	for at < 30 {
		m := c.next()
		if m.Type == protocol.TypeGap {
			gaps++
		}
		at = run(t, at, []protocol.Message{m})
	}
	if gaps == 0 {
		t.Error("no gap was told")
	}
}

// TestStaleRead: a page that was read before the ring moved on is not taken for
// everything there is.
func TestStaleRead(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true, early: true}
	h := newHouse(t, houseOptions{broker: late})
	h.subscribed("bob", "short") // its ring holds 8
	var epoch string
	for range 20 {
		epoch = h.publish("short", "e", "", "1").Position.Epoch
	}
	seen, release := late.holdReads()
	c := h.welcomed("ann")
	c.sendf(`{"type":"subscribe","channel":"short","id":1,"since":{"epoch":%q,"offset":5}}`, epoch)
	<-seen
	for range 60 {
		h.publish("short", "e", "", "2")
	}
	release()
	for at := c.next().Offset; at < 80; {
		at = run(t, at, []protocol.Message{c.next()})
	}
}

// TestLeavesWhileOthersCome: two of one loop wait for a channel, and the first has asked
// already to leave it again. That must not end what the second is about to join.
func TestLeavesWhileOthersCome(t *testing.T) {
	for name, key := range map[string]string{"short": "", "live": "", "board": "k"} {
		t.Run(name, func(t *testing.T) {
			late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true, follow: make(chan struct{})}
			h := newHouse(t, houseOptions{broker: late})
			first, second := h.welcomed("ann"), h.welcomed("bob")
			first.sendf(`{"type":"subscribe","channel":%q,"id":1}`, name)
			first.sendf(`{"type":"unsubscribe","channel":%q,"id":2}`, name)
			second.sendf(`{"type":"subscribe","channel":%q,"id":1}`, name)
			close(late.follow)
			for second.patient().Type != protocol.TypeSubscribed {
			}
			h.publish(name, "e", key, "1")
			for {
				if m := second.patient(); m.Type == "e" {
					return
				}
			}
		})
	}
}

// TestReadsAreShared: many who come back to the same place at once cost one
// read of each page, and only so many are read at a time.
func TestReadsAreShared(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
	h := newHouse(t, houseOptions{broker: late, policy: Policy{Limits: Limits{Recoveries: 3, MessagesPerSecond: 1000, MessagesBurst: 1000}}})
	var epoch string
	for range 100 {
		epoch = h.publish("short", "e", "", "1").Position.Epoch
	}
	seen, release := late.holdReads()
	var same, others []*client
	for range 50 {
		c := h.welcomed("ann")
		c.sendf(`{"type":"subscribe","channel":"short","id":1,"since":{"epoch":%q,"offset":10}}`, epoch)
		same = append(same, c)
	}
	<-seen
	for n := range 20 {
		c := h.welcomed("bob")
		c.sendf(`{"type":"subscribe","channel":"short","id":1,"since":{"epoch":%q,"offset":%d}}`, epoch, 20+n)
		others = append(others, c)
	}
	// Somebody who waits for nothing is not held up by those who do.
	live := h.welcomed("eve")
	live.send(`{"type":"e","channel":"kept","data":1,"id":9}`)
	if m := live.one(); m.Type != "ack" {
		t.Fatal(show([]protocol.Message{m}))
	}
	release()
	for _, c := range same {
		for at := c.next().Offset; at < 100; {
			at = run(t, at, []protocol.Message{c.next()})
		}
	}
	for _, c := range others {
		for at := c.next().Offset; at < 100; {
			at = run(t, at, []protocol.Message{c.next()})
		}
	}
	if n := late.reads.Load(); n > 1+20+4 {
		t.Errorf("%d pages were read for 21 places to begin at", n)
	}
	if n := late.most.Load(); n > 3 {
		t.Errorf("%d pages were read at a time, the limit is 3", n)
	}
	if n := h.server.Delivery().Metrics().ReadsShared.Load(); n < 49 {
		t.Errorf("%d reads were shared", n)
	}
}

// TestFailedRead: a store that fails for a while costs nobody a message.
func TestFailedRead(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
	h := newHouse(t, houseOptions{broker: late})
	c := h.subscribed("ann", "short")
	c.fill(0)
	h.publish("short", "e", "", "0")
	h.settle()
	for n := range 40 {
		h.publish("short", "e", "", fmt.Sprint(n+1))
	}
	late.fail.Store(2)
	c.drain(-1)
	for at := uint64(0); at < 41; {
		at = run(t, at, []protocol.Message{c.patient()})
	}
	// A subscribe that fails is told so, and may be tried again.
	late.fail.Store(1)
	d := h.welcomed("bob")
	d.send(`{"type":"subscribe","channel":"short","id":1,"data":{"last":3}}`)
	if m := d.next(); code(t, m) != protocol.CodeUnavailable {
		t.Fatal(show([]protocol.Message{m}))
	}
	d.send(`{"type":"subscribe","channel":"short","id":1,"data":{"last":3}}`)
	if m := d.next(); m.Type != protocol.TypeSubscribed || m.Offset != 38 {
		t.Fatal(show([]protocol.Message{m}))
	}
}

// TestLongRecovery (D10): 100,000 messages (in the short form 20,000) are given in
// pages, in order, beside what is new.
func TestLongRecovery(t *testing.T) {
	total := 20_000
	if os.Getenv("RINGDOWN_LONG") != "" {
		total = 100_000
	}
	h := newHouse(t, houseOptions{channels: []*channel.Declaration{{Name: "long", History: &channel.History{Messages: total}, Allow: open(channel.Anyone)}}})
	var epoch string
	for range total {
		epoch = h.publish("long", "e", "", "1").Position.Epoch
	}
	c := h.welcomed("ann")
	m := c.since("long", epoch, 0)
	if string(m.Data) != fmt.Sprintf(`{"recovered":true,"head":%d}`, total) {
		t.Fatal(show([]protocol.Message{m}))
	}
	at := uint64(0)
	for n := 0; at < uint64(total)+10; n++ {
		got := c.messages()
		at = run(t, at, got)
		if n < 10 {
			h.publish("long", "e", "", "2")
		}
		h.settle()
	}
	if at != uint64(total)+10 {
		t.Errorf("comes to %d", at)
	}
}

// TestAhead: a store that is ahead of the feed gives nothing twice.
func TestAhead(t *testing.T) {
	for _, name := range []string{"short", "board"} {
		t.Run(name, func(t *testing.T) {
			behind := &behindBroker{lateBroker: lateBroker{driver: memory.New(memory.Options{}), prompt: true}}
			h := newHouse(t, houseOptions{broker: behind, channels: []*channel.Declaration{
				{Name: "short", History: &channel.History{Messages: 1000}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 8, Bytes: 1 << 20}},
				{Name: "board", State: &channel.State{}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 8, Bytes: 1 << 20}}}})
			key := ""
			if name == "board" {
				key = "k"
			}
			var epoch string
			for range 30 {
				epoch = h.publish(name, "e", key, "1").Position.Epoch
			}
			h.subscribed("bob", name)
			behind.holdFeed(true)
			for range 5 {
				h.publish(name, "e", key, "2")
			}
			c := h.welcomed("ann")
			m := c.since(name, epoch, 33) // which another node had already given
			if string(m.Data) != `{"recovered":true,"head":35}` || m.Offset != 33 {
				t.Fatal(show([]protocol.Message{m}))
			}
			at := uint64(33)
			for at < 35 {
				at = c.next().Offset
			}
			behind.holdFeed(false)
			h.publish(name, "e", key, "3")
			if m := c.next(); m.Offset != 36 {
				t.Fatalf("after 35 comes %s", show([]protocol.Message{m}))
			}
			h.settle()
			if got := c.messages(); len(got) != 0 {
				t.Error(show(got))
			}
		})
	}
}

// TestTrimmedAhead: whose position is trimmed begins anew at the head of the
// store. The feed may not have come to where the client was already.
func TestTrimmedAhead(t *testing.T) {
	behind := &behindBroker{lateBroker: lateBroker{driver: memory.New(memory.Options{}), prompt: true}}
	h := newHouse(t, houseOptions{broker: behind, channels: []*channel.Declaration{
		{Name: "few", History: &channel.History{Messages: 2}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 8, Bytes: 1 << 20}}}})
	epoch := h.publish("few", "e", "", "1").Position.Epoch
	h.subscribed("bob", "few")
	behind.holdFeed(true)
	for range 9 {
		h.publish("few", "e", "", "2")
	}
	c := h.welcomed("ann")
	m := c.since("few", epoch, 5)
	if string(m.Data) != `{"recovered":false,"reason":"trimmed"}` || m.Offset != 10 {
		t.Fatal(show([]protocol.Message{m}))
	}
	behind.holdFeed(false)
	h.publish("few", "e", "", "3")
	if m := c.next(); m.Offset != 11 {
		t.Fatalf("after 10 comes %s", show([]protocol.Message{m}))
	}
}

// TestSameAgain: who unsubscribes and subscribes again while a page is on its
// way is not given that page as well.
func TestSameAgain(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
	h := newHouse(t, houseOptions{broker: late})
	c := h.subscribed("ann", "short")
	c.fill(0)
	h.publish("short", "e", "", "0")
	h.settle()
	for n := range 40 {
		h.publish("short", "e", "", fmt.Sprint(n+1))
	}
	seen, release := late.holdReads()
	c.drain(-1)
	<-seen
	c.messages()
	c.send(`{"type":"unsubscribe","channel":"short"}`)
	c.send(`{"type":"subscribe","channel":"short","id":2}`)
	got := c.await(2)
	release()
	h.publish("short", "e", "", `"live"`)
	got = append(got, c.next())
	h.settle()
	if got = append(got, c.messages()...); len(got) != 3 || got[1].Offset != 41 || got[2].Offset != 42 {
		t.Error(show(got))
	}
}
