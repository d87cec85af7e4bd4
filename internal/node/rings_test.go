package node

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// TestHeldChannelNudgesOnceAtTheEnd of what is delivered together.
func TestHeldChannelNudgesOnceAtTheEnd(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c"))})
	a, b := new(counter), new(counter)
	c := joined(t, n, "c", a)
	joined(t, n, "c", b)
	c.hold(true)
	for range 3 {
		say(t, n, protocol.Message{Channel: "c", Data: []byte("1")})
	}
	if a.nudges.Load() != 0 || b.nudges.Load() != 0 {
		t.Error("somebody was nudged while it was held")
	}
	c.hold(false)
	if a.nudges.Load() != 1 || b.nudges.Load() != 1 {
		t.Errorf("%d and %d nudges at the end", a.nudges.Load(), b.nudges.Load())
	}
	say(t, n, protocol.Message{Channel: "c", Data: []byte("1")})
	if a.nudges.Load() != 2 || b.nudges.Load() != 2 {
		t.Errorf("%d and %d nudges after it", a.nudges.Load(), b.nudges.Load())
	}
	c.Leave(a)
	c.Leave(b)
}

// TestRestart: another epoch empties the ring, is counted, and is told to all; who
// stood in the one before has a gap.
func TestRestart(t *testing.T) {
	s, list := slow()
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	target, _ := n.Resolve("c")
	g := new(counter)
	var r readied
	c := n.Follow("c", target, g, r.ready)
	f := (*list)[0].follower
	f.Begin(protocol.Position{Epoch: "e", Offset: 3}, nil)
	start := c.Standing().Head
	f.Entry("e", entryAt("c", 4))
	held := n.RingBytes()
	state := func(what, wantEpoch string, era, mark uint64, nudges int64) {
		t.Helper()
		at := c.Standing()
		if at.Epoch != wantEpoch || at.Era != era || at.Head.Mark != mark || g.nudges.Load() != nudges {
			t.Errorf("%s: %+v, %d nudges; want %q, era %d, mark %d, %d", what, at, g.nudges.Load(), wantEpoch, era, mark, nudges)
		}
	}
	state("before", "e", 0, 4, 1)
	f.Restart(protocol.Position{Epoch: "e", Offset: 4})
	state("the same epoch", "e", 0, 4, 2)
	if n.RingBytes() != held {
		t.Error("the ring of the same epoch lost what it had")
	}
	f.Restart(protocol.Position{Epoch: "f", Offset: 1})
	state("another", "f", 1, 1, 3)
	if n.RingBytes() != 0 {
		t.Errorf("an empty ring takes %d bytes", n.RingBytes())
	}
	f.Entry("f", entryAt("c", 2))
	if _, gap, _ := texts(c, start, false); gap == nil || !gap.Epoch || gap.Origin != 1 {
		t.Errorf("who stood at 3 of the other epoch has the gap %+v", gap)
	}
	f.Entry("g", entryAt("c", 9)) // the entry tells of the epoch by itself
	state("by an entry", "g", 2, 9, 5)
	if got, _, _ := texts(c, channel.Cursor{}, false); got != "9" {
		t.Errorf("the ring holds %q", got)
	}
	f.Entry("h", entryAt("c", 0)) // one without an offset tells of none
	state("ephemeral", "g", 2, 9, 6)
	c.Leave(g)
	if n.RingBytes() != 0 {
		t.Errorf("%d bytes are left", n.RingBytes())
	}
}

// TestRingOverBudget: the ring that grows past what all may take together is cut to
// its share, and to no less than one message.
func TestRingOverBudget(t *testing.T) {
	d := kept("c:{n}")
	n := begun(t, Options{Table: tableOf(t, d), RingBytes: 16 << 10})
	g := new(counter)
	quiet, busy := joined(t, n, "c:1", g), joined(t, n, "c:2", g)
	data := []byte(`"` + strings.Repeat("x", 1000) + `"`)
	for range 5 {
		say(t, n, protocol.Message{Channel: "c:1", Data: data})
	}
	one := n.RingBytes() / 5
	for range 50 {
		say(t, n, protocol.Message{Channel: "c:2", Data: data})
		if got := n.RingBytes(); got > 16<<10 {
			t.Fatalf("the rings take %d bytes", got)
		}
	}
	if got := n.RingBytes(); got < 9<<10 {
		t.Errorf("the rings take only %d bytes", got)
	}
	if _, gap, _ := texts(quiet, channel.Cursor{}, false); gap != nil {
		t.Errorf("the quiet channel paid for the busy one: %+v", gap)
	}
	_, gap, _ := texts(busy, channel.Cursor{}, false)
	if held := int64(50 - gap.To); held < (8<<10)/one-1 || held > (16<<10)/one {
		t.Errorf("the busy channel holds %d messages of %d bytes", held, one)
	}
	busy.Leave(g)
	quiet.Leave(g)
	if n.RingBytes() != 0 {
		t.Errorf("the rings of no channel take %d bytes", n.RingBytes())
	}
	huge := joined(t, n, "c:3", g)
	defer huge.Leave(g)
	say(t, n, protocol.Message{Channel: "c:3", Data: []byte(`"` + strings.Repeat("x", 20<<10) + `"`)})
	if n.RingBytes() < 20<<10 {
		t.Error("the newest message is not held, because it is large")
	}
}

