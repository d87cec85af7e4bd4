package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// answer has Redis answer what a test wants, in Lua.
func (n *node) answer(lua string) (r reply) {
	n.t.Helper()
	c := n.client()
	m, err := c.Do(n.t.Context(), c.B().Eval().Script("return "+lua).Numkeys(0).Build()).ToMessage()
	if err != nil {
		r.err = err
		return r
	}
	r.list, r.err = m.ToArray()
	return r
}

// TestReceipts reads what the scripts that publish answer, and nothing else.
func TestReceipts(t *testing.T) {
	t.Parallel()
	a := join(t, "a", settings(t, redistest.Start(t).Address))
	garbled := a.failure(errGarbled).Message
	for _, c := range []struct {
		kept   bool
		answer string
		want   broker.Receipt
		err    string
		seen   int // points of the channel that the node knows then
	}{
		{false, `{"ok", "5"}`, broker.Receipt{Time: 5}, "", 0},
		{false, `{"again", "5"}`, broker.Receipt{Time: 5, Duplicate: true}, "", 0},
		{false, `{"reused", "5"}`, broker.Receipt{}, "was used for another message", 0},
		{false, `{"ok"}`, broker.Receipt{}, garbled, 0},
		{false, `{"ok", "x"}`, broker.Receipt{}, garbled, 0},
		{false, `{"ok", {}}`, broker.Receipt{}, garbled, 0},
		{false, `redis.error_reply("ODD secret")`, broker.Receipt{}, "refused (ODD)", 0},
		{true, `{"ok", "e", "7", "5", "p"}`, broker.Receipt{Position: protocol.Position{Epoch: "e", Offset: 7}, Time: 5}, "", 1},
		{true, `{"again", "e", "7", "5", "p"}`, broker.Receipt{Position: protocol.Position{Epoch: "e", Offset: 7}, Time: 5, Duplicate: true}, "", 0},
		{true, `{"again", "-", "0", "5", ""}`, broker.Receipt{Time: 5, Duplicate: true}, "", 0},
		{true, `{"reused", "", "0", "0", ""}`, broker.Receipt{}, "was used for another message", 0},
		{true, `{"keys", "", "0", "0", ""}`, broker.Receipt{}, "limit of 100000 keys", 0},
		{true, `{"ok", "e", "x", "5", "p"}`, broker.Receipt{}, garbled, 0},
		{true, `{"ok", "e", "7", "x", "p"}`, broker.Receipt{}, garbled, 0},
		{true, `{"ok", "e", "7", "5"}`, broker.Receipt{}, garbled, 0},
	} {
		d := &channel.Declaration{}
		if c.kept {
			d = kept
		}
		name := "c" + c.answer
		q := &publication{log: a.Open(name, d).(*log), declared: d}
		got, err := a.receipt(q, a.answer(c.answer), map[string][]point{})
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(a.failure(err).Message, c.err) || got != c.want {
			t.Errorf("%s: %+v, %v", c.answer, got, err)
		}
		if seen := a.evidence.seen(name); len(seen) != c.seen {
			t.Errorf("%s: the node knows %v", c.answer, seen)
		}
	}
}

