package channel

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringdown/protocol"
)

// shelf is a log with its ring and its store, for placing a subscriber in it.
type shelf struct {
	d         *Declaration
	ring      *Ring
	epoch     string // that the ring knows
	store     string // that the store is in
	log       []*Entry
	floor     uint64 // the store holds what comes after
	forgotten uint64 // of its deletions
	head      uint64 // of the store
}

func newShelf(d *Declaration, ring, store, total int) *shelf {
	s := &shelf{d: d, epoch: "E", store: "E"}
	s.d.Buffer = Buffer{Messages: max(ring, 1), Bytes: 1 << 20}
	s.ring = NewRing(s.d, 0)
	for n := range total {
		s.add(fmt.Sprint("k", n%3))
	}
	if store < total && d.History != nil {
		s.floor = uint64(total - store)
	}
	if d.State != nil && store < total {
		s.forgotten = uint64(total - store)
	}
	return s
}

// add appends a message, which the ring has at once.
func (s *shelf) add(key string) { s.ring.Append(s.write(key, "1")) }

// write appends a message, written at the time that is its offset.
func (s *shelf) write(key, data string) *Entry {
	s.head++
	m := &protocol.Message{Type: "e", Channel: "c", Kept: true, Offset: s.head, Prev: s.head - 1, Time: int64(s.head), Data: []byte(data)}
	if s.d.State != nil {
		m.Key = key
	}
	e := NewEntry(m, false)
	s.log = append(s.log, e)
	return e
}

func (s *shelf) view(since *protocol.Position) View {
	v := View{Epoch: s.epoch, Head: s.ring.Head()}
	if since != nil {
		if v.At, v.Held = s.ring.Find(since.Offset); v.Held {
			if e := s.ring.After(v.At); e != nil {
				v.Next = e.Time
			}
		}
	}
	return v
}

func (s *shelf) read(a Ask) *Page {
	p := &Page{Epoch: s.store, Head: s.head, Floor: s.floor}
	from := a.After
	if a.State {
		p.Floor = s.forgotten
		latest := map[string]uint64{}
		for _, e := range s.log {
			latest[e.Key] = e.Offset
		}
		for _, e := range s.log {
			if e.Offset > from && latest[e.Key] == e.Offset && (!e.Deleted || e.Offset > s.forgotten) {
				p.Entries = append(p.Entries, e)
			}
		}
		return p
	}
	if a.Last > 0 {
		from = s.head - min(s.head, uint64(a.Last))
	}
	for _, e := range s.log {
		if e.Offset > max(from, s.floor) {
			p.Entries = append(p.Entries, e)
		}
	}
	return p
}

// put places a subscriber; asked is how many pages were read for it.
func (s *shelf) put(w *Want) (p Placement, asked int, claimed bool) {
	p = Place(w, s.d, s.view(w.Since), nil, nil)
	for p.Step == Reading && asked < 5 {
		asked++
		claimed = claimed || p.Claimed
		p = Place(w, s.d, s.view(w.Since), &p, s.read(p.Ask))
	}
	return p, asked, claimed || p.Claimed
}

func history() *Declaration { return &Declaration{History: &History{Messages: 1000}} }
func state() *Declaration   { return &Declaration{State: &State{}} }
func both() *Declaration {
	return &Declaration{History: &History{Messages: 1000}, State: &State{}}
}

func at(epoch string, offset uint64) *protocol.Position {
	return &protocol.Position{Epoch: epoch, Offset: offset}
}

func offset(n uint64) *uint64 { return &n }

