package redis

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
)

// TestCluster (E04): nodes at different servers of a Redis Cluster are one, while
// slots move and primaries die under load. All of it is on one Cluster, which
// takes seconds to start.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	t.Run("sharded", func(t *testing.T) { share(t, c, false) })
	t.Run("not sharded", func(t *testing.T) { share(t, c, true) })
	t.Run("moves", func(t *testing.T) { moves(t, c, false) })
	t.Run("moves, not sharded", func(t *testing.T) { moves(t, c, true) })
	rounds := 1
	if os.Getenv("RINGDOWN_LONG") != "" {
		rounds = 5
	}
	for i := range rounds {
		t.Run(fmt.Sprint("killed ", i), func(t *testing.T) { killed(t, c, i%2 == 1) })
		t.Run(fmt.Sprint("lossy ", i), func(t *testing.T) { lossy(t, c) })
	}
}

// pair starts two nodes on a Cluster that follow some channels, and returns the
// channels' names.
func pair(t *testing.T, c *redistest.Cluster, old bool, channels int) (a, b *node, names []string) {
	t.Helper()
	o := settings(t, c.Addresses()...)
	o.Cluster, o.old, o.Timeout = true, old, 2*time.Second
	a, b = join(t, "a", o), join(t, "b", o)
	for i := range channels {
		names = append(names, fmt.Sprint("c:", i))
		a.follow(names[i])
		b.follow(names[i])
	}
	return a, b, names
}

// share: what one node publishes the other hears, in whatever slots it is, by
// SPUBLISH where there is such a thing, and at once.
func share(t *testing.T, c *redistest.Cluster, old bool) {
	a, b, names := pair(t, c, old, 30)
	if err := a.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	said, err := a.survey(t.Context())
	if inOrder := slices.IsSortedFunc(said.ranges, func(a, b slotRange) int { return a.from - b.from }); err != nil || !said.usable || said.epoch == 0 || len(said.ranges) < 3 || !inOrder {
		t.Errorf("the cluster says %+v, %v", said, err)
	}
	last := map[string]broker.Receipt{}
	for n := range 10 {
		for _, name := range names {
			last[name] = []*node{a, b}[n%2].publish(name, fmt.Sprint(n))
		}
	}
	for name, r := range last {
		if got := a.await(name, r.Position); len(got) != 10 || !slices.Equal(got, b.await(name, r.Position)) {
			t.Fatalf("%s: heard %v", name, got)
		}
	}
	for _, name := range names {
		if got, want := int(slotOf(a.base(name))), c.Slot(a.base(name)); got != want {
			t.Fatalf("%s has slot %d, want %d", name, got, want)
		}
	}
	sharded, plain := 0, 0
	for _, s := range c.Servers {
		sharded += len(s.List("PUBSUB", "SHARDCHANNELS", a.opts.Prefix+"*"))
		plain += len(s.List("PUBSUB", "CHANNELS", a.opts.Prefix+"*c:*"))
	}
	if old && (sharded != 0 || plain == 0) || !old && (sharded != len(names) || plain != 0) {
		t.Errorf("%d topics are subscribed where their slots are, %d anywhere", sharded, plain)
	}
	a.unfollow(names[0])
	b.unfollow(names[0])
	redistest.Await(t, 5*time.Second, "unsubscribed", func() bool {
		for _, s := range c.Servers {
			for _, kind := range []string{"SHARDCHANNELS", "CHANNELS"} {
				if len(s.List("PUBSUB", kind, a.base(names[0]))) > 0 {
					return false
				}
			}
		}
		return true
	})
	a.put("c:1", "a1")
	b.put("c:2", "b1")
	if got := b.members("c:1"); !slices.Equal(got, []string{"a1"}) {
		t.Fatalf("the members are %v", got)
	}
	if err := a.Send(t.Context(), "b", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	redistest.Await(t, 5*time.Second, "a message", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.control) == 1 })
	if err := a.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// moves: slots go from primary to primary while their channels are published to.
