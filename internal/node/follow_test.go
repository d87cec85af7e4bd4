package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// TestTwoNudgersOfOneChannel: both stand on one subscription, each is nudged once
// for every entry, and the last one who leaves ends it.
func TestTwoNudgersOfOneChannel(t *testing.T) {
	opened, closed := 0, 0
	s := newStage()
	s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log {
		return &brokertest.Log{Log: l, OnFollow: func(f broker.Follower) broker.Subscription {
			opened++
			return closes{l.Follow(f), &closed}
		}}
	}
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	a, b := new(counter), new(counter)
	c := joined(t, n, "c", a)
	if other := joined(t, n, "c", b); other != c || opened != 1 {
		t.Fatalf("two channels, %d subscriptions", opened)
	}
	check := func(when string, nudgesA, nudgesB int64, channels, ended int) {
		t.Helper()
		if a.nudges.Load() != nudgesA || b.nudges.Load() != nudgesB || n.Channels() != channels || closed != ended {
			t.Errorf("%s: %d and %d nudges, %d channels, %d subscriptions ended; want %d, %d, %d, %d", when,
				a.nudges.Load(), b.nudges.Load(), n.Channels(), closed, nudgesA, nudgesB, channels, ended)
		}
	}
	say(t, n, protocol.Message{Channel: "c", Data: []byte("1")})
	say(t, n, protocol.Message{Channel: "c", Data: []byte("2")})
	check("both", 2, 2, 1, 0)
	if n.RingBytes() <= 0 {
		t.Error("the ring takes nothing")
	}
	c.Leave(a)
	c.Leave(a) // it has left already
	say(t, n, protocol.Message{Channel: "c", Data: []byte("3")})
	check("one", 2, 3, 1, 0)
	if got, _, _ := texts(c, channel.Cursor{}, false); got != "1 2 3" {
		t.Errorf("the ring holds %q", got)
	}
	c.Leave(b)
	c.Leave(b)
	check("none", 2, 3, 0, 1)
	if n.RingBytes() != 0 {
		t.Errorf("the rings of no channel take %d bytes", n.RingBytes())
	}
	say(t, n, protocol.Message{Channel: "c", Data: []byte("4")})
	check("after", 2, 3, 0, 1)
}

type closes struct {
	broker.Subscription
	count *int
}

func (c closes) Close() { *c.count++; c.Subscription.Close() }

// TestFollowAfterTheLastLeft makes another channel, and the handle of the first is
// good for nothing there.
func TestFollowAfterTheLastLeft(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c"))})
	a, b := new(counter), new(counter)
	first := joined(t, n, "c", a)
	first.Leave(a)
	second := joined(t, n, "c", b)
	if second == first {
		t.Fatal("a channel that went came back")
	}
	first.Leave(b)
	var r readied
	if first.join(a, r.ready) || r.calls != 0 {
		t.Error("a channel that went was joined")
	}
	say(t, n, protocol.Message{Channel: "c", Data: []byte("1")})
	if a.nudges.Load() != 0 || b.nudges.Load() != 1 || n.lookup("c") != second {
		t.Errorf("%d and %d nudges", a.nudges.Load(), b.nudges.Load())
	}
	second.Leave(b)
}

// TestComeAndGo: whoever follows a channel while others come and go is joined to one
// that has not gone, and so is whoever enters a room. Nothing is left in the end.
func TestComeAndGo(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c"))})
	target, _ := n.Resolve("c")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				g := new(counter)
				c := n.Follow("c", target, g, func(*Channel, error) {})
				c.mu.Lock()
				joined := slices.Contains(c.nudgers, Nudger(g))
				c.mu.Unlock()
				if !joined {
					t.Error("a channel that went was followed")
				}
				c.Leave(g)
				n.attendance.release(n.attendance.find("c", true))
			}
		})
	}
	all.Wait()
	if n.Channels() != 0 || roomsOf(n) != 0 {
		t.Errorf("%d channels and %d rooms are left", n.Channels(), roomsOf(n))
	}
}

