package session

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// run checks that the messages are an unbroken run of a kept channel after
// offset, and returns the offset they come to. Gaps may take the place of what
// they name.
func run(t *testing.T, after uint64, list []protocol.Message) uint64 {
	t.Helper()
	for _, m := range list {
		if m.Type == protocol.TypeGap {
			var from, to uint64
			if _, err := fmt.Sscanf(string(m.Data), `{"from":%d,"to":%d`, &from, &to); err != nil || from != after+1 {
				t.Fatalf("after %d there is a gap %s", after, m.Data)
			}
			after = to
			continue
		}
		if m.Prev != after || m.Offset <= after {
			t.Fatalf("after %d comes %d with prev %d", after, m.Offset, m.Prev)
		}
		after = m.Offset
	}
	return after
}

func TestFanOut(t *testing.T) {
	h := newHouse(t, houseOptions{})
	var all []*client
	for n := range 300 { // more than a step's worth
		c := h.subscribed("ann", "kept")
		all = append(all, c)
		if n == 150 {
			h.publish("kept", "e", "", "0")
			for _, c := range all {
				c.one()
			}
		}
	}
	for n := range 5 {
		h.publish("kept", "e", "", fmt.Sprint(n+1))
	}
	for i, c := range all {
		got := c.await(5)
		if end := run(t, 1, got); end != 6 {
			t.Fatalf("client %d comes to %d", i, end)
		}
	}
	if n := h.server.Delivery().Metrics().Deliveries.Load(); n != 151+1500 {
		t.Errorf("%d deliveries", n)
	}
}

// TestJoinWhileSwept: nobody is passed over when others join while a batch goes
// round that has grown on its way. When they join is tried in all turns of the
// loop that a round takes.
func TestJoinWhileSwept(t *testing.T) {
	h := newHouse(t, houseOptions{})
	var all []*client
	for range 3 * 128 {
		all = append(all, h.subscribed("ann", "kept"))
	}
	at := make([]uint64, len(all))
	look := func() {
		t.Helper()
		h.settle()
		for n, c := range all {
			at[n] = run(t, at[n], c.messages())
		}
	}
	for grow := range 4 {
		for join := range 4 {
			newcomers := make([]*client, 40)
			for n := range newcomers {
				newcomers[n] = h.welcomed("bob")
			}
			done := make(chan struct{})
			var head uint64
			publish := func() { head = h.publish("kept", "e", "", "1").Position.Offset }
			publish()
			h.turns(grow, func() {
				publish()
				h.turns(join, func() {
					for _, c := range newcomers {
						c.x.Message(&protocol.Message{Type: "subscribe", Channel: "kept"})
					}
					close(done)
				})
			})
			<-done
			for _, c := range newcomers {
				all, at = append(all, c), append(at, c.one().Offset)
			}
			look()
			publish()
			look()
			for n, end := range at {
				if end != head {
					t.Fatalf("reader %d is at %d of %d", n, end, head)
				}
			}
		}
	}
}

// turns runs fn on the loop, so many turns from now.
func (h *house) turns(n int, fn func()) {
	h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
		if n == 0 {
			fn()
			return
		}
		h.turns(n-1, fn)
	}))
}

func TestFrom(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "kept")
	b := h.welcomed("bob")
	b.send(`{"type":"e","channel":"kept","data":1,"from":"somebody else"}`)
	if m := c.one(); m.From != "bob" || m.Offset != 1 || m.Time == 0 {
		t.Error(show([]protocol.Message{m}))
	}
	b.send(`{"type":"e","channel":"board","key":"k","data":1}`)
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	b.send(`{"type":"e","channel":"board","key":"k","data":1}`)
	if got := c.await(3); got[2].From != "" {
		t.Error("a channel that does not show who publishes shows it")
	}
}

// TestSlowReader stops reading, and then reads so much at a time, cut anywhere.
func TestSlowReader(t *testing.T) {
	for _, name := range []string{"kept", "short"} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 7))
				h := newHouse(t, houseOptions{})
				c := h.subscribed("ann", name)
				other := h.subscribed("bob", name)
				c.fill(rnd.IntN(200))
				const total = 60
				for n := range total {
					h.publish(name, "e", "", fmt.Sprintf(`"%0*d"`, rnd.IntN(30), n))
					if rnd.IntN(4) == 0 {
						c.drain(rnd.IntN(300))
					}
				}
				h.settle()
				if end := run(t, 0, other.messages()); end != total {
					t.Fatalf("the other one comes to %d", end)
				}
				if c.link.Blocked() && len(c.link.backlog) > 400 {
					t.Fatalf("%d bytes are queued for who does not read", len(c.link.backlog))
				}
				for range 200 {
					c.drain(100 + rnd.IntN(100))
				}
				c.drain(-1)
				h.settle()
				got := c.messages()
				if end := run(t, 0, got); end != total || len(got) != total {
					t.Fatalf("%d messages come to %d", len(got), end)
				}
				// And it is one of the live again.
				h.publish(name, "e", "", "1")
				h.settle()
				if got := c.messages(); len(got) != 1 || got[0].Offset != total+1 {
					t.Fatal(show(got))
				}
			})
		}
	}
}

