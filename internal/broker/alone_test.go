package broker

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestAloneAgainstAMap holds rooms of all sizes against plain maps.
func TestAloneAgainstAMap(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var a Alone
		rooms := map[string]map[string]Member{"a": {}, "b": {}}
		ids := 1 << (1 + rnd.IntN(12))
		for range 1500 {
			name := []string{"a", "b"}[rnd.IntN(2)]
			room := rooms[name]
			m := Member{ID: fmt.Sprint(rnd.IntN(ids)), User: fmt.Sprint(rnd.IntN(10))}
			_, in := room[m.ID]
			if rnd.IntN(5) < 3 {
				if entered, err := a.Put(ctx, name, m); err != nil || entered == in {
					t.Fatalf("seed %d: put %s: %v %v", seed, m.ID, entered, err)
				}
				room[m.ID] = m
			} else {
				if left, err := a.Remove(ctx, name, m.ID); err != nil || left != in {
					t.Fatalf("seed %d: remove %s: %v %v", seed, m.ID, left, err)
				}
				delete(room, m.ID)
			}
			if rnd.IntN(100) > 0 {
				continue
			}
			var got []Member
			limit := 1 + rnd.IntN(ids)
			for after, more := "", true; more; {
				page, err := a.Members(ctx, name, MemberRange{After: after, Limit: limit})
				if err != nil || page.Total != len(room) || len(page.Members) > limit || page.More && len(page.Members) < limit {
					t.Fatalf("seed %d: a page of %d of %d, %v", seed, len(page.Members), page.Total, err)
				}
				got = append(got, page.Members...)
				if more = page.More; more {
					after = page.Members[len(page.Members)-1].ID
				}
			}
			want := slices.Sorted(maps.Keys(room))
			if !slices.EqualFunc(got, want, func(m Member, id string) bool { return m.ID == id && m.User == room[id].User }) {
				t.Fatalf("seed %d: the pages have %d members in another order than %d", seed, len(got), len(want))
			}
			// From the middle of nowhere, and the total alone.
			after := fmt.Sprint(rnd.IntN(ids)) + "x"
			page, _ := a.Members(ctx, name, MemberRange{After: after, Limit: 1})
			if i, _ := slices.BinarySearch(want, after); i < len(want) && (len(page.Members) != 1 || page.Members[0].ID != want[i]) {
				t.Fatalf("seed %d: after %s comes %v", seed, after, page.Members)
			}
			if page, _ := a.Members(ctx, name, MemberRange{}); page.Total != len(room) || page.Members != nil || page.More {
				t.Fatalf("seed %d: the total alone is %+v", seed, page)
			}
		}
		for name, room := range rooms {
			for id := range room {
				if left, _ := a.Remove(ctx, name, id); !left {
					t.Fatalf("seed %d: %s was not in", seed, id)
				}
			}
		}
		if len(a.rooms) != 0 {
			t.Fatalf("seed %d: %d rooms are left", seed, len(a.rooms))
		}
	}
}
