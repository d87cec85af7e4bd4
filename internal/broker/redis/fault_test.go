package redis

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// TestRestartWithData (E01): a server that keeps its log on disk and is shut down
// and started again goes on in the same epoch. Meanwhile publishing fails fast.
func TestRestartWithData(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	a, b := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address))
	a.follow("c")
	b.follow("c")
	for i := range 10 {
		a.publish("c", fmt.Sprint(i))
	}
	s.Shutdown()
	redistest.Await(t, 5*time.Second, "not ready", func() bool { return a.Ready(t.Context()) != nil })
	begun := time.Now()
	o := a.try("c", `"lost"`, "")
	if o.err == nil || !protocol.AsError(o.err).Retryable || time.Since(begun) > time.Second {
		t.Fatalf("published to nobody: %+v after %v", o, time.Since(begun))
	}
	s.Run()
	r := a.eventually("c", "10")
	got := a.await("c", r.Position)
	if len(got) != 11 || got[10].epoch != got[0].epoch {
		t.Fatalf("heard %v", got)
	}
	if other := b.await("c", r.Position); !slices.Equal(got, other) {
		t.Fatalf("the other node heard %v", other)
	}
	redistest.Await(t, 5*time.Second, "ready", func() bool { return a.Ready(t.Context()) == nil })
	if n := a.Metrics().Epochs.Load(); n != 0 {
		t.Errorf("%d epochs were declared", n)
	}
}

// TestRestartEmpty (E02): a server that comes back with nothing has another
// epoch, the same for all, and whoever follows is told at once. The members of
// the nodes are put in again.
func TestRestartEmpty(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address))
	a.follow("c")
	old := b.follow("c").Epoch
	a.put("c", "a1")
	b.put("c", "b1")
	var last broker.Receipt
	for i := range 10 {
		last = a.publish("c", fmt.Sprint(i))
	}
	a.await("c", last.Position)
	b.await("c", last.Position)
	s.Kill()
	s.Run()
	restarted := func(n *node) func() bool {
		return func() bool { got := n.got("c"); return len(got) > 10 && got[10].epoch != old && got[10].data == "" }
	}
	redistest.Await(t, 10*time.Second, "told of an epoch", restarted(a))
	redistest.Await(t, 10*time.Second, "told of an epoch", restarted(b))
	r := b.eventually("c", `"new"`)
	if r.Position.Epoch == old || r.Position.Offset != 1 {
		t.Fatalf("published at %v", r.Position)
	}
	if got := a.await("c", r.Position); got[10].offset != 0 || got[10].epoch != r.Position.Epoch || got[len(got)-1].data != `"new"` {
		t.Fatalf("heard %v", got)
	}
	b.await("c", r.Position)
	redistest.Await(t, 10*time.Second, "members", func() bool { return slices.Equal(a.members("c"), []string{"a1", "b1"}) })
}

// replicated starts a primary and a replica that has all of it.
func replicated(t *testing.T) (p, r *redistest.Server) {
	p = redistest.Start(t)
	r = redistest.Start(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(p.Port))
	redistest.Await(t, 10*time.Second, "replicating", func() bool {
		return strings.Contains(r.Do("INFO", "replication"), "master_link_status:up")
	})
	return p, r
}

