package presence

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func text(changes []Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Action.String()+" "+c.Member.ID+string(c.Member.Data))
	}
	return strings.Join(out, ", ")
}

func TestChangesAreNetted(t *testing.T) {
	tests := []struct {
		notes string // of member a, with the data 1, 2, …
		want  string
	}{
		{"enter", "enter a1"},
		{"update", "update a1"},
		{"leave", "leave a1"},
		{"enter update", "enter a2"},
		{"enter update update", "enter a3"},
		{"update update", "update a2"},
		{"enter leave", "leave a2"}, // somebody may have read the list in between
		{"update leave", "leave a2"},
		{"leave enter", "enter a2"},
		{"leave enter update", "enter a3"},
		{"leave enter leave", "leave a3"},
		{"enter leave enter", "enter a3"},
	}
	actions := map[string]Action{"enter": Enter, "update": Update, "leave": Leave}
	for _, test := range tests {
		var c Changes
		for i, word := range strings.Fields(test.notes) {
			c.Note(actions[word], Member{ID: "a", Data: fmt.Append(nil, i+1)})
		}
		if c.Len() != 1 {
			t.Errorf("%s: %d changes", test.notes, c.Len())
		}
		if got := text(c.Take(noon)); got != test.want {
			t.Errorf("%s: told %q, want %q", test.notes, got, test.want)
		}
		if c.Len() != 0 || c.Take(noon) != nil {
			t.Errorf("%s: told twice", test.notes)
		}
	}
}