// pending is a log whose driver has not answered yet to those who follow.
type pending struct {
	follower broker.Follower
	closed   int
}

func (p *pending) Close() { p.closed++ }

// slow is a stage whose driver answers when the test does so.
func slow() (*stage, *[]*pending) {
	var list []*pending
	s := newStage()
	s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log {
		return &brokertest.Log{Log: l, OnFollow: func(f broker.Follower) broker.Subscription {
			p := &pending{follower: f}
			list = append(list, p)
			return p
		}}
	}
	return s, &list
}

// TestLeaveBeforeBegin: who leaves before the driver answered is told nothing; the
// last one ends the subscription, and what the driver says after that is of no use.
func TestLeaveBeforeBegin(t *testing.T) {
	s, list := slow()
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	target, err := n.Resolve("c")
	if err != nil {
		t.Fatal(err)
	}
	a, b := new(counter), new(counter)
	var ra, rb readied
	c := n.Follow("c", target, a, ra.ready)
	if n.Follow("c", target, b, rb.ready) != c || len(*list) != 1 {
		t.Fatalf("%d subscriptions", len(*list))
	}
	p := (*list)[0]
	p.follower.Entry("e", entryAt("c", 1)) // nothing is due before Begin
	c.Leave(a)
	if ra.calls+rb.calls != 0 || p.closed != 0 || n.Channels() != 1 {
		t.Fatalf("one left: %d and %d told, closed %d times", ra.calls, rb.calls, p.closed)
	}
	p.follower.Begin(protocol.Position{Epoch: "e", Offset: 7}, nil)
	if ra.calls != 0 || rb.calls != 1 || rb.c != c || rb.err != nil {
		t.Fatalf("%+v and %+v were told", ra, rb)
	}
	if at := c.Standing(); at.Epoch != "e" || at.Head.Mark != 7 {
		t.Errorf("it begins at %+v", at)
	}
	c.Leave(b)
	if p.closed != 1 {
		t.Errorf("closed %d times", p.closed)
	}

	c = n.Follow("c", target, a, ra.ready)
	p = (*list)[1]
	c.Leave(a)
	if p.closed != 1 || n.Channels() != 0 {
		t.Errorf("closed %d times, %d channels", p.closed, n.Channels())
	}
	p.follower.Begin(protocol.Position{Epoch: "e"}, nil)
	p.follower.Begin(protocol.Position{}, errors.New("planted"))
	p.follower.Entry("e", entryAt("c", 8))
	p.follower.Restart(protocol.Position{Epoch: "f"})
	if ra.calls != 0 || a.nudges.Load() != 0 || n.Channels() != 0 || n.RingBytes() != 0 {
		t.Errorf("told %d times, nudged %d times; %d channels of %d bytes", ra.calls, a.nudges.Load(), n.Channels(), n.RingBytes())
	}
}

func entryAt(name string, offset uint64) *channel.Entry {
	m := protocol.Message{Type: "e", Channel: name, Data: fmt.Append(nil, offset), Kept: offset > 0, Offset: offset, Prev: max(offset, 1) - 1}
	return channel.NewEntry(&m, offset == 0) // then it is an ephemeral one
}

// TestLeaveWhileTheDriverIsAsked: a driver that takes its time to give the
// subscription gives it to nobody then, and it is ended.
func TestLeaveWhileTheDriverIsAsked(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	closed := 0
	s := newStage()
	s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log {
		return &brokertest.Log{Log: l, OnFollow: func(f broker.Follower) broker.Subscription {
			close(asked)
			<-goOn
			return closes{l.Follow(f), &closed}
		}}
	}
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	target, _ := n.Resolve("c")
	g := new(counter)
	done := make(chan int)
	go func() {
		var r readied
		n.Follow("c", target, g, r.ready)
		done <- r.calls
	}()
	<-asked
	n.lookup("c").Leave(g)
	close(goOn)
	if told := <-done; told != 0 || closed != 1 || n.Channels() != 0 {
		t.Errorf("told %d times, ended %d subscriptions, %d channels", told, closed, n.Channels())
	}
}

