package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/protocol"
)

// Shared makes a backend that several nodes share, empty at first, and returns
// what makes a driver for one more node on it, which is not started.
type Shared func(t testing.TB, c *Clock) (node func() broker.Broker)

// ExerciseCluster runs the cases about several nodes. A node that is stopped
// must be taken for gone within some seconds.
func ExerciseCluster(t *testing.T, shared Shared) {
	for name, test := range map[string]func(*testing.T, []*bench){
		"OneOrder":      testOneOrder,
		"DedupeOnNodes": testDedupeOnNodes,
		"Followers":     testFollowers,
		"RosterOnNodes": testRosterOnNodes,
		"BusOnNodes":    testBusOnNodes,
	} {
		t.Run(name, func(t *testing.T) {
			clock := NewClock()
			node := shared(t, clock)
			var nodes []*bench
			for n := range 3 {
				nodes = append(nodes, startNode(t, node(), clock, fmt.Sprint("node-", n+1)))
			}
			test(t, nodes)
		})
	}
}

// testOneOrder: all nodes publish, and all are fed the same.
func testOneOrder(t *testing.T, nodes []*bench) {
	const each = 20
	for _, n := range nodes {
		n.follow(t, "c", kept)
	}
	answers := newOutcomes(each * len(nodes))
	for i := range each {
		for at, n := range nodes {
			n.append(publication(kept, "c", i*len(nodes)+at), answers)
		}
	}
	for range each * len(nodes) {
		if o := <-answers; o.err != nil {
			t.Fatal(o.err)
		}
	}
	var first []string
	for at, n := range nodes {
		var got []string
		prev := uint64(0)
		for _, f := range n.await(t, "c", each*len(nodes)) {
			if f.entry.Prev != prev {
				t.Fatalf("node %d: offset %d with prev %d comes after %d", at, f.entry.Offset, f.entry.Prev, prev)
			}
			prev = f.entry.Offset
			got = append(got, fmt.Sprint(f.epoch, " ", f.entry.Offset, " ", data(t, f.entry)))
		}
		if at == 0 {
			first = got
		} else if !slices.Equal(got, first) {
			t.Fatalf("node %d was fed %v, the first %v", at, got, first)
		}
	}
}

func testDedupeOnNodes(t *testing.T, nodes []*bench) {
	var first broker.Receipt
	for at, n := range nodes {
		p := publication(kept, "c", 0)
		p.Dedupe = "same"
		r := n.accept(t, p)
		if at == 0 {
			first = r
		} else if !r.Duplicate || r.Position != first.Position {
			t.Fatalf("node %d: %+v, the first: %+v", at, r, first)
		}
		p = publication(kept, "c", 1)
		p.Dedupe = "same"
		if o := n.publish(t, p); !errors.Is(o.err, broker.ErrReused) {
			t.Fatalf("node %d: other data under the same key: %+v", at, o)
		}
	}
}

// testFollowers: a node is fed what it follows, from where it was told.
func testFollowers(t *testing.T, nodes []*bench) {
	r := nodes[0].accept(t, publication(kept, "c", 0))
	if p := nodes[1].follow(t, "c", kept); p != r.Position {
		t.Fatalf("another node begins after %v, want %v", p, r.Position)
	}
	r = nodes[2].accept(t, publication(kept, "c", 1))
	if got := nodes[1].await(t, "c", 1); len(got) != 1 || got[0].entry.Offset != r.Position.Offset || got[0].epoch != r.Position.Epoch {
		t.Fatalf("it was fed %+v, want %v", got, r.Position)
	}
	page := nodes[0].read(t, "c", kept, broker.Range{})
	if len(page.Entries) != 2 || page.Epoch != r.Position.Epoch {
		t.Fatalf("read %v of %q", offsets(page.Entries), page.Epoch)
	}
	nodes[0].mu.Lock()
	defer nodes[0].mu.Unlock()
	if len(nodes[0].fed["c"]) != 0 {
		t.Error("a node that does not follow was fed")
	}
}

// testRosterOnNodes: members of all nodes are seen by all; those of a node that
// ends are dropped, and exactly one of the others is told of each.
func testRosterOnNodes(t *testing.T, nodes []*bench) {
	for at, n := range nodes {
		put(t, n.broker, "c", broker.Member{ID: fmt.Sprint("m", at)})
	}
	for _, n := range nodes {
		if got := members(t, n.broker, "c"); !slices.Equal(got, []string{"m0", "m1", "m2"}) {
			t.Fatalf("the members are %v", got)
		}
	}
	if left, err := nodes[0].broker.Remove(t.Context(), "c", "m1"); err != nil || left {
		t.Errorf("the member of another node left: %v, %v", left, err)
	}
	if err := nodes[2].broker.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	told := func() (ids []string) {
		for _, n := range nodes {
			n.mu.Lock()
			ids = append(ids, n.lost["c"]...)
			n.mu.Unlock()
		}
		return ids
	}
	for deadline := time.Now().Add(30 * time.Second); len(told()) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody was told of the member that was lost")
		}
	}
	if got := members(t, nodes[0].broker, "c"); !slices.Equal(got, []string{"m0", "m1"}) {
		t.Fatalf("then the members are %v", got)
	}
	if got := told(); !slices.Equal(got, []string{"m2"}) {
		t.Fatalf("lost: %v", got)
	}
}

func testBusOnNodes(t *testing.T, nodes []*bench) {
	a, b, c := nodes[0], nodes[1], nodes[2]
	bus := a.broker.(broker.Bus)
	names, err := bus.Nodes(t.Context())
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"node-1", "node-2", "node-3"}) {
		t.Fatalf("the nodes are %v, %v", names, err)
	}
	for _, to := range []string{"node-2", ""} {
		if err := bus.Send(t.Context(), to, []byte("to "+to+"\n\x00")); err != nil {
			t.Fatal(err)
		}
	}
	if err := bus.Send(t.Context(), "node-9", nil); err == nil || protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("to a node that is not there: %v", err)
	}
	for n, want := range map[*bench][]string{a: nil, b: {"node-1: to node-2\n\x00", "node-1: to \n\x00"}, c: {"node-1: to \n\x00"}} {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			n.mu.Lock()
			got := slices.Clone(n.control)
			n.mu.Unlock()
			if len(got) >= len(want) {
				if !slices.Equal(got, want) {
					t.Fatalf("heard %q, want %q", got, want)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("heard %q, want %q", got, want)
			}
		}
	}
}
