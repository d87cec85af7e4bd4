package node

import (
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// TestOpenUsesTheLogThatIsFollowed, unless a reload made it of another kind.
func TestOpenUsesTheLogThatIsFollowed(t *testing.T) {
	opened := 0
	s := newStage()
	s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log { opened++; return l }
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	before := say(t, n, protocol.Message{Channel: "c", Data: []byte("1")})
	g := new(counter)
	c := joined(t, n, "c", g)
	defer c.Leave(g)
	opened = 0
	after := say(t, n, protocol.Message{Channel: "c", Data: []byte("2")})
	page, err := n.Read(t.Context(), "c", c.Target(), broker.Range{})
	if err != nil || len(page.Entries) != 2 || opened != 0 {
		t.Errorf("%d messages, %v; opened %d times", len(page.Entries), err, opened)
	}
	if before.Position.Offset != 1 || after.Position.Offset != 2 {
		t.Errorf("positions %v and %v", before.Position, after.Position)
	}
	n.SetTable(tableOf(t, fleeting("c")))
	if r := say(t, n, protocol.Message{Channel: "c", Data: []byte("3")}); r.Position.Offset != 0 || opened != 1 {
		t.Errorf("%v of a channel that keeps nothing now; opened %d times", r.Position, opened)
	}
}

// TestState reads the latest message of each key, where somebody follows and where
// nobody does.
func TestState(t *testing.T) {
	d := kept("s")
	d.History, d.State = nil, &channel.State{}
	n := begun(t, Options{Table: tableOf(t, d)})
	for _, key := range []string{"a", "b", "a"} {
		say(t, n, protocol.Message{Channel: "s", Key: key, Data: []byte("1")})
	}
	target, _ := n.Resolve("s")
	for range 2 {
		page, err := n.State(t.Context(), "s", target, broker.StateRange{})
		if err != nil || len(page.Entries) != 2 || page.Head != 3 {
			t.Errorf("%d keys up to %d, %v", len(page.Entries), page.Head, err)
		}
		g := new(counter)
		c := joined(t, n, "s", g)
		defer c.Leave(g)
	}
}

// TestResolve names what cannot be, what is the server's, and what is not declared.
func TestResolve(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c:{n}"))})
	for name, want := range map[string]protocol.Code{"c:1": "", "": protocol.CodeBadRequest, "a b": protocol.CodeBadRequest, "$c": protocol.CodeForbidden, "d": protocol.CodeNotFound} {
		_, err := n.Resolve(name)
		if (err == nil) != (want == "") || err != nil && protocol.AsError(err).Code != want {
			t.Errorf("%q: %v, want %s", name, err, want)
		}
	}
	// A log of the server's own stays so while somebody follows it.
	name, target := PresenceLog("c:1")
	g := new(counter)
	c := n.Follow(name, target, g, func(*Channel, error) {})
	defer c.Leave(g)
	if _, err := n.Resolve(name); protocol.AsError(err).Code != protocol.CodeForbidden {
		t.Errorf("%s: %v", name, err)
	}
	if n.Table().Names() == "" || !n.Immediate() || n.Ready(t.Context()) != nil {
		t.Error("the node is not the one that was made")
	}
}

// TestDefaults: what is not said is filled in.
func TestDefaults(t *testing.T) {
	o := New(Options{Broker: newStage(), Table: tableOf(t)}).opts
	if o.RingBytes != 256<<20 || o.Channels != 1_000_000 || o.Quiet != 30*time.Second || o.Logger == nil {
		t.Errorf("%+v", o)
	}
	o = New(Options{Broker: newStage(), Table: tableOf(t), RingBytes: 1, Channels: 1, Quiet: 1}).opts
	if o.RingBytes != 1 || o.Channels != 1 || o.Quiet != 1 {
		t.Errorf("%+v", o)
	}
}

// claims is a log that is told what clients say.
type claims struct {
	broker.Log
	told []protocol.Position
}

func (c *claims) Claimed(p protocol.Position) { c.told = append(c.told, p) }

// TestClaimed reaches a log that wants to know, and no other.
func TestClaimed(t *testing.T) {
	b, asked := newStage(), &claims{}
	b.opened = func(name string, _ *channel.Declaration, l broker.Log) broker.Log {
		if name != "c" {
			return l
		}
		asked.Log = l
		return asked
	}
	n := begun(t, Options{Broker: b, Table: tableOf(t, kept("c"), kept("d"))})
	p := protocol.Position{Epoch: "e", Offset: 9}
	for _, name := range []string{"c", "d"} {
		target, err := n.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		follower := &counter{}
		c := n.Follow(name, target, follower, func(*Channel, error) {})
		c.Claimed(p)
		c.Leave(follower)
	}
	if len(asked.told) != 1 || asked.told[0] != p {
		t.Errorf("it was told %v", asked.told)
	}
}