// TestLossyFailover (E05): a primary goes on accepting while it is cut off, and
// is demoted then. Its last messages are gone, though the epoch's key survives.
// Whoever has seen them must find out, however the other history goes on.
func TestLossyFailover(t *testing.T) {
	t.Parallel()
	type isolation struct {
		name     string
		cut      int  // messages that the old primary accepts on its own
		others   int  // and the new one meanwhile
		unfollow bool // nobody follows any more when it comes out
		pause    time.Duration
	}
	cases := []isolation{{"shorter", 5, 2, false, 0}, {"as long", 5, 5, false, 0}, {"longer", 5, 9, false, 0}, {"nothing", 5, 0, false, 0}, {"unfollowed", 5, 9, true, 0}}
	if os.Getenv("RINGDOWN_LONG") != "" {
		cases = append(cases, isolation{"ten seconds", 40, 60, false, 100 * time.Millisecond})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, r := replicated(t)
			a := join(t, "a", settings(t, p.Address, r.Address))
			epoch := a.follow("c").Epoch
			var last broker.Receipt
			for i := range 10 {
				last = a.publish("c", fmt.Sprint(i))
			}
			redistest.Await(t, 5*time.Second, "replicated", func() bool {
				return r.Do("HGET", a.base("c")+metaKey, "o") == "10"
			})
			r.Do("REPLICAOF", "NO", "ONE")
			b := join(t, "b", settings(t, r.Address))
			b.follow("c")
			for i := range c.cut {
				last = a.publish("c", fmt.Sprint("\"cut", i, "\""))
				time.Sleep(c.pause)
			}
			a.await("c", last.Position)
			for i := range c.others {
				b.publish("c", fmt.Sprint("\"other", i, "\""))
				time.Sleep(c.pause)
			}
			if c.unfollow {
				a.unfollow("c")
			}
			p.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(r.Port))

			declared := func(n *node) func() bool {
				return func() bool { return n.Metrics().Epochs.Load() > 0 }
			}
			redistest.Await(t, 15*time.Second, "declared", declared(b))
			fresh := join(t, "c", settings(t, r.Address)).follow("c")
			if fresh.Epoch == epoch {
				t.Fatalf("undeclared: the epoch is still %q", epoch)
			}
			end := b.eventually("c", `"end"`)
			if end.Position.Epoch != fresh.Epoch {
				t.Fatalf("two epochs, %q and %q", end.Position.Epoch, fresh.Epoch)
			}
			b.await("c", end.Position)
			if !c.unfollow {
				got := a.await("c", end.Position)
				at := slices.IndexFunc(got, func(h heard) bool { return h.data == "" })
				if at != 10+c.cut || got[at].offset != uint64(10+c.others) {
					t.Fatalf("heard %v", got)
				}
			}
			if got := b.got("c"); c.others > 0 && (got[c.others].data != "" || got[c.others].offset != uint64(10+c.others)) {
				// Its history is part of the new one, so that it lost nothing.
				t.Fatalf("the node on the other side heard %v", got)
			}
		})
	}
}

// TestKilledSubscription (E07): what was published while the connection of the
// subscriptions was away, or what it lost, is read from the log.
func TestKilledSubscription(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address))
	a.follow("c")
	var last broker.Receipt
	for i := range 100 {
		if i%20 == 5 {
			s.Do("CLIENT", "KILL", "TYPE", "pubsub")
		}
		last = b.publish("c", fmt.Sprint(i))
	}
	if got := a.await("c", last.Position); len(got) != 100 {
		t.Fatalf("heard %d", len(got))
	}
	redistest.Await(t, 10*time.Second, "made anew", func() bool { return a.Metrics().Reconnect.Load() > 0 })
}

// TestOverflow (E07): a node that reads too slowly is cut off by the server, and
// reads from the log what it was not sent.
func TestOverflow(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--client-output-buffer-limit", "pubsub", "64kb", "0", "0")
	a, b := join(t, "a", settings(t, s.Address)), join(t, "b", settings(t, s.Address))
	a.follow("c")
	listeners := func() int { return strings.Count(s.Do("CLIENT", "LIST", "TYPE", "pubsub"), "id=") }
	if n := listeners(); n != 2 {
		t.Fatalf("%d connections listen", n)
	}
	large := `"` + strings.Repeat("x", 64<<10) + `"`
	a.mu.Lock() // its feed stands still
	sent := 0
	for ; sent < 1000 && listeners() == 2; sent++ {
		b.publish("c", large)
	}
	cut := listeners() < 2
	a.mu.Unlock()
	if !cut {
		t.Fatalf("after %d messages the server sends still", sent)
	}
	if got := a.await("c", b.publish("c", `"end"`).Position); len(got) != sent+1 {
		t.Errorf("heard %d of %d", len(got), sent+1)
	}
	t.Logf("cut off after %d messages of 64 KiB", sent)
}

