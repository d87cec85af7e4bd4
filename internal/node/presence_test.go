package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// shared is a roster and the logs of presence that several nodes share. Each node
// has a driver, which shares it.
type shared struct {
	mu      sync.Mutex
	roster  broker.Alone
	owner   map[string]*driver // by channel and member
	drivers []*driver
}

type driver struct {
	*memory.Broker
	shared *shared
	feed   broker.Feed

	mu    sync.Mutex
	err   error         // what changes of the roster fail with
	slow  time.Duration // how long they take
	under int           // changes under way, and the most that there were
	most  int
	deaf  bool // hears nothing of the others

	followers []*driverFollower
}

func (d *driver) Immediate() bool { return false }

func (d *driver) Start(_ context.Context, _ string, feed broker.Feed) error {
	d.feed = feed
	return nil
}

func (d *driver) Stop(context.Context) error { return nil }

func (d *driver) Nodes(context.Context) ([]string, error) { return nil, nil }

func (d *driver) Send(context.Context, string, []byte) error { return nil }

// driverLog is a log of presence, as one node opened it.
type driverLog struct {
	broker.Log
	driver *driver
	name   string
}

func (d *driver) Open(name string, decl *channel.Declaration) broker.Log {
	return &driverLog{d.Broker.Open(name, decl), d, name}
}

// driverFollower is one follower at a driver.
type driverFollower struct {
	broker.Follower
	driver *driver
	name   string
}

func (l *driverLog) Follow(f broker.Follower) broker.Subscription {
	d := l.driver
	s := &driverFollower{f, d, l.name}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.followers = append(d.followers, s)
	f.Begin(protocol.Position{}, nil)
	return s
}

func (s *driverFollower) Close() {
	s.driver.mu.Lock()
	defer s.driver.mu.Unlock()
	s.driver.followers = slices.DeleteFunc(s.driver.followers, func(f *driverFollower) bool { return f == s })
}

func (d *driver) give(name string, e *channel.Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.followers {
		if f.name == name && !d.deaf {
			f.Entry("", e)
		}
	}
}

// Append delivers to every node before it returns, which is the hardest of what
// a driver may do.
func (l *driverLog) Append(p *broker.Publication, done broker.Done) {
	e := channel.NewEntry(&p.Message, p.Ephemeral)
	h := l.driver.shared
	h.mu.Lock()
	for _, o := range h.drivers {
		o.give(l.name, e)
	}
	h.mu.Unlock()
	done.Appended(broker.Receipt{}, nil)
}