// TestBeginFails: all who wait hear of it, and the next one asks anew.
func TestBeginFails(t *testing.T) {
	s, list := slow()
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	target, _ := n.Resolve("c")
	planted := errors.New("planted")
	nudgers, told := [3]counter{}, [3]readied{}
	var c *Channel
	for i := range nudgers {
		c = n.Follow("c", target, &nudgers[i], told[i].ready)
	}
	(*list)[0].follower.Begin(protocol.Position{}, planted)
	for i, r := range told {
		if r.calls != 1 || !errors.Is(r.err, planted) || r.c != nil {
			t.Errorf("number %d was told %+v", i, r)
		}
		c.Leave(&nudgers[i]) // which each must, and which does nothing any more
	}
	if n.Channels() != 0 || n.lookup("c") != nil || len((*list)) != 1 || (*list)[0].closed != 0 {
		t.Errorf("%d channels are left, closed %d times", n.Channels(), (*list)[0].closed)
	}
	var r readied
	g := new(counter)
	if again := n.Follow("c", target, g, r.ready); again == c || len(*list) != 2 {
		t.Fatal("nobody asked the driver again")
	}
	(*list)[1].follower.Begin(protocol.Position{Epoch: "e", Offset: 2}, nil)
	(*list)[1].follower.Entry("e", entryAt("c", 3))
	if r.calls != 1 || r.err != nil || g.nudges.Load() != 1 {
		t.Errorf("told %+v, nudged %d times", r, g.nudges.Load())
	}
	r.c.Leave(g)
}

// TestLimitOfChannels: one more than may be followed is refused with the name of
// the limit, and there is room again when one goes.
func TestLimitOfChannels(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c:{n}")), Channels: 2})
	g := new(counter)
	first, second := joined(t, n, "c:1", g), joined(t, n, "c:2", g)
	target, _ := n.Resolve("c:3")
	var r readied
	if c := n.Follow("c:3", target, g, r.ready); c != nil || r.calls != 1 || r.c != nil {
		t.Fatalf("a third is followed: %+v", r)
	}
	e := protocol.AsError(r.err)
	if e.Code != protocol.CodeLimitExceeded || e.Limit != "limits.node.channels" || !strings.Contains(e.Message, "2 channels") {
		t.Errorf("refused with %+v", e)
	}
	other := new(counter)
	joined(t, n, "c:1", other).Leave(other) // one more of the same is not one more
	first.Leave(g)
	joined(t, n, "c:3", g).Leave(g)
	second.Leave(g)
	if n.Channels() != 0 {
		t.Errorf("%d channels are left", n.Channels())
	}
}

// TestReloadBetweenResolveAndFollow: what is declared now holds, unless it is of
// another kind, which the sessions see to.
func TestReloadBetweenResolveAndFollow(t *testing.T) {
	old, wide, none := kept("c"), kept("c"), fleeting("c")
	wide.About = "wide"
	for _, c := range []struct {
		name   string
		reload *channel.Table
		want   *channel.Declaration
	}{
		{"the same kind", tableOf(t, wide), wide},
		{"another kind", tableOf(t, none), old},
		{"declared no longer", tableOf(t), old},
	} {
		var got *channel.Declaration
		s := newStage()
		s.opened = func(_ string, d *channel.Declaration, l broker.Log) broker.Log { got = d; return l }
		n := begun(t, Options{Broker: s, Table: tableOf(t, old)})
		target, err := n.Resolve("c")
		if err != nil {
			t.Fatal(err)
		}
		n.SetTable(c.reload)
		var r readied
		g := new(counter)
		ch := n.Follow("c", target, g, r.ready)
		if ch.Target().Declaration != c.want || got != c.want || !ch.Kept() {
			t.Errorf("%s: it is declared as %+v, its log as %+v", c.name, ch.Target().Declaration, got)
		}
		ch.Leave(g)
	}
	// A pattern of the application's does not rule the server's own log.
	n := begun(t, Options{Table: tableOf(t, fleeting("{any}"))})
	name, target := PresenceLog("room")
	g := new(counter)
	ch := n.Follow(name, target, g, func(*Channel, error) {})
	if ch.Target() != target {
		t.Error("a log of presence is declared by the application")
	}
	n.SetTable(tableOf(t, fleeting("{other}")))
	if ch.Target() != target {
		t.Error("a reload declared a log of presence")
	}
	ch.Leave(g)
}

