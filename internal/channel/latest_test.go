package channel

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"ringdown/protocol"
)

func keyed(offset uint64, key, data string, time int64) *Entry {
	return NewEntry(&protocol.Message{Type: "e", Channel: "c", Key: key, Data: []byte(data), Offset: offset, Prev: offset - 1, Kept: true, Time: time}, false)
}

// TestLatestFollows: somebody who reads pages of any size, now and then, while
// keys are written and deleted, has in the end what is there: the promise that a
// slow reader of a state channel lives by.
func TestLatestFollows(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var l Latest
		model, reader := map[string]uint64{}, map[string]uint64{}
		at := uint64(0)
		read := func(limit int) (more bool) {
			if at > 0 && at < l.Forgotten() {
				at = 0
				clear(reader)
			}
			page, more := l.After(at, limit, 1<<20)
			for _, e := range page {
				if e.Offset <= at {
					t.Fatalf("seed %d: offset %d after %d", seed, e.Offset, at)
				}
				if at = e.Offset; e.Deleted {
					delete(reader, e.Key)
				} else {
					reader[e.Key] = e.Offset
				}
			}
			return more
		}
		for offset := uint64(1); offset < 6000; offset++ {
			key := fmt.Sprint("k", r.IntN(2000))
			if r.IntN(3) == 0 {
				l.Set(keyed(offset, key, "null", 0))
				delete(model, key)
			} else {
				l.Set(keyed(offset, key, "1", 0))
				model[key] = offset
			}
			if r.IntN(100) == 0 {
				read(1 + r.IntN(200))
			}
			if l.Has(key) != (model[key] != 0) {
				t.Fatalf("seed %d: Has(%s) is %v", seed, key, l.Has(key))
			}
		}
		for read(100) {
		}
		if !maps.Equal(model, reader) {
			t.Fatalf("seed %d: the reader has %d keys, there are %d, or they differ", seed, len(reader), len(model))
		}
		clear(reader)
		page, _ := l.After(0, 1<<20, 1<<30)
		for _, e := range page {
			if !e.Deleted {
				reader[e.Key] = e.Offset
			}
		}
		if !maps.Equal(model, reader) {
			t.Fatalf("seed %d: a new reader has %d keys, there are %d, or they differ", seed, len(reader), len(model))
		}
		if len(l.list) > 3*(l.Len()+16) {
			t.Fatalf("seed %d: %d places for %d keys", seed, len(l.list), l.Len())
		}
	}
}

func TestLatestExpires(t *testing.T) {
	var l Latest
	for n := range int64(100) {
		l.Set(keyed(uint64(n+1), fmt.Sprint("k", n%60), "1", n))
	}
	l.Expire(90)
	page, more := l.After(0, 1000, 1<<20)
	if len(page) != 10 || page[0].Time != 90 || more || l.Len() != 10 || l.Has("k20") {
		t.Fatalf("%d entries are left, from %d on, and %d keys", len(page), page[0].Time, l.Len())
	}
	l.Expire(1000)
	if page, _ := l.After(0, 1000, 1<<20); len(page) != 0 || len(l.list) > 16 {
		t.Fatalf("%d entries in %d places are left of nothing", len(page), len(l.list))
	}
}

// TestLatestPages: a page holds one entry at least, and says when more follow.
func TestLatestPages(t *testing.T) {
	var l Latest
	for n := range uint64(3) {
		l.Set(keyed(n+1, fmt.Sprint("k", n), "1", 0))
	}
	for _, c := range []struct {
		after        uint64
		limit, bytes int
		want         int
		more         bool
	}{{0, 10, 1, 1, true}, {0, 2, 1 << 20, 2, true}, {1, 2, 1 << 20, 2, false}, {3, 2, 1, 0, false}, {9, 2, 1, 0, false}} {
		page, more := l.After(c.after, c.limit, c.bytes)
		if len(page) != c.want || more != c.more {
			t.Errorf("after %d, %d entries, %d bytes: %d and more %v", c.after, c.limit, c.bytes, len(page), more)
		}
	}
}