func (d *driver) pass(ctx context.Context) error {
	d.mu.Lock()
	err, slow := d.err, d.slow
	d.under++
	d.most = max(d.most, d.under)
	d.mu.Unlock()
	defer func() { d.mu.Lock(); d.under--; d.mu.Unlock() }()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (d *driver) set(err error, slow time.Duration) {
	d.mu.Lock()
	d.err, d.slow = err, slow
	d.mu.Unlock()
}

func (d *driver) Put(ctx context.Context, name string, m broker.Member) (bool, error) {
	if err := d.pass(ctx); err != nil {
		return false, err
	}
	d.shared.mu.Lock()
	d.shared.owner[name+" "+m.ID] = d
	d.shared.mu.Unlock()
	return d.shared.roster.Put(ctx, name, m)
}

func (d *driver) Remove(ctx context.Context, name, id string) (bool, error) {
	if err := d.pass(ctx); err != nil {
		return false, err
	}
	return d.shared.roster.Remove(ctx, name, id)
}

func (d *driver) Members(ctx context.Context, name string, r broker.MemberRange) (broker.MemberPage, error) {
	return d.shared.roster.Members(ctx, name, r)
}

// expire ends the lease of a node: the roster drops its members and another node
// is told.
func (h *shared) expire(t *testing.T, name string, gone, other *driver) {
	t.Helper()
	page, _ := h.roster.Members(t.Context(), name, broker.MemberRange{Limit: 1000})
	var lost []broker.Member
	for _, m := range page.Members {
		if h.owner[name+" "+m.ID] == gone {
			lost = append(lost, m)
			if _, err := h.roster.Remove(t.Context(), name, m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	other.feed.Lost(name, lost)
}

// watcher is who follows the log of a channel's members: it keeps what it was
// told, and the table that follows from it.
type watcher struct {
	c *Channel

	at   channel.Cursor
	view map[string]bool
}

func (w *watcher) Nudge() {}

func watch(t *testing.T, n *Node, name string) *watcher {
	t.Helper()
	w := &watcher{view: map[string]bool{}}
	log, target := PresenceLog(name)
	n.Follow(log, target, w, func(c *Channel, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		w.c = c
	})
	synctest.Wait()
	w.at = w.c.Standing().Head
	t.Cleanup(func() { w.c.Leave(w) })
	return w
}

// read returns what it was told since the last time, such as "enter ann/1".
func (w *watcher) read(t *testing.T) string {
	t.Helper()
	synctest.Wait()
	var b channel.Batch
	if gap := w.c.Fill(&b, w.at, 1<<30, true); gap != nil {
		t.Fatalf("a gap of %d", gap.Missed)
	}
	text := string(b.Bytes(channel.FormText, w.at))
	w.at = b.To
	var out []string
	for _, part := range strings.Split(text, `{"type":"presence"`)[1:] {
		part = part[:strings.LastIndex(part, "}")+1]
		var m struct {
			Channel string
			Data    struct {
				Action string
				Member broker.Member
			}
		}
		if err := json.Unmarshal([]byte(`{"type":"presence"`+part), &m); err != nil {
			t.Fatalf("%v: %s", err, part)
		}
		id := m.Data.Member.ID
		if m.Data.Action == "leave" {
			delete(w.view, id)
		} else {
			w.view[id] = true
		}
		out = append(out, strings.TrimRight(m.Data.Action+" "+id+" "+string(m.Data.Member.Data), " "))
	}
	return strings.Join(out, ", ")
}

func newNode(t *testing.T, b broker.Broker) *Node {
	t.Helper()
	table, err := channel.NewTable([]*channel.Declaration{{Name: "room", Presence: true}, {Name: "bare"}})
	if err != nil {
		t.Fatal(err)
	}
	n := New(Options{Broker: b, Table: table, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// sharing starts nodes that share a roster.
func sharing(t *testing.T, size int) (*shared, []*Node, []*driver) {
	t.Helper()
	h := &shared{owner: map[string]*driver{}}
	var nodes []*Node
	for range size {
		d := &driver{Broker: memory.New(memory.Options{}), shared: h}
		h.drivers = append(h.drivers, d)
		nodes = append(nodes, newNode(t, d))
	}
	return h, nodes, h.drivers
}

func member(id, user string) broker.Member { return broker.Member{ID: id, User: user} }

func enter(t *testing.T, n *Node, m broker.Member) error {
	t.Helper()
	done := make(chan error, 1)
	n.Enter("room", m, func(err error) { done <- err })
	return <-done
}

func exit(t *testing.T, n *Node, id string, grace time.Duration) error {
	t.Helper()
	done := make(chan error, 1)
	n.Exit("room", id, Departure{Grace: grace}, func(err error) { done <- err })
	return <-done
}

func ids(t *testing.T, n *Node) string {
	t.Helper()
	page, err := n.Members(t.Context(), "room", broker.MemberRange{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range page.Members {
		out = append(out, m.ID)
	}
	return strings.Join(out, " ")
}

// roomsOf returns how many rooms a node holds.
func roomsOf(n *Node) (count int) {
	for i := range n.attendance.shard {
		s := &n.attendance.shard[i]
		s.mu.Lock()
		count += len(s.rooms)
		s.mu.Unlock()
	}
	return count
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// both runs a test with a broker that answers at once and one that does not.
func both(t *testing.T, fn func(t *testing.T, n *Node)) {
	t.Run("immediate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { fn(t, newNode(t, memory.New(memory.Options{}))) })
	})
	t.Run("blocking", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { _, nodes, _ := sharing(t, 1); fn(t, nodes[0]) })
	})
}

func TestPresenceIsTold(t *testing.T) {
	both(t, func(t *testing.T, n *Node) {
		w := watch(t, n, "room")
		m := member("a", "ann")
		for i, step := range []struct {
			do   func() error
			want string
		}{
			{func() error { return enter(t, n, m) }, "enter a"},
			{func() error { m.Data = []byte("1"); return enter(t, n, m) }, "update a 1"},
			{func() error { return exit(t, n, "b", 0) }, ""},
			{func() error { return exit(t, n, "a", 0) }, "leave a"},
			{func() error { return exit(t, n, "a", 0) }, ""},
			{func() error { return enter(t, n, m) }, "enter a 1"},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%d: %v", i, err)
			}
			expect(t, fmt.Sprint(i), w.read(t), step.want)
		}
		if n.Present() != 1 {
			t.Errorf("%d present", n.Present())
		}
	})
}

func TestGraceIsWaitedFor(t *testing.T) {
	both(t, func(t *testing.T, n *Node) {
		w := watch(t, n, "room")
		for _, m := range []broker.Member{member("a", "ann"), member("b", "ben"), member("g", "")} {
			if err := enter(t, n, m); err != nil {
				t.Fatal(err)
			}
		}
		w.read(t)
		for _, id := range []string{"a", "b", "g"} {
			if err := exit(t, n, id, 15*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "who is not signed in is not waited for", w.read(t), "leave g")
		expect(t, "still in", ids(t, n), "a b")
		time.Sleep(10 * time.Second)
		if err := enter(t, n, member("a2", "ann")); err != nil {
			t.Fatal(err)
		}
		expect(t, "ann comes back", w.read(t), "enter a2, leave a")
		time.Sleep(5*time.Second - time.Millisecond)
		expect(t, "before the end", w.read(t), "")
		time.Sleep(time.Millisecond)
		expect(t, "ben does not", w.read(t), "leave b")
		expect(t, "in", ids(t, n), "a2")
		if n.Present() != 1 || n.attendance.lingering.Load() != 0 {
			t.Errorf("%d present, %d linger", n.Present(), n.attendance.lingering.Load())
		}
	})
}

// Who comes back to another node takes the place of the one who lingers as well:
// watchers are told of the new one first, and nobody waits for the old one.
func TestGraceEndsOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, _ := sharing(t, 2)
		w := watch(t, nodes[1], "room")
		for _, m := range []broker.Member{member("a", "ann"), member("b", "ben"), member("n", "")} {
			if err := enter(t, nodes[0], m); err != nil {
				t.Fatal(err)
			}
		}
		w.read(t)
		for _, id := range []string{"a", "b"} {
			if err := exit(t, nodes[0], id, 15*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if n := nodes[0].Channels(); n != 1 {
			t.Errorf("%d channels are followed where somebody lingers", n)
		}
		if err := enter(t, nodes[1], member("a2", "ann")); err != nil {
			t.Fatal(err)
		}
		expect(t, "ann comes back elsewhere", w.read(t), "enter a2, leave a")
		if err := enter(t, nodes[1], member("n2", "")); err != nil {
			t.Fatal(err)
		}
		expect(t, "somebody comes", w.read(t), "enter n2")
		expect(t, "in", ids(t, nodes[0]), "a2 b n n2")
		time.Sleep(10 * time.Second)
		expect(t, "ben does not come", w.read(t), "leave b")
		if n := nodes[0].attendance.lingering.Load(); n != 0 || nodes[0].Present() != 1 {
			t.Errorf("%d linger of %d", n, nodes[0].Present())
		}
		if n := nodes[0].Channels(); n != 0 {
			t.Errorf("%d channels are followed for nobody", n)
		}
		// And so it is the second time that somebody lingers.
		if err := errors.Join(enter(t, nodes[0], member("c", "cleo")), exit(t, nodes[0], "c", time.Minute), enter(t, nodes[1], member("c2", "cleo"))); err != nil {
			t.Fatal(err)
		}
		expect(t, "cleo comes back elsewhere", w.read(t), "enter c, enter c2, leave c")
		if err := exit(t, nodes[0], "n", 0); err != nil || roomsOf(nodes[0]) != 0 {
			t.Errorf("%v; %d rooms are held for nobody", err, roomsOf(nodes[0]))
		}
	})
}

// A driver gives a node what it tells itself as well, as Redis does, and late: that
// is no news to it. Nobody goes back in, and nobody's place is taken.
func TestToldBackToItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 1)
		n, w := nodes[0], watch(t, nodes[0], "room")
		a1, a2, a3 := member(n.MemberID("1"), "ann"), member(n.MemberID("2"), "ann"), member(n.MemberID("3"), "ann")
		for _, m := range []broker.Member{a1, a2} {
			if err := enter(t, n, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := exit(t, n, a1.ID, 0); err != nil {
			t.Fatal(err)
		}
		if err := exit(t, n, a2.ID, time.Minute); err != nil {
			t.Fatal(err)
		}
		w.read(t)
		for _, m := range []broker.Member{a1, a2} {
			for _, action := range []presence.Action{presence.Enter, presence.Update, presence.Leave} {
				told := protocol.Message{Type: protocol.TypePresence, Channel: "room", Data: presence.AppendChange(nil, presence.Change{Action: action, Member: m})}
				drivers[0].give(presencePrefix+"room", channel.NewEntry(&told, true))
			}
		}
		w.read(t)
		expect(t, "still in", ids(t, n), a2.ID)
		if n.Present() != 1 || n.attendance.lingering.Load() != 1 {
			t.Errorf("%d present, %d linger", n.Present(), n.attendance.lingering.Load())
		}
		if err := enter(t, n, a3); err != nil {
			t.Fatal(err)
		}
		expect(t, "ann comes back", w.read(t), "enter "+a3.ID+", leave "+a2.ID)
		expect(t, "in at the end", ids(t, n), a3.ID)
	})
}

// Mostly a user is back before the loss is noticed: then there is nobody to wait
// for.
func TestNoGraceForWhoIsHereAnyway(t *testing.T) {
	both(t, func(t *testing.T, n *Node) {
		w := watch(t, n, "room")
		for _, id := range []string{"a1", "a2"} {
			if err := enter(t, n, member(id, "ann")); err != nil {
				t.Fatal(err)
			}
		}
		w.read(t)
		if err := exit(t, n, "a1", time.Minute); err != nil {
			t.Fatal(err)
		}
		expect(t, "one of two", w.read(t), "leave a1")
		if err := exit(t, n, "a2", time.Minute); err != nil {
			t.Fatal(err)
		}
		expect(t, "the last one is waited for", w.read(t), "")
		time.Sleep(time.Minute)
		expect(t, "and then told", w.read(t), "leave a2")
		if roomsOf(n) != 0 {
			t.Error("the room is held for nobody")
		}
	})
}

// In a large room changes are told together, and who comes and goes in between
// is told of once.
func TestLargeRoomIsToldInBatches(t *testing.T) {
	both(t, func(t *testing.T, n *Node) {
		for i := range 200 {
			if err := enter(t, n, member(fmt.Sprintf("m%03d", i), "u")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		w := watch(t, n, "room")
		g := new(counter)
		log, target := PresenceLog("room")
		defer n.Follow(log, target, g, func(*Channel, error) {}).Leave(g)
		for _, id := range []string{"a", "b", "c"} {
			if err := enter(t, n, member(id, id)); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "the first after a quiet time", w.read(t), "enter a")
		if err := exit(t, n, "b", 0); err != nil {
			t.Fatal(err)
		}
		expect(t, "the others wait", w.read(t), "")
		time.Sleep(presence.Window(n.Present()) - time.Millisecond)
		expect(t, "for as long as the room is large", w.read(t), "")
		time.Sleep(2 * time.Millisecond)
		expect(t, "and are told together", w.read(t), "enter c, leave b")
		if got := g.nudges.Load(); got != 2 {
			t.Errorf("%d nudges for two times", got)
		}
	})
}

// Members whose node is gone are told to have left by the one that hears of it.
func TestLostMembersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, nodes, drivers := sharing(t, 3)
		w := watch(t, nodes[2], "room")
		for i, n := range nodes {
			if err := enter(t, n, member(fmt.Sprint("m", i), "ann")); err != nil {
				t.Fatal(err)
			}
		}
		w.read(t)
		drivers[0].deaf = true // it is gone
		h.expire(t, "room", drivers[0], drivers[1])
		expect(t, "told", w.read(t), "leave m0")
		expect(t, "in", ids(t, nodes[1]), "m1 m2")
		if nodes[1].Present() != 1 {
			t.Errorf("%d present", nodes[1].Present())
		}
		if err := exit(t, nodes[1], "m1", time.Minute); err != nil {
			t.Fatal(err)
		}
		drivers[1].feed.Lost("room", []broker.Member{member("m1", "ann")})
		expect(t, "who lingers", w.read(t), "leave m1")
		if nodes[1].Present() != 0 {
			t.Error("who lingered is waited for still")
		}
	})
}

// A node that was taken for gone, and is not, puts its members back when it hears
// of it: from what the other tells, or from its own driver.
func TestMembersOfASplitNodeComeBack(t *testing.T) {
	for name, heal := range map[string]func(h *shared, drivers []*driver){
		"told by the other": nil,
		"told by the driver": func(_ *shared, drivers []*driver) {
			drivers[0].feed.Lost("room", []broker.Member{member("m0", "ann"), member("gone", "x")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, nodes, drivers := sharing(t, 2)
				watch(t, nodes[0], "room") // as its members do
				w := watch(t, nodes[1], "room")
				for i, n := range nodes {
					if err := enter(t, n, member(fmt.Sprint("m", i), "ann")); err != nil {
						t.Fatal(err)
					}
				}
				w.read(t)
				drivers[0].deaf = heal != nil
				h.expire(t, "room", drivers[0], drivers[1])
				if heal != nil {
					expect(t, "told while it is away", w.read(t), "leave m0")
					drivers[0].deaf = false
					heal(h, drivers)
					expect(t, "told when it is back", w.read(t), "leave gone, enter m0")
				} else {
					expect(t, "told", w.read(t), "leave m0, enter m0")
				}
				expect(t, "in", ids(t, nodes[1]), "m0 m1")
				// Whoever has left for good stays out.
				if err := exit(t, nodes[0], "m0", 0); err != nil {
					t.Fatal(err)
				}
				expect(t, "told of the leave", w.read(t), "leave m0")
				expect(t, "in at the end", ids(t, nodes[1]), "m1")
			})
		})
	}
}

// While the roster does not answer nobody can enter; who has left is out as soon
// as it does answer.
func TestRosterThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 1)
		n, d := nodes[0], drivers[0]
		w := watch(t, n, "room")
		for _, id := range []string{"a", "b"} {
			if err := enter(t, n, member(id, id)); err != nil {
				t.Fatal(err)
			}
		}
		w.read(t)
		d.set(errors.New("a secret of the machine"), 0)
		err := enter(t, n, member("c", "c"))
		var e *protocol.Error
		if !errors.As(err, &e) || e.Code != protocol.CodeUnavailable || !e.Retryable || strings.Contains(e.Message, "secret") {
			t.Errorf("entering: %v", err)
		}
		m := member("a", "a")
		m.Data = []byte("1")
		if err := enter(t, n, m); err == nil {
			t.Error("changed")
		}
		if err := exit(t, n, "b", 0); err == nil {
			t.Error("left")
		}
		d.set(nil, 0)
		expect(t, "meanwhile", w.read(t), "")
		time.Sleep(rosterRetry)
		expect(t, "told", w.read(t), "leave b")
		expect(t, "in", ids(t, n), "a")
		if n.Present() != 1 {
			t.Errorf("%d present", n.Present())
		}
	})
}