// TestLostTail (E07): the last message of a channel never came by PUBLISH, and
// nothing comes after it. The check finds it.
func TestLostTail(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	a, b := join(t, "a", o), join(t, "b", o)
	b.Broker.publish = "ECHO" // which takes no two arguments, so that the script fails; see below
	a.follow("c")
	r := b.try("c", "1", "")
	if r.err == nil {
		t.Fatal("ECHO takes no topic")
	}
	// The script failed at its last step, when all was written: just what is left
	// when a PUBLISH is lost.
	begun := time.Now()
	a.await("c", protocol.Position{Epoch: a.follows.byTopic[a.base("c")][0].at.epoch, Offset: 1})
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestPaused (E07): a server that answers nobody for a while costs time, and not
// a message.
func TestPaused(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	o.Timeout = 400 * time.Millisecond
	a := join(t, "a", o)
	a.follow("c")
	a.publish("c", "0")
	s.Do("CLIENT", "PAUSE", "1500", "ALL")
	begun := time.Now()
	first := a.try("c", "1", "key-1")
	if first.err == nil || !protocol.AsError(first.err).Retryable {
		t.Fatalf("published on a paused server: %+v", first)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("that took %v", took)
	}
	r := a.eventually("c", "1") // the same key: it may have been accepted after all
	got := a.await("c", r.Position)
	if len(got) != 2 {
		t.Fatalf("heard %v", got)
	}
}

// TestFull (E07): a server without memory refuses whole publications, and says so.
func TestFull(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	a.follow("c")
	a.publish("c", "0")
	s.Do("CONFIG", "SET", "maxmemory", "1mb")
	o := a.try("c", "1", "key")
	if o.err == nil || !strings.Contains(o.err.Error(), "OOM") || protocol.AsError(o.err).Code != protocol.CodeUnavailable {
		t.Fatalf("published on a full server: %+v", o)
	}
	s.Do("CONFIG", "SET", "maxmemory", "0")
	if o := a.try("c", "1", "key"); o.err != nil || o.r.Duplicate {
		t.Fatalf("and then: %+v", o)
	}
	a.await("c", a.publish("c", "2").Position)
}

// TestHostile (E16): what is published or kept by others is dropped and counted,
// and the node goes on.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	a.follow("c")
	first := a.publish("c", "0")
	topic := a.base("c")
	for _, bad := range []string{"", "x", "R1k", "R9k a b", strings.Repeat("R1k ", 1000), "R1k e 1 1 a b\n{", "R1e 1 1\nj[]"} {
		s.Do("PUBLISH", topic, bad)
		s.Do("PUBLISH", a.shared(), bad)
		s.Do("PUBLISH", a.shared()+"a", bad)
	}
	// One that looks right and continues nothing.
	s.Do("PUBLISH", topic, "R1k "+first.Position.Epoch+" 2 5 forged forged\nj{\"type\":\"e\",\"channel\":\"c\",\"data\":\"forged\"}")
	redistest.Await(t, 5*time.Second, "counted", func() bool { return a.Metrics().Garbled.Load() >= 21 })
	a.await("c", a.publish("c", "1").Position)
	if got := a.got("c"); len(got) != 2 || got[1].data != "1" {
		t.Fatalf("heard %v", got)
	}
	// An entry of the log that cannot be read is left out; what follows is not.
	s.Do("XADD", topic+logKey, "3-0", "f", "zz", "t", "5", "m", "garbage")
	s.Do("HSET", topic+metaKey, "o", "3", "f", "zz")
	r := a.publish("c", "4")
	page, err := a.Open("c", kept).Read(t.Context(), broker.Range{})
	if err != nil || len(page.Entries) != 3 || page.Head != 4 {
		t.Fatalf("read %+v, %v", page, err)
	}
	redistest.Await(t, 5*time.Second, "going on", func() bool { got := a.got("c"); return got[len(got)-1].offset == r.Position.Offset })
	s.Do("HSET", topic+roomKey, "m", "garbage")
	s.Do("ZADD", topic+idsKey, "0", "m")
	if page, err := a.Members(t.Context(), "c", broker.MemberRange{Limit: 5}); err != nil || len(page.Members) != 0 {
		t.Fatalf("members %+v, %v", page, err)
	}
	// Keys of a wrong kind are an error and no more.
	s.Do("SET", a.base("d")+metaKey, "x")
	if o := a.try("d", "1", ""); o.err == nil {
		t.Error("published over a key of another kind")
	}
}

