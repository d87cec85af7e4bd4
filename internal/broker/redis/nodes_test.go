package redis

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

var kept = &channel.Declaration{Name: "c", History: &channel.History{Messages: 10_000}}

// heard is an entry as a feed was given it, or with no data the begin of an epoch.
type heard struct {
	epoch        string
	offset, prev uint64
	data         string
}

// node is a broker with a feed that remembers.
type node struct {
	*Broker
	t testing.TB

	mu      sync.Mutex
	subs    map[string]broker.Subscription
	heard   map[string][]heard
	lost    map[string][]string
	control []string
}

// join starts a broker on a server; each test's nodes share its prefix.
func join(t testing.TB, name string, o Options) *node {
	t.Helper()
	n := &node{t: t, subs: map[string]broker.Subscription{}, heard: map[string][]heard{}, lost: map[string][]string{}}
	if o.Check == 0 {
		o.Check = 200 * time.Millisecond
	}
	if o.Lease == 0 {
		o.Lease = time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second // a machine that does much else must not look like a Redis that is gone
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	n.Broker = open(t, o)
	if err := n.Start(t.Context(), name, n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

// follower takes what a node's log gives.
type follower struct {
	*node
	name  string
	begun chan outcome
}

func (f *follower) Begin(at protocol.Position, err error) {
	f.begun <- outcome{broker.Receipt{Position: at}, err}
}

func (f *follower) Entry(epoch string, e *channel.Entry) {
	n := f.node
	var m protocol.Message
	if err := e.Message(&m); err != nil {
		n.t.Error(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard[f.name] = append(n.heard[f.name], heard{epoch, e.Offset, e.Prev, string(m.Data)})
}

func (f *follower) Restart(p protocol.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard[f.name] = append(f.heard[f.name], heard{epoch: p.Epoch, offset: p.Offset})
}

func (n *node) Lost(name string, members []broker.Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range members {
		n.lost[name] = append(n.lost[name], m.ID)
	}
}

func (n *node) Control(from string, payload []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.control = append(n.control, from+":"+string(payload))
}

func (n *node) follow(name string) protocol.Position {
	n.t.Helper()
	f := &follower{n, name, make(chan outcome, 1)}
	sub := n.Open(name, kept).Follow(f)
	o := <-f.begun
	if o.err != nil {
		n.t.Fatal(o.err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subs[name] = sub
	return o.r.Position
}

func (n *node) unfollow(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subs[name].Close()
}

type outcome struct {
	r   broker.Receipt
	err error
}

type done chan outcome

func (d done) Appended(r broker.Receipt, err error) { d <- outcome{r, err} }

func (n *node) append(d *channel.Declaration, name string, p *broker.Publication, answer broker.Done) {
	p.Message.Channel = name
	n.Open(name, d).Append(p, answer)
}

func (n *node) try(name, data, dedupe string) outcome {
	d := make(done, 1)
	n.append(kept, name, &broker.Publication{Dedupe: dedupe, Message: protocol.Message{Type: "e", Channel: name, Data: []byte(data)}}, d)
	return <-d
}

func (n *node) publish(name, data string) broker.Receipt {
	n.t.Helper()
	o := n.try(name, data, "")
	if o.err != nil {
		n.t.Fatal(o.err)
	}
	return o.r
}

// eventually publishes until it is taken, with one dedupe key.
func (n *node) eventually(name, data string) broker.Receipt {
	n.t.Helper()
	var o outcome
	redistest.Await(n.t, 45*time.Second, "published", func() bool {
		o = n.try(name, data, "key-"+data)
		if o.err != nil && !protocol.AsError(o.err).Retryable {
			n.t.Fatal(o.err)
		}
		return o.err == nil
	})
	return o.r
}

func (n *node) got(name string) []heard {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.heard[name])
}

// await waits until the feed of name came to an offset of an epoch, and checks
// that it was told every offset of every epoch once, in order.
func (n *node) await(name string, to protocol.Position) []heard {
	n.t.Helper()
	var got []heard
	there := func() bool {
		got = n.got(name)
		return len(got) > 0 && got[len(got)-1].epoch == to.Epoch && got[len(got)-1].offset >= to.Offset
	}
	for end := time.Now().Add(time.Minute); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("%s never came to %v; heard were %v", name, to, got)
		}
	}
	for i, h := range got {
		if i > 0 && h.data != "" && (h.epoch != got[i-1].epoch || h.prev != got[i-1].offset || h.offset != h.prev+1) {
			n.t.Fatalf("%s: %v comes after %v", name, h, got[i-1])
		}
	}
	return got
}

// settings are the options of a test's nodes.
func settings(t testing.TB, addresses ...string) Options {
	return Options{Addresses: addresses, Prefix: strings.ReplaceAll(t.Name(), "/", "_") + ":"}
}

func TestTwoNodesAreOne(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address))
	a.follow("c")
	b.follow("c")
	var last broker.Receipt
	for i := range 50 {
		last = []*node{a, b}[i%2].publish("c", fmt.Sprint(i))
	}
	got := a.await("c", last.Position)
	if other := b.await("c", last.Position); !slices.Equal(got, other) || len(got) != 50 {
		t.Fatalf("one heard %v, the other %v", got, other)
	}
	first := a.try("c", "x", "key")
	if again := b.try("c", "x", "key"); first.err != nil || again.err != nil || !again.r.Duplicate || again.r.Position != first.r.Position {
		t.Fatalf("a key on two nodes: %+v and %+v", first, again)
	}
	if p := join(t, "c", settings(t, s.Address)).follow("c"); p != first.r.Position {
		t.Fatalf("a third node begins after %v, want %v", p, first.r.Position)
	}
}

func TestBus(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b, c := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address)), join(t, "c", settings(t, s.Address))
	names, err := a.Nodes(t.Context())
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Fatalf("the nodes are %v, %v", names, err)
	}
	if err := a.Send(t.Context(), "b", []byte("one\nline")); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(t.Context(), "", []byte("all")); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(t.Context(), "nobody", nil); protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("to nobody: %v", err)
	}
	for n, want := range map[*node][]string{a: nil, b: {"a:one\nline", "a:all"}, c: {"a:all"}} {
		redistest.Await(t, 5*time.Second, "messages", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.control) >= len(want) })
		n.mu.Lock()
		if !slices.Equal(n.control, want) {
			t.Errorf("%s heard %q, want %q", n.node, n.control, want)
		}
		n.mu.Unlock()
	}
}