// TestSlots reads what a Cluster says of its slots.
func TestSlots(t *testing.T) {
	t.Parallel()
	a := join(t, "a", settings(t, redistest.Start(t).Address))
	whole := func(from, to int, address string) slotRange { return slotRange{from, to, address} }
	for _, c := range []struct {
		answer string
		asked  string
		want   slotRange
		ok     bool
	}{
		{`{0, 5, {"h", 7}}`, "x:1", whole(0, 5, "h:7"), true},
		{`{5, 5, {"h", 7, "id"}, {"replica", 8}}`, "x:1", whole(5, 5, "h:7"), true},
		{`{0, 16383, {"::1", 7}}`, "x:1", whole(0, 16383, "[::1]:7"), true},
		{`{0, 5, {false, 7}}`, "x:1", whole(0, 5, "x:7"), true},
		{`{0, 5, {"", 7}}`, "x:1", whole(0, 5, "x:7"), true},
		{`{0, 5, {"?", 7}}`, "x:1", whole(0, 5, ""), true},
		{`{0, 5, {"", 7}}`, "x", slotRange{}, false},
		{`{0, 16384, {"h", 7}}`, "x:1", slotRange{}, false},
		{`{-1, 5, {"h", 7}}`, "x:1", slotRange{}, false},
		{`{6, 5, {"h", 7}}`, "x:1", slotRange{}, false},
		{`{0, 5, {"h"}}`, "x:1", slotRange{}, false},
		{`{0, 5, {"h", {}}}`, "x:1", slotRange{}, false},
		{`{0, 5, "h"}`, "x:1", slotRange{}, false},
		{`{"x", 5, {"h", 7}}`, "x:1", slotRange{}, false},
		{`{0, "x", {"h", 7}}`, "x:1", slotRange{}, false},
		{`{0, 5}`, "x:1", slotRange{}, false},
		{`5`, "x:1", slotRange{}, false},
	} {
		got, ok := parseSlots(a.answer("{" + c.answer + "}").list[0], c.asked)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %v", c.answer, got, ok)
		}
	}
}

// TestSpoiltLog: a log whose fields are not ours is an error for who reads or
// follows it, and not a page.
func TestSpoiltLog(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	board := &channel.Declaration{Name: "b", State: &channel.State{}, History: &channel.History{Messages: 10}, Buffer: channel.Buffer{Messages: 4}}
	for _, c := range []struct{ name, key, field, value string }{
		{"epoch", metaKey, "e", ""},
		{"long-epoch", metaKey, "e", strings.Repeat("e", maxEpoch+1)},
		{"print", metaKey, "f", ""},
		{"long-print", metaKey, "f", strings.Repeat("f", maxPrint+1)},
		{"offset", metaKey, "o", "01"},
	} {
		s.Do("HSET", a.base(c.name)+metaKey, "e", "e", "o", "1", "f", "f", "b", "0", "g", "0")
		s.Do("XADD", a.base(c.name)+logKey, "1-0", "f", "f", "t", "5", "m", `j{"type":"e","channel":"c"}`)
		if page, err := a.Open(c.name, kept).Read(t.Context(), broker.Range{}); err != nil || len(page.Entries) != 1 {
			t.Fatalf("%s: %+v, %v", c.name, page, err)
		}
		s.Do("HSET", a.base(c.name)+c.key, c.field, c.value)
		if page, err := a.Open(c.name, kept).Read(t.Context(), broker.Range{}); err == nil {
			t.Errorf("%s: read %+v", c.name, page)
		}
		if page, err := a.Open(c.name, board).State(t.Context(), broker.StateRange{}); err == nil && c.field != "f" {
			t.Errorf("%s: the state is %+v", c.name, page)
		}
		f := &follower{a, c.name, make(chan outcome, 1)}
		a.Open(c.name, kept).Follow(f)
		if o := <-f.begun; o.err == nil {
			t.Errorf("%s: followed at %+v", c.name, o.r)
		}
	}
	for _, c := range []struct{ name, print, at, message string }{
		{"entry-print", "", "5", "j{}"},
		{"entry-time", "f", "x", "j{}"},
	} {
		s.Do("HSET", a.base(c.name)+metaKey, "e", "e", "o", "1", "f", "f", "b", "0", "g", "0")
		s.Do("XADD", a.base(c.name)+logKey, "1-0", "f", c.print, "t", c.at, "m", c.message)
		if page, err := a.Open(c.name, kept).Read(t.Context(), broker.Range{}); err == nil {
			t.Errorf("%s: read %+v", c.name, page)
		}
	}
	a.follows.mu.Lock()
	if len(a.follows.byTopic) != 0 {
		t.Errorf("%d topics are followed by nobody", len(a.follows.byTopic))
	}
	a.follows.mu.Unlock()
	// Of a state what cannot be read is left out.
	base := a.base("state")
	s.Do("HSET", base+metaKey, "e", "e", "o", "2", "f", "f", "b", "0", "g", "0")
	s.Do("HSET", base+stateKey, "bad", "garbage", "good", `2 5 j{"type":"e","channel":"c","key":"good"}`)
	s.Do("ZADD", base+orderKey, "1", "bad", "2", "good")
	before := a.Metrics().Garbled.Load()
	page, err := a.Open("state", board).State(t.Context(), broker.StateRange{})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "good" || a.Metrics().Garbled.Load() != before+1 {
		t.Errorf("%+v, %v; %d garbled", page, err, a.Metrics().Garbled.Load())
	}
}