// Nothing is lost, and nobody declares anything.
func moves(t *testing.T, c *redistest.Cluster, old bool) {
	a, b, names := pair(t, c, old, 8)
	l := publishTo(names, a, b)
	primaries := c.Primaries()
	for end := time.Now().Add(span(0)); ; {
		for _, name := range names {
			slot := c.Slot(a.base(name))
			owner, _ := c.Owner(slot)
			c.Move(slot, primaries[(slices.Index(primaries, owner)+1)%len(primaries)], 2*time.Millisecond)
		}
		if time.Now().After(end) {
			break
		}
	}
	c.AwaitWhole()
	for _, name := range names {
		topic := a.base(name)
		owner, _ := c.Owner(c.Slot(topic))
		redistest.Await(t, 5*time.Second, "subscribed where the slot is now", func() bool {
			return old || len(owner.List("PUBSUB", "SHARDCHANNELS", topic)) == 1
		})
	}
	for i, n := range l.judge(t) {
		if n > 0 {
			t.Errorf("%d messages of %s are gone", n, names[i])
		}
	}
	for _, n := range []*node{a, b} {
		if epochs := n.Metrics().Epochs.Load(); epochs > 0 {
			t.Errorf("%d epochs were declared on node %s, but nothing was lost", epochs, n.node)
		}
		t.Logf("node %s read the log %d times for what it did not hear", n.node, n.Metrics().Holes.Load())
	}
}

// killed: a primary is killed, or sleeps, under load, and its replica becomes
// the primary. What that lacks is declared.
func killed(t *testing.T, c *redistest.Cluster, sleeps bool) {
	a, b, names := pair(t, c, false, 8)
	primary, _ := c.Owner(c.Slot(a.base(names[0])))
	l := publishTo(names, a, b)
	time.Sleep(300 * time.Millisecond)
	if sleeps {
		primary.Stop()
		promoted(t, c, a.base(names[0]), primary)
		primary.Continue()
	} else {
		primary.Kill()
		promoted(t, c, a.base(names[0]), primary)
	}
	redistest.Await(t, 10*time.Second, "ready", func() bool { return a.Ready(t.Context()) == nil && b.Ready(t.Context()) == nil })
	time.Sleep(300 * time.Millisecond)
	lost := l.judge(t)
	t.Logf("acknowledged and gone, which the epochs say: %v; %d epochs", lost, a.Metrics().Epochs.Load())
	if !sleeps {
		primary.Run()
	}
	c.AwaitWhole()
}

// promoted waits until another server than before is the primary of a key.
func promoted(t *testing.T, c *redistest.Cluster, key string, before *redistest.Server) {
	t.Helper()
	slot, begun := c.Slot(key), time.Now()
	redistest.Await(t, 30*time.Second, "a replica is promoted", func() bool {
		primary, _ := c.Owner(slot)
		return primary != before
	})
	t.Logf("its replica was promoted after %v", time.Since(begun).Round(time.Millisecond))
}

// lossy: a primary accepts messages that its replica is not sent, and is killed.
// All nodes find out, for its channels and for no others.
func lossy(t *testing.T, c *redistest.Cluster) {
	a, b, names := pair(t, c, false, 8)
	primary, replica := c.Owner(c.Slot(a.base(names[0])))
	epochs := map[string]string{}
	for _, name := range names {
		epochs[name] = a.publish(name, `"first"`).Position.Epoch
	}
	primary.Do("WAIT", "1", "2000")
	replica.Stop()
	primary.Do("CLIENT", "KILL", "TYPE", "replica")
	l := publishTo(names, a, b)
	redistest.Await(t, 10*time.Second, "messages", func() bool { return l.count.Load() > 200 })
	primary.Kill()
	replica.Continue()
	promoted(t, c, a.base(names[0]), primary)
	time.Sleep(300 * time.Millisecond)
	lost := l.judge(t)
	gone := 0
	for i, name := range names {
		owner, _ := c.Owner(c.Slot(a.base(name)))
		another := a.follow(name).Epoch != epochs[name]
		if another != (owner == replica) {
			t.Errorf("%s: another epoch: %v; its server was lost: %v", name, another, owner == replica)
		}
		if owner == replica && lost[i] > 0 {
			gone += lost[i]
		}
	}
	if gone == 0 {
		t.Error("nothing was lost, which proves nothing")
	}
	t.Logf("%d acknowledged messages are gone, and declared", gone)
	primary.Run()
	c.AwaitWhole()
}