// TestQuietRingsAreEmptied: a ring that got nothing between two looks gives its
// memory back; who had everything still has.
func TestQuietRingsAreEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := begun(t, Options{Table: tableOf(t, kept("c"), kept("d")), Quiet: time.Second})
		g := new(counter)
		c, d := joined(t, n, "c", g), joined(t, n, "d", g)
		wait := func() { time.Sleep(time.Second); synctest.Wait() }
		say(t, n, protocol.Message{Channel: "c", Data: []byte("1")})
		say(t, n, protocol.Message{Channel: "d", Data: []byte("1")})
		time.Sleep(time.Second / 2)
		wait()
		if n.RingBytes() == 0 {
			t.Fatal("it is empty at the first look")
		}
		say(t, n, protocol.Message{Channel: "c", Data: []byte("2")})
		wait()
		if got, _, _ := texts(c, channel.Cursor{}, false); got != "1 2" {
			t.Fatalf("what still gets something holds %q", got)
		}
		head := c.Standing().Head
		wait()
		if n.RingBytes() != 0 {
			t.Errorf("a quiet ring takes %d bytes", n.RingBytes())
		}
		if _, gap, _ := texts(c, head, false); gap != nil || c.Behind(head) {
			t.Errorf("who had everything has the gap %+v", gap)
		}
		if _, gap, _ := texts(c, channel.Cursor{}, false); gap == nil || gap.From != 1 || gap.To != 2 {
			t.Errorf("who had nothing has the gap %+v", gap)
		}
		wait()
		c.Leave(g)
		d.Leave(g)
		if n.RingBytes() != 0 {
			t.Errorf("empty rings and those of no channel take %d bytes", n.RingBytes())
		}
	})
}

// TestReadingARing: a cursor is found by its offset, fills a batch as far as it
// may, and is behind until it has all.
func TestReadingARing(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c"))})
	g := new(counter)
	c := joined(t, n, "c", g)
	defer c.Leave(g)
	start := c.Standing().Head
	if c.Behind(start) {
		t.Error("somebody is behind where nothing came")
	}
	for _, data := range []string{"1", "2", "3"} {
		say(t, n, protocol.Message{Channel: "c", Data: []byte(data)})
	}
	if !c.Behind(start) {
		t.Error("nobody is behind three messages")
	}
	at, ok := c.Find(2)
	if got, gap, end := texts(c, at, false); !ok || got != "3" || gap != nil || c.Behind(end) {
		t.Errorf("after 2 comes %q, %v, %v", got, ok, gap)
	}
	if _, ok := c.Find(4); ok {
		t.Error("what is still to come was found")
	}
	var b channel.Batch
	c.Fill(&b, start, 1, false)
	if b.To.Mark != 1 || c.Extend(&b, 1) {
		t.Errorf("a batch of one byte holds up to %d, or more came in", b.To.Mark)
	}
	if !c.Extend(&b, 1<<20) || b.To.Mark != 3 || c.Extend(&b, 1<<20) {
		t.Errorf("it was extended to %d", b.To.Mark)
	}
}

// TestInfo tells subscribers, and the position of what keeps messages.
func TestInfo(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("k"), fleeting("f"))})
	g := new(counter)
	k, f := joined(t, n, "k", g), joined(t, n, "f", g)
	defer k.Leave(g)
	defer f.Leave(g)
	r := say(t, n, protocol.Message{Channel: "k", Data: []byte("1")})
	say(t, n, protocol.Message{Channel: "f", Data: []byte("1")})
	k.AddSubscribers(3)
	k.AddSubscribers(-1)
	if got, want := k.Info(), (Info{"k", 2, r.Position.Epoch, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := f.Info(), (Info{Name: "f"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
