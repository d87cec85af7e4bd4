package brokertest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// testStatePages: pages joined give the newest of every key once, in order, also
// when keys are written between the pages.
func testStatePages(t *testing.T, b *bench) {
	const keys = 50
	for n := range keys {
		b.set(t, fmt.Sprint("k", n), fmt.Sprint(n))
	}
	b.set(t, "k7", "null")
	seen := map[string]*channel.Entry{}
	after, head := uint64(0), uint64(0)
	for pages := 0; ; pages++ {
		page, err := b.broker.Open("c", board).State(t.Context(), broker.StateRange{After: after, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) > 7 || page.Forgotten != 0 {
			t.Fatalf("a page of %d entries, forgotten up to %d", len(page.Entries), page.Forgotten)
		}
		for _, e := range page.Entries {
			if e.Offset <= after {
				t.Fatalf("offset %d after %d", e.Offset, after)
			}
			after = e.Offset
			seen[e.Key] = e
		}
		if !page.More {
			head = page.Head
			break
		}
		if pages < 3 {
			b.set(t, "k49", fmt.Sprint("1", pages)) // met again further on
		}
	}
	if len(seen) != keys || after != head || !seen["k7"].Deleted || data(t, seen["k49"]) != "12" {
		t.Fatalf("%d keys up to %d of %d; k7 deleted: %v, k49 is %s", len(seen), after, head, seen["k7"].Deleted, data(t, seen["k49"]))
	}
	page, err := b.broker.Open("c", board).State(t.Context(), broker.StateRange{Bytes: 1})
	if err != nil || len(page.Entries) != 1 || !page.More {
		t.Fatalf("a page of one byte has %d entries, %v", len(page.Entries), err)
	}
}

// members returns the ids in a channel, in pages of two.
func members(t testing.TB, r broker.Roster, name string) (ids []string) {
	t.Helper()
	for after := ""; ; {
		page, err := r.Members(t.Context(), name, broker.MemberRange{After: after, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Members {
			ids = append(ids, m.ID)
		}
		if !page.More {
			if page.Total != len(ids) {
				t.Fatalf("the total is %d, the members are %v", page.Total, ids)
			}
			return ids
		}
		after = ids[len(ids)-1]
	}
}

func put(t testing.TB, r broker.Roster, name string, m broker.Member) (entered bool) {
	t.Helper()
	entered, err := r.Put(t.Context(), name, m)
	if err != nil {
		t.Fatal("Put:", err)
	}
	return entered
}

func testRoster(t *testing.T, b *bench) {
	said := `{"x" : "<b>&\u2028" , "n":1.0e2}` // no encoder would write it like this
	for _, id := range []string{"b", "c", "a"} {
		if !put(t, b.broker, "c", broker.Member{ID: id, User: "ann", Data: []byte(said)}) {
			t.Fatalf("%s was in before", id)
		}
	}
	will := &presence.Will{Type: "gone", Key: "k", Data: []byte(said)}
	put(t, b.broker, "c", broker.Member{ID: "a", User: "ann", Data: []byte(said), Will: will})
	page, err := b.broker.Members(t.Context(), "c", broker.MemberRange{Limit: 1})
	if err != nil || page.Members[0].Will == nil || !reflect.DeepEqual(page.Members[0].Will, will) {
		t.Errorf("the will of a is %+v, %v", page.Members, err)
	}
	if put(t, b.broker, "c", broker.Member{ID: "b", User: "eve"}) {
		t.Error("b entered twice")
	}
	if !put(t, b.broker, "d", broker.Member{ID: "b"}) {
		t.Error("b was in another channel before")
	}
	if got := members(t, b.broker, "c"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Fatalf("the members are %v", got)
	}
	page, err = b.broker.Members(t.Context(), "c", broker.MemberRange{After: "a", Limit: 1})
	if err != nil || len(page.Members) != 1 || page.Members[0].User != "eve" || page.Members[0].Data != nil || !page.More {
		t.Fatalf("after a: %+v, %v", page, err)
	}
	if page, err := b.broker.Members(t.Context(), "c", broker.MemberRange{Limit: 1}); err != nil || string(page.Members[0].Data) != said {
		t.Fatalf("a said %s, and what is told of it is %+v, %v", said, page.Members, err)
	}
	if page, err := b.broker.Members(t.Context(), "c", broker.MemberRange{}); err != nil || page.Total != 3 || len(page.Members) != 0 {
		t.Fatalf("only the total: %+v, %v", page, err)
	}
	for _, want := range []bool{true, false} {
		if left, err := b.broker.Remove(t.Context(), "c", "b"); err != nil || left != want {
			t.Fatalf("b left: %v, %v, want %v", left, err, want)
		}
	}
	if got := members(t, b.broker, "c"); !slices.Equal(got, []string{"a", "c"}) {
		t.Fatalf("then the members are %v", got)
	}
	if got := members(t, b.broker, "nobody"); len(got) != 0 {
		t.Fatalf("in a channel without members are %v", got)
	}
}

func testBus(t *testing.T, b *bench) {
	bus, ok := b.broker.(broker.Bus)
	if !ok {
		return // it serves one node
	}
	if err := bus.Send(t.Context(), "", []byte("x")); err != nil {
		t.Error("to all others, who are none:", err)
	}
	if err := bus.Send(t.Context(), "nobody", []byte("x")); err == nil || protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("to a node that is not there: %v", err)
	}
	names, err := bus.Nodes(t.Context())
	if err != nil || slices.ContainsFunc(names, func(n string) bool { return n != "node-1" }) {
		t.Errorf("the nodes are %v, %v", names, err)
	}
}