// TestSlowReaderOfMany: whose socket takes a little at a time gets something of
// each channel, though the first one alone is more than it can take.
func TestSlowReaderOfMany(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "kept")
	c.sendf(`{"type":"subscribe","channel":"short","id":2}`)
	if m := c.next(); m.Type != protocol.TypeSubscribed {
		t.Fatal(show([]protocol.Message{m}))
	}
	c.fill(0)
	const each = 100
	for range each {
		h.publish("kept", "e", "", `"a"`)
		h.publish("short", "e", "", `"b"`)
	}
	h.settle()
	got := map[string]int{}
	for got["kept"]+got["short"] < each {
		before := got["kept"] + got["short"]
		c.drain(150) // two messages or three
		h.settle()
		for _, m := range c.messages() {
			got[m.Channel]++
		}
		if got["kept"]+got["short"] == before {
			t.Fatalf("it stopped at %v", got)
		}
	}
	if got["kept"] < each/4 || got["short"] < each/4 {
		t.Errorf("of the first messages came %v", got)
	}
}

// TestTrimmed: what history no longer has is named in a gap.
func TestTrimmed(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "trim")
	c.fill(0)
	for n := range 50 {
		h.publish("trim", "e", "", fmt.Sprint(n))
		h.settle()
	}
	c.drain(-1)
	h.settle()
	got := c.messages()
	if end := run(t, 0, got); end != 50 {
		t.Fatalf("comes to %d: %s", end, show(got))
	}
	if len(got) != 12 || got[1].Type != "gap" || !strings.Contains(string(got[1].Data), `"reason":"trimmed"`) {
		t.Fatalf("want the frame that was cut, a gap, and the ten that are kept: %s", show(got))
	}
}

// TestUnkeptGap: a channel that keeps nothing says how many were missed, and
// does not count ephemeral ones.
func TestUnkeptGap(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "live")
	c.fill(0)
	for n := range 30 {
		h.publish("live", "e", "", fmt.Sprint(n))
		h.publish("live", "typing", "", "0")
		h.settle()
	}
	c.drain(-1)
	h.settle()
	got := c.messages()
	// The frame that was cut (0), the gap, the newest of the ring (8 entries: 4 of each kind; of the old ephemeral ones only the last).
	if len(got) < 3 || got[1].Type != "gap" || string(got[1].Data) != `{"missed":25,"reason":"slow"}` {
		t.Fatal(show(got))
	}
	events := 0
	for _, m := range got[2:] {
		if m.Type == "e" {
			events++
		}
	}
	if events != 4 || len(got) != 7 || got[6].Type != "typing" {
		t.Fatalf("want 4 events and the newest typing: %s", show(got))
	}
}

// TestConflation: who lags on a state channel is given the newest of each key.
func TestConflation(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "board")
	c.fill(0)
	h.publish("board", "e", "first", "0")
	h.settle()
	for n := range 40 {
		h.publish("board", "e", fmt.Sprint("truck-", n%3), fmt.Sprint(n))
	}
	c.drain(-1)
	h.settle()
	got := c.messages()
	if len(got) != 4 || got[0].Key != "first" || string(got[1].Data) != "37" || string(got[2].Data) != "38" || string(got[3].Data) != "39" {
		t.Fatal(show(got))
	}
}