// members returns the ids in a channel, page by page.
func (n *node) members(name string) (ids []string) {
	n.t.Helper()
	for after := ""; ; {
		page, err := n.Members(n.t.Context(), name, broker.MemberRange{After: after, Limit: 2})
		if err != nil {
			n.t.Fatal(err)
		}
		for _, m := range page.Members {
			ids = append(ids, m.ID)
		}
		if !page.More {
			if page.Total != len(ids) {
				n.t.Fatalf("the total is %d, but there are %v", page.Total, ids)
			}
			return ids
		}
		after = ids[len(ids)-1]
	}
}

func (n *node) put(name string, ids ...string) {
	n.t.Helper()
	for _, id := range ids {
		if entered, err := n.Put(n.t.Context(), name, broker.Member{ID: id, User: "u", Data: []byte(`{"x":1}`)}); err != nil || !entered {
			n.t.Fatalf("%s entered: %v, %v", id, entered, err)
		}
	}
}

func TestRoster(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	long := settings(t, s.Address)
	long.Lease = 3 * time.Second // so that what happens before it runs out can be seen, and a busy machine lets none run out
	a, b := join(t, "a", long), join(t, "b", long)
	a.put("c", "a1", "a2", "a3")
	b.put("c", "b1", "b2")
	b.put("d", "b1")
	for _, n := range []*node{a, b} {
		if got := n.members("c"); !slices.Equal(got, []string{"a1", "a2", "a3", "b1", "b2"}) {
			t.Fatalf("the members are %v", got)
		}
	}
	if entered, err := a.Put(t.Context(), "c", broker.Member{ID: "a1", User: "other"}); err != nil || entered {
		t.Errorf("again: %v, %v", entered, err)
	}
	page, err := b.Members(t.Context(), "c", broker.MemberRange{Limit: 1})
	if err != nil || page.Members[0].User != "other" || page.Members[0].Data != nil {
		t.Errorf("changed: %+v, %v", page, err)
	}
	if left, err := a.Remove(t.Context(), "c", "b1"); err != nil || left {
		t.Errorf("another node's member was taken out: %v, %v", left, err)
	}
	if left, err := a.Remove(t.Context(), "c", "a1"); err != nil || !left {
		t.Errorf("taken out: %v, %v", left, err)
	}

	// A node that goes is no longer among the nodes. Its members stay for as long as
	// its lease would have held; then one of the others drops them, and is told.
	before := len(a.members("c"))
	if err := b.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if names, err := a.Nodes(t.Context()); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Errorf("the nodes are %v, %v", names, err)
	}
	ends, err := strconv.ParseInt(s.Do("ZSCORE", b.shared()+nodesKey, " "+b.roster.token), 10, 64)
	if left := time.Until(time.UnixMilli(ends)); err != nil || left < 0 || left > long.Lease {
		t.Errorf("its members stay for %v, %v", left, err)
	}
	if got := len(a.members("c")); got != before {
		t.Errorf("%d of %d members are left at once", got, before)
	}
	redistest.Await(t, 10*time.Second, "dropped", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.lost["c"]) == 2 && len(a.lost["d"]) == 1
	})
	if got := a.members("c"); !slices.Equal(got, []string{"a2", "a3"}) {
		t.Fatalf("then the members are %v", got)
	}
	redistest.Await(t, 5*time.Second, "that nothing is left of its lease", func() bool {
		return len(s.List("ZRANGE", a.shared()+reapKey, "0", "-1")) == 0 && len(s.List("KEYS", a.shared()+roomsKey+"*")) == 1
	})
	if names, err := a.Nodes(t.Context()); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Errorf("the nodes are %v, %v", names, err)
	}
}

// TestSleeper: a node that was silent for longer than its lease is dropped, what
// it still had on its way is fenced off, and it puts its members in again.
func TestSleeper(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address))
	b.put("c", "b1")
	b.roster.leasing.Lock() // b sleeps: it renews nothing
	b.roster.mu.Lock()
	token := b.roster.token
	b.roster.mu.Unlock()
	redistest.Await(t, 10*time.Second, "dropped", func() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.lost["c"]) == 1 })
	// A put under the old lease that was on its way.
	if f, err := b.run(t.Context(), b.putCall(token, "c", broker.Member{ID: "b2"}))[0].texts(1); err != nil || f[0] != "fenced" {
		t.Fatalf("a late put: %v, %v", f, err)
	}
	if got := a.members("c"); len(got) != 0 {
		t.Fatalf("the members are %v", got)
	}
	b.roster.leasing.Unlock()
	redistest.Await(t, 10*time.Second, "back again", func() bool { return slices.Equal(a.members("c"), []string{"b1"}) })
	redistest.Await(t, 10*time.Second, "told that the others took it for gone", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return slices.Equal(b.lost["c"], []string{"b1"}) })
	b.put("c", "b3")
	if got := a.members("c"); !slices.Equal(got, []string{"b1", "b3"}) {
		t.Fatalf("then the members are %v", got)
	}
}