// TestPlace: each answer that there is to where a subscription begins.
func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name    string
		shelf   *shelf
		want    Want
		expect  string // phase, position, what was lost, pages, as said below
		claimed bool
	}{
		{"nothing kept", newShelf(&Declaration{}, 4, 0, 10), Want{}, "live 10 - 0", false},
		{"nothing kept, since", newShelf(&Declaration{}, 4, 0, 10), Want{Since: at("E", 3)}, "live 10 unknown 0", false},
		{"now", newShelf(history(), 4, 10, 10), Want{}, "live 10 - 0", false},
		{"the head", newShelf(history(), 4, 10, 10), Want{Since: at("E", 10)}, "lagging 10 - 0", false},
		{"in the ring", newShelf(history(), 4, 10, 10), Want{Since: at("E", 6)}, "lagging 6 - 0", false},
		{"in the store", newShelf(history(), 4, 10, 10), Want{Since: at("E", 5)}, "catching 5 - 1", false},
		{"the floor of the store", newShelf(history(), 4, 6, 10), Want{Since: at("E", 4)}, "catching 4 - 1", false},
		{"trimmed", newShelf(history(), 2, 6, 10), Want{Since: at("E", 3)}, "live 10 trimmed 1", false},
		{"another epoch", newShelf(history(), 4, 10, 10), Want{Since: at("D", 6)}, "live 10 epoch 1", false},
		{"beyond the head", newShelf(history(), 4, 10, 10), Want{Since: at("E", 11)}, "live 10 unknown 1", true},
		{"last", newShelf(history(), 4, 10, 10), Want{Last: 3}, "catching 7 - 1", false},
		{"last of more than there are", newShelf(history(), 4, 6, 10), Want{Last: 8}, "catching 4 - 1", false},
		{"last of none", newShelf(history(), 4, 10, 0), Want{Last: 3}, "live 0 - 1", false},
		{"last of a channel without a past", newShelf(&Declaration{}, 4, 0, 3), Want{Last: 3}, "live 3 - 0", false},
		{"too old in the ring", newShelf(history(), 6, 10, 10), Want{Since: at("E", 5), Oldest: 7}, "live 10 forbidden 1", false},
		{"too old in the store", newShelf(history(), 2, 10, 10), Want{Since: at("E", 5), Oldest: 7}, "live 10 forbidden 1", false},
		{"just not too old", newShelf(history(), 6, 10, 10), Want{Since: at("E", 6), Oldest: 7}, "lagging 6 - 0", false},
		{"nothing to be too old", newShelf(history(), 6, 10, 10), Want{Since: at("E", 10), Oldest: 99}, "lagging 10 - 0", false},
		{"a state", newShelf(state(), 4, 10, 10), Want{}, "snapshot 10 - 1", false},
		{"a state has no past", newShelf(state(), 4, 10, 10), Want{Last: 3}, "snapshot 10 - 1", false},
		{"a state in the ring", newShelf(state(), 4, 10, 10), Want{Since: at("E", 6)}, "lagging 6 - 0", false},
		{"a state is a subscriber's to know", newShelf(state(), 4, 10, 10), Want{Since: at("E", 6), Oldest: 99}, "lagging 6 - 0", false},
		{"a state in the store", newShelf(state(), 4, 10, 10), Want{Since: at("E", 5)}, "walking 5 - 1", false},
		{"deletions forgotten", newShelf(state(), 4, 3, 10), Want{Since: at("E", 5)}, "snapshot 10 trimmed 2", false},
		{"the last deletion known", newShelf(state(), 4, 5, 10), Want{Since: at("E", 5)}, "walking 5 - 1", false},
		{"a state of another epoch", newShelf(state(), 4, 10, 10), Want{Since: at("D", 6)}, "snapshot 10 epoch 1", false},
		{"a state beyond the head", newShelf(state(), 4, 10, 10), Want{Since: at("E", 11)}, "snapshot 10 unknown 2", true},
		{"within a state", newShelf(state(), 4, 10, 10), Want{Since: at("E", 7), Given: offset(2)}, "snapshot 7 - 1", false},
		{"within a state, the head of which the ring has", newShelf(state(), 4, 10, 10), Want{Since: at("E", 10), Given: offset(9)}, "snapshot 10 - 1", false},
		{"within a state beyond the head", newShelf(state(), 4, 10, 10), Want{Since: at("E", 11), Given: offset(2)}, "snapshot 10 unknown 2", true},
		{"within a state of another epoch", newShelf(state(), 4, 10, 10), Want{Since: at("D", 7), Given: offset(2)}, "snapshot 10 epoch 1", false},
		{"within a state, deletions forgotten", newShelf(state(), 4, 2, 10), Want{Since: at("E", 7), Given: offset(2)}, "snapshot 10 trimmed 2", false},
		{"within a state that is none any more", newShelf(history(), 4, 10, 10), Want{Since: at("E", 7), Given: offset(2)}, "live 10 epoch 0", false},
		{"state and history", newShelf(both(), 4, 10, 10), Want{}, "snapshot 10 - 1", false},
		{"state and history, in the ring", newShelf(both(), 4, 10, 10), Want{Since: at("E", 6)}, "lagging 6 - 0", false},
		{"state and history, in the store", newShelf(both(), 4, 10, 10), Want{Since: at("E", 2)}, "catching 2 - 1", false},
		{"state and history, trimmed", newShelf(both(), 2, 6, 10), Want{Since: at("E", 3)}, "snapshot 10 trimmed 2", false},
		{"state and history, too old", newShelf(both(), 6, 10, 10), Want{Since: at("E", 5), Oldest: 7}, "snapshot 10 forbidden 2", false},
		{"state and history, beyond the head", newShelf(both(), 4, 10, 10), Want{Since: at("E", 11)}, "snapshot 10 unknown 2", true},
		{"state and history, another epoch", newShelf(both(), 4, 10, 10), Want{Since: at("D", 6)}, "snapshot 10 epoch 1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, asked, claimed := c.shelf.put(&c.want)
			lost := p.Lost
			if lost == "" {
				lost = "-"
			}
			phase := []string{"live", "resting", "lagging", "catching", "walking", "ahead", "held"}[p.Reader.Phase]
			if w := p.Reader.Walk; w != nil && w.Snapshot {
				phase = "snapshot"
				if !w.Begun || w.Until != p.Position.Offset || w.Lost != "" {
					t.Errorf("%+v", *w)
				}
				if c.want.Given != nil && lost == "-" != (w.After == *c.want.Given) {
					t.Errorf("goes on after %d", w.After)
				}
			}
			if got := fmt.Sprintf("%s %d %s %d", phase, p.Position.Offset, lost, asked); got != c.expect || claimed != c.claimed {
				t.Errorf("got  %s %v\nwant %s %v", got, claimed, c.expect, c.claimed)
			}
			if c.shelf.d.Kept() && (p.Position.Epoch != "E" || p.Head != 10 && p.Head != 0) {
				t.Errorf("position %+v, head %d", p.Position, p.Head)
			}
			if p.Given != (asked > 0 && strings.Contains("snapshot catching walking", phase)) {
				t.Errorf("given %v", p.Given)
			}
			if p.Reader.Cursor.Mark != p.Position.Offset && c.shelf.d.Kept() {
				t.Errorf("it stands at %d and is told %d", p.Reader.Cursor.Mark, p.Position.Offset)
			}
		})
	}
}