// A roster that hangs holds nobody up for longer than its time, and the changes
// that wait behind fail with it.
func TestRosterThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 1)
		n, d := nodes[0], drivers[0]
		d.set(nil, time.Hour)
		const people = 1000
		results := make(chan error, people)
		began := time.Now()
		for i := range people {
			n.Enter("room", member(fmt.Sprint(i), "u"), func(err error) { results <- err })
		}
		for range people {
			if err := <-results; err == nil {
				t.Fatal("entered")
			}
		}
		if took := time.Since(began); took > rosterTimeout+time.Second {
			t.Errorf("the last heard of it after %v", took)
		}
		d.set(nil, 0)
		d.mu.Lock()
		if d.most > rosterQueues {
			t.Errorf("%d changes at a time", d.most)
		}
		d.mu.Unlock()
		time.Sleep(time.Minute)
		if got := ids(t, n); got != "" || n.Present() != 0 || n.attendance.lingering.Load() != 0 {
			t.Errorf("left behind: %q, %d", got, n.Present())
		}
		if roomsOf(n) != 0 {
			t.Error("a room is left")
		}
	})
}

// The changes of one member are made in the order in which they were asked for.
func TestChangesOfAMemberAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 1)
		n := nodes[0]
		drivers[0].set(nil, time.Millisecond)
		var order []int
		var mu sync.Mutex
		for i := range 100 {
			note := func(error) { mu.Lock(); order = append(order, i); mu.Unlock() }
			if i%3 == 2 {
				n.Exit("room", "a", Departure{}, note)
			} else {
				n.Enter("room", member("a", "ann"), note)
			}
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("order %v", order)
		}
		expect(t, "in", ids(t, n), "a")
	})
}