func TestSince(t *testing.T) {
	h := newHouse(t, houseOptions{})
	var epoch string
	for n := range 30 {
		epoch = h.publish("trim", "e", "", fmt.Sprint(n)).Position.Epoch
		h.publish("short", "e", "", fmt.Sprint(n))
	}
	for _, c := range []struct {
		name, channel, epoch string
		offset               uint64
		data                 string
		begin, next          uint64 // offset of subscribed, first message (0: none)
	}{
		{"nothing missed", "short", epoch, 30, `{"recovered":true,"head":30}`, 30, 0},
		{"from the store", "short", epoch, 5, `{"recovered":true,"head":30}`, 5, 6},
		{"from the beginning", "short", epoch, 0, `{"recovered":true,"head":30}`, 0, 1},
		{"just what is kept", "trim", epoch, 20, `{"recovered":true,"head":30}`, 20, 21},
		{"trimmed", "trim", epoch, 19, `{"recovered":false,"reason":"trimmed"}`, 30, 0},
		{"other epoch", "short", "nope", 5, `{"recovered":false,"reason":"epoch"}`, 30, 0},
		{"from the future", "short", epoch, 31, `{"recovered":false,"reason":"unknown"}`, 30, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := h.welcomed("ann")
			cl.sendf(`{"type":"subscribe","channel":%q,"id":1,"since":{"epoch":%q,"offset":%d}}`, c.channel, c.epoch, c.offset)
			h.settle()
			got := cl.messages()
			if len(got) == 0 || got[0].Type != "subscribed" || string(got[0].Data) != c.data || got[0].Offset != c.begin || got[0].Epoch != epoch {
				t.Fatal(show(got))
			}
			if (len(got) > 1) != (c.next > 0) || c.next > 0 && got[1].Offset != c.next {
				t.Fatalf("want %d next: %s", c.next, show(got))
			}
			if end := run(t, c.begin, got[1:]); end != 30 {
				t.Fatalf("comes to %d", end)
			}
		})
	}
	t.Run("keeps nothing", func(t *testing.T) {
		cl := h.welcomed("ann")
		cl.send(`{"type":"subscribe","channel":"live","id":1,"since":{"epoch":"e","offset":3}}`)
		if m := cl.one(); string(m.Data) != `{"recovered":false,"reason":"unknown"}` || m.Kept || m.Epoch != "" {
			t.Fatal(show([]protocol.Message{m}))
		}
	})
}

func TestLast(t *testing.T) {
	h := newHouse(t, houseOptions{})
	for n := range 30 {
		h.publish("short", "e", "", fmt.Sprint(n))
	}
	for last, begin := range map[int]uint64{1: 29, 20: 10, 30: 0, 500: 0} {
		c := h.welcomed("ann")
		c.sendf(`{"type":"subscribe","channel":"short","id":1,"data":{"last":%d}}`, last)
		h.settle()
		got := c.messages()
		if got[0].Type != "subscribed" || got[0].Offset != begin {
			t.Fatalf("last %d: %s", last, show(got[:1]))
		}
		if end := run(t, begin, got[1:]); end != 30 {
			t.Fatalf("last %d comes to %d", last, end)
		}
	}
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"room:empty","id":1,"data":{"last":5}}`)
	if m := c.one(); m.Type != "subscribed" {
		t.Fatal(show([]protocol.Message{m}))
	}
}

// TestState: a state channel begins with the latest of each key, goes on live,
// and tells who lost something the latest again.
func TestState(t *testing.T) {
	h := newHouse(t, houseOptions{channels: []*channel.Declaration{
		{Name: "board", State: &channel.State{}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 8, Bytes: 1 << 20}}}})
	h.publish("board", "e", "a", "1")
	h.publish("board", "e", "b", "2")
	h.publish("board", "e", "a", "3")
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	got := c.await(2)
	if got[0].Type != "subscribed" || got[0].Offset != 3 || keys(t, got[1]) != "b=2 a=3" {
		t.Fatal(show(got))
	}
	h.publish("board", "e", "b", "null")
	if m := c.one(); m.Key != "b" || string(m.Data) != "null" || m.Prev != 3 {
		t.Fatal(show([]protocol.Message{m}))
	}
	// Back with a position that the ring still has: no snapshot.
	epoch := got[0].Epoch
	again := h.welcomed("ann")
	again.sendf(`{"type":"subscribe","channel":"board","id":1,"since":{"epoch":%q,"offset":3}}`, epoch)
	if got := again.await(2); string(got[0].Data) != `{"recovered":true,"head":4}` || got[1].Key != "b" {
		t.Fatal(show(got))
	}
	// A reader who lost what the ring held gets the newest of every key that it
	// lacks, and no gap.
	c.fill(0)
	h.publish("board", "e", "first", "0")
	h.settle()
	for n := range 40 {
		h.publish("board", "e", fmt.Sprint("k", n%3), fmt.Sprint(n))
	}
	h.publish("board", "e", "a", "9")
	c.drain(-1)
	h.settle()
	got = c.messages()
	if values(got) != "first=0 k1=37 k2=38 k0=39 a=9" {
		t.Fatal(show(got))
	}
	h.publish("board", "e", "a", "10")
	if m := c.one(); string(m.Data) != "10" {
		t.Fatal(show([]protocol.Message{m}))
	}
	late := h.welcomed("bob")
	late.sendf(`{"type":"subscribe","channel":"board","id":1,"since":{"epoch":%q,"offset":3}}`, epoch)
	if got := late.await(7); string(got[0].Data) != `{"recovered":true,"head":47}` || got[0].Offset != 3 || values(got[1:]) != "b=null first=0 k1=37 k2=38 k0=39 a=10" {
		t.Fatal(show(got))
	}
}

// values writes messages with keys down.
func values(list []protocol.Message) string {
	var out []string
	for _, m := range list {
		if m.Key == "" {
			out = append(out, m.Type)
			continue
		}
		out = append(out, m.Key+"="+string(m.Data))
	}
	return strings.Join(out, " ")
}

// TestLargeState comes in several messages.
func TestLargeState(t *testing.T) {
	h := newHouse(t, houseOptions{})
	for n := range 1000 {
		h.publish("board", "e", fmt.Sprint("key-", n), `"`+strings.Repeat("x", 100)+`"`)
	}
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	c.next()
	total, parts := 0, 0
	for more := true; more; parts++ {
		m := c.next()
		total += len(strings.Fields(keys(t, m)))
		more = strings.HasSuffix(string(m.Data), `"more":true}`)
	}
	if total != 1000 || parts < 3 {
		t.Errorf("%d keys in %d messages", total, parts)
	}
}

// keys writes the items of a state message down.
func keys(t *testing.T, m protocol.Message) string {
	t.Helper()
	var d struct {
		Items []struct {
			Key  string
			Data json.RawMessage
		}
	}
	if err := json.Unmarshal(m.Data, &d); err != nil || m.Type != "state" {
		t.Fatalf("%s %s: %v", m.Type, m.Data, err)
	}
	var list []string
	for _, i := range d.Items {
		list = append(list, i.Key+"="+string(i.Data))
	}
	return strings.Join(list, " ")
}

func TestRateOfSubscription(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"board","id":1,"data":{"rate":4}}`)
	c.await(2)
	begun := time.Now()
	for n := range 20 {
		h.publish("board", "e", fmt.Sprint("k", n%2), fmt.Sprint(n))
		h.settle()
	}
	// The first leaves at once; of the others the newest of each key, a quarter
	// of a second later.
	got := c.await(3)
	if d := time.Since(begun); d < 240*time.Millisecond {
		t.Errorf("all within %v", d)
	}
	if string(got[0].Data) != "0" || string(got[1].Data) != "18" || string(got[2].Data) != "19" {
		t.Fatal(show(got))
	}
	// A history channel's subscriber is given everything, in batches.
	k := h.welcomed("bob")
	k.send(`{"type":"subscribe","channel":"kept","id":1,"data":{"rate":4}}`)
	k.one()
	for n := range 20 {
		h.publish("kept", "e", "", fmt.Sprint(n))
	}
	if end := run(t, 0, k.await(20)); end != 20 {
		t.Errorf("comes to %d", end)
	}
}

