package redis

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/redis/redistest"
)

// TestCluster: nodes at different servers of a cluster share all channels, in
// whatever slots these are.
func TestCluster(t *testing.T) {
	servers := redistest.Cluster(t)
	oa, ob := settings(t, servers[0].Address), settings(t, servers[2].Address)
	oa.Cluster, ob.Cluster = true, true
	a, b := join(t, "a", oa), join(t, "b", ob)
	const channels = 30
	last := map[string]broker.Receipt{}
	for i := range channels {
		name := fmt.Sprint("c:", i)
		a.follow(name)
		b.follow(name)
	}
	for n := range 10 {
		for i := range channels {
			name := fmt.Sprint("c:", i)
			last[name] = []*node{a, b}[n%2].publish(name, fmt.Sprint(n))
		}
	}
	for name, r := range last {
		if got := a.await(name, r.Position); len(got) != 10 || !slices.Equal(got, b.await(name, r.Position)) {
			t.Fatalf("%s: heard %v", name, got)
		}
	}
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