func TestThoseWhoAreInComeFirst(t *testing.T) {
	var c Changes
	c.Note(Leave, Member{ID: "a"})
	c.Note(Enter, Member{ID: "b"})
	c.Note(Leave, Member{ID: "c"})
	c.Note(Update, Member{ID: "d"})
	if got, want := text(c.Take(noon)), "enter b, update d, leave a, leave c"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestWindowGrowsWithTheRoom(t *testing.T) {
	for members, want := range map[int]time.Duration{0: 0, 1: 0, 100: 0, 101: 101 * time.Millisecond, 500: 500 * time.Millisecond, 1000: time.Second, 1_000_000: time.Second} {
		if got := Window(members); got != want {
			t.Errorf("%d members: %v, want %v", members, got, want)
		}
	}
	var c Changes
	if _, ok := c.Due(500); ok {
		t.Error("nothing is due")
	}
	c.Note(Enter, Member{ID: "a"})
	if at, ok := c.Due(500); !ok || at.After(noon) {
		t.Errorf("the first after a quiet time is due at %v", at)
	}
	c.Take(noon)
	c.Note(Enter, Member{ID: "b"})
	if at, ok := c.Due(500); !ok || !at.Equal(noon.Add(500*time.Millisecond)) {
		t.Errorf("the next one is due at %v", at)
	}
	if at, _ := c.Due(100); !at.Equal(noon) {
		t.Errorf("in a small room at %v", at)
	}
}

func TestGrace(t *testing.T) {
	var r Room
	after := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	if !r.Put(Member{ID: "a", User: "ann"}) || r.Put(Member{ID: "a", User: "ann", Data: json.RawMessage("1")}) {
		t.Error("fresh once")
	}
	if m, ok := r.Here("a"); !ok || string(m.Data) != "1" {
		t.Errorf("here is %v %v", m, ok)
	}
	if r.Linger("x", noon) {
		t.Error("a stranger lingers")
	}
	if _, ok := r.Return("ann"); ok {
		t.Error("who is here has not been away")
	}
	r.Put(Member{ID: "b", User: "ann"})
	if r.With("ann") != 2 || r.With("ben") != 0 {
		t.Errorf("ann is here %d times", r.With("ann"))
	}
	r.Put(Member{ID: "c", User: ""})
	r.Linger("b", after(20))
	r.Linger("a", after(10))
	r.Linger("c", after(10))
	if _, ok := r.Here("a"); ok || r.Lingering() != 3 || r.Size() != 3 {
		t.Error("who lingers is not here, but still a member")
	}
	if at, ok := r.Next(); !ok || !at.Equal(after(10)) {
		t.Errorf("next at %v", at)
	}
	if _, ok := r.Return(""); ok {
		t.Error("nobody comes back as somebody who was not signed in")
	}
	if m, ok := r.Return("ann"); !ok || m.ID != "b" {
		t.Errorf("the place of %v is taken, not of who has been away the longest", m)
	}
	if !r.Put(Member{ID: "c"}) {
		t.Error("who comes back is fresh")
	}
	if got := r.Expired(after(9)); got != nil {
		t.Errorf("expired early: %v", got)
	}
	if got := r.Expired(after(10)); len(got) != 1 || got[0].ID != "a" {
		t.Errorf("expired: %v", got)
	}
	if _, ok := r.Next(); ok || r.Lingering() != 0 || r.Empty() {
		t.Error("c is left")
	}
	if _, ok := r.Drop("c"); !ok || !r.Empty() {
		t.Error("nobody is left")
	}
	if _, ok := r.Drop("c"); ok {
		t.Error("dropped twice")
	}
}

// TestMassExpiry: thousands who lost their connections in one moment take
// no time that grows with their square, and are not taken out all at once.
func TestMassExpiry(t *testing.T) {
	const n = 20_000
	var r Room
	for i := range n {
		id := fmt.Sprint(i)
		r.Put(Member{ID: id, User: id})
		r.Linger(id, noon)
	}
	begun, longest, last := time.Now(), time.Duration(0), -1
	for r.Lingering() > 0 {
		at := time.Now()
		out := r.Expired(noon)
		longest = max(longest, time.Since(at))
		if len(out) == 0 || len(out) > MostExpired {
			t.Fatalf("%d expired at a time", len(out))
		}
		for _, m := range out {
			if i, err := strconv.Atoi(m.ID); err != nil || i != last+1 {
				t.Fatalf("%s expired after %d", m.ID, last)
			}
			last++
		}
	}
	t.Logf("%d in %v, at most %v at a time", n, time.Since(begun), longest)
	if last != n-1 || !r.Empty() {
		t.Errorf("%d are left", r.Size())
	}
}

func TestExpiredAreInOrder(t *testing.T) {
	var r Room
	for i := range 10 {
		id := fmt.Sprint(i)
		r.Put(Member{ID: id, User: "u"})
		r.Linger(id, noon.Add(time.Duration(i*7%10/2)*time.Second)) // pairs end at the same moment
	}
	r.Linger("3", noon.Add(time.Minute)) // given more time
	last := time.Duration(-1)
	n := 0
	for s := range 6 {
		for range r.Expired(noon.Add(time.Duration(s) * time.Second)) {
			n++
		}
		if d := time.Duration(s); d < last {
			t.Fatal("out of order")
		}
	}
	if n != 9 || r.Size() != 1 {
		t.Errorf("%d expired, %d are left", n, r.Size())
	}
}

func TestEncoding(t *testing.T) {
	m := Member{ID: `i"d`, User: "änn", Data: json.RawMessage(`{"a":[1]}`)}
	for c, want := range map[*Change]string{
		{Enter, m}:                `{"action":"enter","member":{"id":"i\"d","user":"änn","data":{"a":[1]}}}`,
		{Update, Member{ID: "a"}}: `{"action":"update","member":{"id":"a"}}`,
		{Leave, m}:                `{"action":"leave","member":{"id":"i\"d","user":"änn"}}`,
	} {
		got := AppendChange(nil, *c)
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := protocol.ValidJSON(got); err != nil {
			t.Error(err)
		}
	}
}

// view is what a watcher knows: the data of each member.
type view map[string]Member

func (v view) apply(c Change) {
	if c.Action == Leave {
		delete(v, c.Member.ID)
	} else {
		v[c.Member.ID] = c.Member
	}
}

func (v view) users() map[string]bool {
	out := map[string]bool{}
	for _, m := range v {
		out[m.User] = true
	}
	return out
}

// TestAgainstAModel drives a room with chance, as a node does, beside a roster.
// Watchers who have listened from the beginning and watchers who read the roster
// at any later moment must all know the roster whenever everything is told; and
// no user flickers within a batch.
func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		now, nextID := noon, 0
		grace := time.Duration(rnd.IntN(20)) * time.Second
		var room Room
		roster := view{}
		watchers := []view{{}}
		here := []string{}
		lingering := map[string]time.Time{}
		told := time.Time{}

		leave := func(m Member) {
			delete(roster, m.ID)
			room.Note(Leave, m)
		}
		flush := func() {
			batch := room.Take(now)
			seen := map[string]bool{}
			for _, c := range batch {
				if seen[c.Member.ID] {
					t.Fatalf("seed %d: two changes of one member in a batch", seed)
				}
				seen[c.Member.ID] = true
			}
			for _, w := range watchers {
				steady := w.users()
				after := maps.Clone(w)
				for _, c := range batch {
					after.apply(c)
				}
				later := after.users()
				maps.DeleteFunc(steady, func(u string, _ bool) bool { return !later[u] })
				for _, c := range batch {
					w.apply(c)
					if c.Action == Leave && steady[c.Member.User] && !w.users()[c.Member.User] {
						t.Fatalf("seed %d: %s flickers", seed, c.Member.User)
					}
				}
				if !maps.EqualFunc(w, roster, func(a, b Member) bool { return a.User == b.User && string(a.Data) == string(b.Data) }) {
					t.Fatalf("seed %d: a watcher knows %v, the roster is %v", seed, w, roster)
				}
			}
			told = now
		}
		for range 200 {
			switch rnd.IntN(8) {
			case 0, 1: // somebody enters
				m := Member{ID: fmt.Sprint("c", nextID), User: []string{"", "ann", "ben", "cleo"}[rnd.IntN(4)]}
				nextID++
				if !room.Put(m) {
					t.Fatalf("seed %d: not fresh", seed)
				}
				roster[m.ID] = m
				here = append(here, m.ID)
				room.Note(Enter, m)
				if old, ok := room.Return(m.User); ok {
					for id, until := range lingering {
						if roster[id].User == m.User && until.Before(lingering[old.ID]) {
							t.Fatalf("seed %d: %s was away longer than %s", seed, id, old.ID)
						}
					}
					delete(lingering, old.ID)
					leave(old)
				}
			case 2: // says something else
				if len(here) > 0 {
					m := roster[here[rnd.IntN(len(here))]]
					m.Data = fmt.Append(nil, rnd.IntN(100))
					room.Put(m)
					roster[m.ID] = m
					room.Note(Update, m)
				}
			case 3, 4: // goes, or loses the connection
				if len(here) > 0 {
					i := rnd.IntN(len(here))
					id := here[i]
					here = slices.Delete(here, i, i+1)
					if rnd.IntN(2) == 0 {
						lingering[id] = now.Add(grace)
						room.Linger(id, now.Add(grace))
					} else if m, ok := room.Drop(id); ok {
						leave(m)
					}
				}
			case 5: // somebody begins to watch
				if len(watchers) < 6 {
					watchers = append(watchers, maps.Clone(roster))
				}
			case 6:
				now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			case 7:
				if at, ok := room.Due(room.Size()); ok && !at.After(now) {
					if gap := now.Sub(told); !told.IsZero() && gap < Window(room.Size()) {
						t.Fatalf("seed %d: told after %v", seed, gap)
					}
					flush()
				}
			}
			for _, m := range room.Expired(now) {
				if until, ok := lingering[m.ID]; !ok || until.After(now) {
					t.Fatalf("seed %d: %s expired at %v, lingers until %v", seed, m.ID, now, until)
				}
				delete(lingering, m.ID)
				leave(m)
			}
			if room.Size() != len(roster) || room.Lingering() != len(lingering) || room.Size() != len(here)+len(lingering) {
				t.Fatalf("seed %d: %d members, %d lingering; the model has %d and %d", seed, room.Size(), room.Lingering(), len(roster), len(lingering))
			}
			byUser := map[string]int{}
			for _, id := range here {
				if user := roster[id].User; user != "" {
					byUser[user]++
				}
			}
			if !maps.Equal(byUser, room.here) && len(byUser)+len(room.here) > 0 {
				t.Fatalf("seed %d: here are %v, the model has %v", seed, room.here, byUser)
			}
			if at, ok := room.Next(); ok {
				for _, until := range lingering {
					if until.Before(at) {
						t.Fatalf("seed %d: next at %v, but a grace ends at %v", seed, at, until)
					}
				}
			} else if !(len(lingering) == 0 && room.Len() == 0) {
				t.Fatalf("seed %d: nothing to come?", seed)
			}
		}
		flush()
		for id := range maps.Clone(roster) {
			m, _ := room.Drop(id)
			leave(m)
		}
		flush()
		if !room.Empty() || len(room.away) != 0 || len(room.here) != 0 || len(room.queue) != 0 {
			t.Fatalf("seed %d: something is left of the room", seed)
		}
	}
}

// Gathering a thousand changes and taking them.
func BenchmarkNoteAndTake(b *testing.B) {
	members := make([]Member, 1000)
	for i := range members {
		members[i].ID = fmt.Sprint("connection-", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		var c Changes
		for _, m := range members {
			c.Note(Enter, m)
		}
		c.Take(noon)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/change")
}