// TestChurn subscribes, leaves and closes at random while messages go out; who
// is subscribed all the while misses nothing, and nothing is left behind.
func TestChurn(t *testing.T) {
	h := newHouse(t, houseOptions{})
	rnd := rand.New(rand.NewPCG(1, 2))
	steady := h.subscribed("ann", "kept")
	var others []*client
	for n := range 300 {
		switch rnd.IntN(4) {
		case 0:
			others = append(others, h.subscribed("bob", "kept"))
		case 1:
			if len(others) > 0 {
				i := rnd.IntN(len(others))
				others[i].leave()
				others = append(others[:i], others[i+1:]...)
			}
		case 2:
			if len(others) > 0 {
				c := others[rnd.IntN(len(others))]
				c.send(`{"type":"unsubscribe","channel":"kept"}`)
				c.send(`{"type":"subscribe","channel":"kept"}`)
			}
		}
		h.publish("kept", "e", "", fmt.Sprint(n))
	}
	h.settle()
	if end := run(t, 0, steady.messages()); end != 300 {
		t.Errorf("comes to %d", end)
	}
	for _, c := range append(others, steady) {
		c.leave()
	}
	h.settle()
	if n := h.node.Channels(); n != 0 {
		t.Errorf("%d channels are still followed", n)
	}
	if b := h.node.RingBytes(); b != 0 {
		t.Errorf("rings still hold %d bytes", b)
	}
	if n := h.server.Sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if n := h.server.delivery.Hub(h.loop).Groups(); n != 0 {
		t.Errorf("%d groups are left", n)
	}
}

// TestDeliveryPanic: a link that panics costs its connection, and nobody else's
// messages.
func TestDeliveryPanic(t *testing.T) {
	h := newHouse(t, houseOptions{})
	var all []*client
	for range 5 {
		all = append(all, h.subscribed("ann", "kept"))
	}
	all[2].link.panics = true
	h.publish("kept", "e", "", "1")
	h.publish("kept", "e", "", "2")
	if got := all[2].closed(); got != protocol.CloseInternal {
		t.Errorf("closed with %d", got)
	}
	h.settle()
	for i, c := range all {
		if i == 2 {
			continue
		}
		if end := run(t, 0, c.messages()); end != 2 {
			t.Errorf("client %d comes to %d", i, end)
		}
	}
	if n := h.server.Metrics().Panics.Load(); n != 1 {
		t.Errorf("%d panics are counted", n)
	}
}