// TestPlaceBehind: where the ring is behind the store, nobody is taken back, and
// nobody is answered from an epoch that has ended.
func TestPlaceBehind(t *testing.T) {
	s := newShelf(history(), 4, 10, 10)
	s.head, s.ring.head = 12, 10
	p, _, _ := s.put(&Want{Since: at("D", 3)})
	if p.Reader.Phase != Ahead || p.Position.Offset != 12 || p.Reader.Cursor.Mark != 12 || p.Lost != "epoch" {
		t.Errorf("%+v", p)
	}
	s.store = "F"
	for _, w := range []Want{{Since: at("F", 1)}, {Last: 2}, {Since: at("E", 3)}} {
		if p, _, _ := s.put(&w); p.Step != Waiting {
			t.Errorf("%+v: %+v", w, p)
		}
	}
	b := newShelf(both(), 4, 10, 10)
	b.store = "F"
	if p, _, _ := b.put(&Want{Since: at("E", 2)}); p.Lost != "epoch" || p.Position.Epoch != "F" {
		t.Errorf("%+v", p)
	}
}

// FuzzPlace: wherever a client says that it was, it is placed within a few pages,
// and if it is told that it lacks nothing, nothing is what it lacks.
func FuzzPlace(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		d := []*Declaration{{}, history(), state(), both()}[rng.IntN(4)]
		total := rng.IntN(30)
		s := newShelf(d, rng.IntN(20), rng.IntN(31), total)
		if rng.IntN(8) == 0 {
			s.store = "F"
		}
		var w Want
		if rng.IntN(3) > 0 {
			w.Since = at([]string{"E", "E", "E", "F"}[rng.IntN(4)], uint64(rng.IntN(35)))
			if d.State != nil && rng.IntN(3) == 0 {
				w.Given = offset(uint64(rng.IntN(35)))
			}
			if rng.IntN(3) == 0 {
				w.Oldest = int64(rng.IntN(35))
			}
		} else if rng.IntN(2) == 0 {
			w.Last = 1 + rng.IntN(35)
		}
		p, asked, _ := s.put(&w)
		switch {
		case p.Step == Reading || asked > 2:
			t.Fatalf("%d pages, and then %+v", asked, p)
		case p.Step == Waiting:
			if s.store == s.epoch || d.State != nil {
				t.Fatalf("it waits for nothing: %+v", p)
			}
		case w.Since == nil || p.Lost != "":
		case p.Position != *w.Since:
			t.Fatalf("it was at %+v and goes on at %+v", *w.Since, p.Position)
		case w.Since.Offset > s.head:
			t.Fatal("it was where nobody was")
		case p.Reader.Phase == Lagging:
			if at, held := s.ring.Find(w.Since.Offset); !held || at != p.Reader.Cursor {
				t.Fatalf("the ring does not go on from %+v", p.Reader.Cursor)
			}
		case p.Reader.Phase == Catching && w.Since.Offset < s.floor, p.Reader.Phase == Walking && w.Since.Offset < s.forgotten:
			t.Fatalf("what comes after %d is gone", w.Since.Offset)
		case p.Reader.Phase == Catching && w.Since.Offset < s.head && int64(w.Since.Offset+1) < w.Oldest:
			t.Fatalf("message %d is older than %d", w.Since.Offset+1, w.Oldest)
		}
	})
}