// TestSpoiltRoster: while a channel's members cannot be changed, whoever enters or
// leaves is told so, and it is made good when they can.
func TestSpoiltRoster(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	a.put("c", "m1", "m2")
	members := a.base("c") + roomKey
	s.Do("RENAME", members, members+"aside")
	s.Do("SET", members, "x")
	refused := func(what string, did bool, err error) {
		t.Helper()
		if e := (*protocol.Error)(nil); did || !errors.As(err, &e) || e.Code != protocol.CodeUnavailable {
			t.Errorf("%s: %v, %v", what, did, err)
		}
	}
	did, err := a.Put(t.Context(), "c", broker.Member{ID: "m1", User: "other"})
	refused("a change", did, err)
	did, err = a.Put(t.Context(), "c", broker.Member{ID: "m3"})
	refused("one who enters", did, err)
	did, err = a.Remove(t.Context(), "c", "m2")
	refused("one who leaves", did, err)
	_, err = a.Members(t.Context(), "c", broker.MemberRange{Limit: 5})
	refused("who asks", false, err)
	a.roster.mu.Lock()
	ours := a.roster.rooms["c"]
	if len(ours) != 1 || ours["m1"].User == "other" || len(a.roster.strays) != 2 {
		t.Errorf("ours are %v, and %v may be in", ours, a.roster.strays)
	}
	token := a.roster.token
	a.roster.mu.Unlock()
	if err := a.renew(t.Context()); err == nil {
		t.Error("what Redis may lack was put in again")
	}
	s.Do("HSET", members+"aside", "m1", token+` {"id":"m1","user":"odd"}`) // as if the change had been made
	s.Do("RENAME", members+"aside", members)
	redistest.Await(t, 10*time.Second, "that those who may be in are out", func() bool {
		a.roster.mu.Lock()
		defer a.roster.mu.Unlock()
		return len(a.roster.strays) == 0 && !a.roster.again
	})
	redistest.Await(t, 10*time.Second, "that it is as we know it", func() bool {
		page, err := a.Members(t.Context(), "c", broker.MemberRange{Limit: 5})
		return err == nil && len(page.Members) == 1 && page.Members[0].ID == "m1" && page.Members[0].User == "u"
	})
	// Where it is not known whether the lease holds still, that is found out first.
	a.roster.mu.Lock()
	a.roster.renewed = time.Time{}
	a.roster.mu.Unlock()
	if entered, err := a.Put(t.Context(), "c", broker.Member{ID: "m4"}); err != nil || !entered {
		t.Errorf("after a sleep: %v, %v", entered, err)
	}
	for _, id := range []string{"m1", "m4"} {
		if left, err := a.Remove(t.Context(), "c", id); err != nil || !left {
			t.Errorf("%s leaves: %v, %v", id, left, err)
		}
	}
	if len(a.roster.rooms) != 0 {
		t.Errorf("an empty room is held: %v", a.roster.rooms)
	}
}

