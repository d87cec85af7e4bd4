package brokertest

import (
	"fmt"
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
)

// testRewritten: keys that were deleted and written again live, however many
// others are deleted afterwards: of their own deletion nothing is left that could
// be forgotten with them.
func testRewritten(t *testing.T, b *bench) {
	for _, key := range []string{"once", "twice"} {
		b.set(t, key, "1")
		b.set(t, key, "null")
	}
	b.set(t, "twice", "null")
	for _, key := range []string{"once", "twice"} {
		b.set(t, key, "2")
	}
	const others = channel.MaxTombstones + 100
	d := newOutcomes(others)
	for n := range others {
		p := publication(board, "c", n)
		p.Message.Key, p.Message.Data = fmt.Sprint("k", n), []byte("null")
		b.append(p, d)
	}
	for range others {
		if o := <-d; o.err != nil {
			t.Fatal(o.err)
		}
	}
	head := b.set(t, "last", "3")
	after, live, deletions := uint64(0), []string(nil), 0
	for more := true; more; {
		s, err := b.broker.Open("c", board).State(t.Context(), broker.StateRange{After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.Entries {
			if after = e.Offset; e.Deleted {
				deletions++
			} else {
				live = append(live, e.Key+"="+data(t, e))
			}
		}
		if more = s.More; !more && (s.Forgotten == 0 || s.Forgotten >= head) {
			t.Errorf("deletions are forgotten up to %d of %d", s.Forgotten, head)
		}
	}
	if got := fmt.Sprint(live); got != "[once=2 twice=2 last=3]" || deletions != channel.MaxTombstones {
		t.Errorf("the state is %s with %d deletions", got, deletions)
	}
}