// Stop waits for what is under way, takes nobody out, and leaves nothing running.
func TestStopTakesNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 2)
		n := nodes[0]
		if err := errors.Join(enter(t, n, member("a", "ann")), enter(t, n, member("b", "ben"))); err != nil {
			t.Fatal(err)
		}
		if err := exit(t, n, "b", time.Hour); err != nil {
			t.Fatal(err)
		}
		drivers[0].set(nil, time.Second)
		under := make(chan error, 1)
		n.Enter("room", member("c", "cleo"), func(err error) { under <- err })
		if err := n.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-under; err != nil {
			t.Error(err)
		}
		expect(t, "in", ids(t, nodes[1]), "a b c")
		drivers[0].set(nil, 0)
		if err := enter(t, n, member("d", "dora")); err == nil {
			t.Error("entered by a node that has stopped")
		}
		time.Sleep(2 * time.Hour)
		expect(t, "later", ids(t, nodes[1]), "a b c")
	})
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 1)
		drivers[0].set(nil, time.Hour)
		done := make(chan error, 1)
		nodes[0].Enter("room", member("c", "cleo"), func(err error) { done <- err })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := nodes[0].Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stopped with %v", err)
		}
		if err := <-done; err == nil {
			t.Error("entered")
		}
	})
}

// The logs of presence are the server's own, also while they are followed, and a
// reload does not make them a channel that a pattern matches.
func TestPresenceLogIsNobodysChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, memory.New(memory.Options{}))
		w := watch(t, n, "room")
		w.c.AddSubscribers(1)
		log, _ := PresenceLog("room")
		if of, ok := PresenceOf(log); !ok || of != "room" {
			t.Errorf("the log of %q, %v", of, ok)
		}
		if _, err := n.Resolve(log); protocol.AsError(err).Code != protocol.CodeForbidden {
			t.Errorf("resolved: %v", err)
		}
		if list, _, _ := n.List(t.Context(), "", "", 10); len(list) != 0 {
			t.Errorf("listed: %v", list)
		}
		all, err := channel.NewTable([]*channel.Declaration{{Name: channel.CatchAll, History: &channel.History{Messages: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		n.SetTable(all)
		if w.c.Target().Declaration != presenceLog {
			t.Error("redeclared")
		}
		for name, ok := range map[string]bool{"room": true, "bare": false} {
			d := &channel.Declaration{Name: name, Presence: ok}
			if err := n.HasPresence(Target{Declaration: d}, name); (err == nil) != ok {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A timer may go off while its room goes; it then has nothing to do.
func TestTimerOfARoomThatWent(t *testing.T) {
	n := newNode(t, memory.New(memory.Options{}))
	r := n.attendance.find("room", true)
	n.attendance.release(r)
	n.attendance.fire(r)
	if !r.mu.TryLock() {
		t.Error("the room is held")
	}
}

// BenchmarkEnter is one member who enters and leaves a room of that many, beside
// the same number of others: what it costs does not grow with the room.
func BenchmarkEnter(b *testing.B) {
	for _, size := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			br := memory.New(memory.Options{})
			n := New(Options{Broker: br, Table: &channel.Table{}, Logger: slog.New(slog.DiscardHandler)})
			if err := n.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer n.Stop(context.Background())
			for i := range size {
				n.Enter("room", member(fmt.Sprintf("node%08d", i), "u"), ignore)
			}
			w := &watcher{}
			log, target := PresenceLog("room")
			n.Follow(log, target, w, func(c *Channel, _ error) { w.c = c })
			defer w.c.Leave(w)
			told := n.metrics.PresenceTold.Load()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				id := fmt.Sprintf("node%08dx", i%size)
				n.Enter("room", member(id, "x"), ignore)
				n.Exit("room", id, Departure{}, ignore)
				i++
			}
			b.ReportMetric(float64(n.metrics.PresenceTold.Load()-told)/float64(b.N), "told/op")
		})
	}
}