// TestReapGoesOn: members of a node that has gone who cannot be dropped are dropped
// once they can be.
func TestReapGoesOn(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	o.Lease = 400 * time.Millisecond
	a, b := join(t, "a", o), join(t, "b", o)
	b.put("c", "b1")
	s.Do("SET", a.base("c")+fencedKey, "x")
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Await(t, 10*time.Second, "tried", func() bool { return len(s.List("ZRANGE", a.shared()+reapKey, "0", "-1")) == 1 })
	s.Do("DEL", a.base("c")+fencedKey)
	redistest.Await(t, 10*time.Second, "dropped", func() bool { return len(a.members("c")) == 0 })
}

// TestEndedLane: what comes when the lanes have ended is answered, and takes no room.
func TestEndedLane(t *testing.T) {
	b := open(t, Options{Addresses: []string{"127.0.0.1:1"}})
	defer b.cancel()
	for i := range b.lanes {
		b.lanes[i].ended = true
	}
	d := make(done, 1)
	b.Open("c", kept).Append(&broker.Publication{Message: protocol.Message{Type: "e", Channel: "c"}}, d)
	if o := <-d; o.err == nil || b.pending.Load() != 0 || b.bytes.Load() != 0 {
		t.Errorf("%v; %d are on their way", o.err, b.pending.Load())
	}
}

// TestAnotherHistory: a log of the same length that is another one is found out
// without any message.
func TestAnotherHistory(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	a.follow("c")
	epoch := a.publish("c", "1").Position.Epoch
	a.await("c", protocol.Position{Epoch: epoch, Offset: 1})
	s.Do("HSET", a.base("c")+metaKey, "f", "other")
	redistest.Await(t, 10*time.Second, "another epoch", func() bool {
		got := a.got("c")
		return len(got) == 2 && got[1].epoch != epoch
	})
}

// TestKeptFromNowOn: who followed a channel when it kept nothing is given what is
// kept from now on, and not what it did not hear before.
func TestKeptFromNowOn(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	a.publish("c", "1")
	l, f := a.Open("c", &channel.Declaration{}), &follower{a, "c", make(chan outcome, 1)}
	l.Follow(f)
	if o := <-f.begun; o.err != nil || o.r.Position != (protocol.Position{}) {
		t.Fatalf("it begins at %+v", o)
	}
	l.Redeclare(kept)
	a.check(a.followed())
	a.await("c", a.publish("c", "2").Position)
	if got := a.got("c"); len(got) != 1 || got[0].data != "2" || a.Metrics().Holes.Load() != 0 {
		t.Errorf("heard %v, having read %d times", got, a.Metrics().Holes.Load())
	}
}

// TestMayNotHear: whoever may not hear a channel's topic is told so at once.
func TestMayNotHear(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	s.Do("ACL", "SETUSER", "half", "on", ">"+secret, "~*", "+@all", "resetchannels", "&"+o.Prefix+"{!}*")
	o.Username, o.Password = "half", secret
	a := join(t, "a", o)
	f := &follower{a, "c", make(chan outcome, 1)}
	begun := time.Now()
	a.Open("c", kept).Follow(f)
	if o := <-f.begun; o.err == nil || !strings.Contains(o.err.Error(), "NOPERM") || time.Since(begun) > 4*time.Second {
		t.Errorf("%v after %v", o.err, time.Since(begun))
	}
}

// TestDeafFollow: who never hears that its topic is subscribed is told in the end.
func TestDeafFollow(t *testing.T) {
	t.Parallel()
	a := join(t, "a", settings(t, redistest.Start(t).Address))
	told := make(chan outcome, 1)
	f := &follow{log: a.Open("c", kept).(*log), follower: &follower{a, "c", told}, topic: a.base("c")}
	a.follows.mu.Lock()
	a.follows.byTopic[f.topic] = []*follow{f}
	a.follows.joining[f] = struct{}{}
	a.follows.mu.Unlock()
	if o := <-told; o.err == nil {
		t.Errorf("told %+v", o)
	}
}