// TestTooMuch: what cannot be sent is refused at once, and everything is answered.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	o := settings(t, s.Address)
	o.Pending = 100
	a := join(t, "a", o)
	s.Do("CLIENT", "PAUSE", "300", "ALL")
	answers := make(done, 1000)
	refused := 0
	for i := range 1000 {
		a.append(kept, fmt.Sprint("c", i%7), &broker.Publication{Message: protocol.Message{Type: "e", Data: []byte("1")}}, answers)
	}
	for range 1000 {
		if o := <-answers; o.err != nil {
			refused++
		}
	}
	if refused != 900 || a.pending.Load() != 0 || a.bytes.Load() != 0 {
		t.Errorf("%d were refused; %d of %d bytes are still on their way", refused, a.pending.Load(), a.bytes.Load())
	}
}

// TestStopAnswers: what is on its way when the broker stops has its answer first.
func TestStopAnswers(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	answers := make(done, 500)
	for i := range 500 {
		a.append(kept, fmt.Sprint("c", i), &broker.Publication{Message: protocol.Message{Type: "e", Data: []byte("1")}}, answers)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 500 {
		t.Fatalf("%d of 500 were answered", len(answers))
	}
	if o := a.try("c", "1", ""); o.err == nil {
		t.Error("accepted after the end")
	}
	f := &follower{a, "c", make(chan outcome, 1)}
	a.Open("c", kept).Follow(f)
	if o := <-f.begun; o.err == nil {
		t.Error("followed after the end")
	}
}

// TestStopInAHurry: what there is no time for is answered as well.
func TestStopInAHurry(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	s.Do("CLIENT", "PAUSE", "10000", "ALL")
	answers := make(done, 1000)
	for range 1000 { // more than are sent at a time
		a.append(kept, "c", &broker.Publication{Message: protocol.Message{Type: "e", Data: []byte("1")}}, answers)
	}
	hurry, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Stop(hurry); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 1000 || a.pending.Load() != 0 {
		t.Errorf("%d of 1000 were answered, %d are on their way", len(answers), a.pending.Load())
	}
}

// TestForgottenDeletions: a state remembers so many deletions, and says up to
// where they are forgotten.
func TestForgottenDeletions(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, "a", settings(t, s.Address))
	board := &channel.Declaration{Name: "b", State: &channel.State{}, Buffer: channel.Buffer{Messages: 4}}
	answers := make(done, 3000)
	for i := range channel.MaxTombstones + 10 {
		a.append(board, "b", &broker.Publication{Message: protocol.Message{Type: "e", Key: fmt.Sprint(i), Data: []byte("null")}}, answers)
	}
	for range channel.MaxTombstones + 10 {
		if o := <-answers; o.err != nil {
			t.Fatal(o.err)
		}
	}
	page, err := a.Open("b", board).State(t.Context(), broker.StateRange{Limit: 5000, Bytes: 1 << 30})
	if err != nil || len(page.Entries) != channel.MaxTombstones || page.Forgotten != 10 || page.Entries[0].Offset != 11 || !page.Entries[0].Deleted {
		t.Fatalf("%d entries, forgotten up to %d, %v", len(page.Entries), page.Forgotten, err)
	}
}