// redeclares is a log that notes what it is declared as.
type redeclares struct {
	broker.Log
	to *[]*channel.Declaration
}

func (r redeclares) Redeclare(d *channel.Declaration) {
	*r.to = append(*r.to, d)
	r.Log.Redeclare(d)
}

// TestReloadReachesTheLog and the ring, and not a log of the other kind.
func TestReloadReachesTheLog(t *testing.T) {
	var told []*channel.Declaration
	s := newStage()
	s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log { return redeclares{l, &told} }
	old, small, none, gone := kept("c"), kept("c"), fleeting("c"), kept("other")
	small.History = &channel.History{Messages: 1}
	small.Buffer.Messages = 2
	n := begun(t, Options{Broker: s, Table: tableOf(t, old)})
	g := new(counter)
	c := joined(t, n, "c", g)
	defer c.Leave(g)
	n.SetTable(tableOf(t, small))
	if len(told) != 1 || told[0] != small || c.Target().Declaration != small {
		t.Fatalf("the log was told %v", told)
	}
	for _, data := range []string{"1", "2", "3"} {
		say(t, n, protocol.Message{Channel: "c", Data: []byte(data)})
	}
	if got, _, _ := texts(c, channel.Cursor{}, false); got != "2 3" {
		t.Errorf("the ring of two messages holds %q", got)
	}
	if page, err := n.Read(t.Context(), "c", c.Target(), broker.Range{}); err != nil || len(page.Entries) != 1 {
		t.Errorf("%d are kept, %v", len(page.Entries), err)
	}
	n.SetTable(tableOf(t, none))
	if len(told) != 1 || c.Target().Declaration != none || !c.Kept() {
		t.Errorf("the log of the other kind was told %v", told)
	}
	n.SetTable(tableOf(t, gone))
	if len(told) != 1 || c.Target().Declaration != none {
		t.Error("what is declared no longer has lost its old declaration")
	}
	if now, err := n.Redeclared("c"); err == nil {
		t.Errorf("the table of now declares %v", now)
	}
}

// TestReloadBeforeBegin: there is no ring yet that could be told.
func TestReloadBeforeBegin(t *testing.T) {
	s, list := slow()
	n := begun(t, Options{Broker: s, Table: tableOf(t, kept("c"))})
	target, _ := n.Resolve("c")
	g := new(counter)
	var r readied
	c := n.Follow("c", target, g, r.ready)
	defer c.Leave(g)
	small := kept("c")
	small.Buffer.Messages = 1
	n.SetTable(tableOf(t, small))
	if i := c.Info(); i.Epoch != "" || i.Offset != 0 {
		t.Errorf("it stands at %+v before it is followed", i)
	}
	c.rest()
	f := (*list)[0].follower
	f.Begin(protocol.Position{Epoch: "e"}, nil)
	f.Entry("e", entryAt("c", 1))
	f.Entry("e", entryAt("c", 2))
	if got, _, _ := texts(c, channel.Cursor{}, false); got != "2" {
		t.Errorf("the ring of one message holds %q", got)
	}
}
