package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// long reports whether the long forms of tests are asked for.
func long() bool { return os.Getenv("RINGDOWN_LONG") != "" }

// model is what a store should hold, in the simplest way.
type model struct {
	keep  map[string]Keep
	logs  map[string][]remembered
	byKey map[string]map[string]int // where in logs
	seen  map[string]seen           // by channel and dedupe key
}

type remembered struct {
	message
	at time.Time
}

type seen struct {
	offset uint64
	at     time.Time
}

func newModel() *model {
	m := &model{keep: map[string]Keep{
		"all":    {},
		"few":    {Messages: 5},
		"many":   {Messages: 40},
		"brief":  {For: time.Minute},
		"board":  {Messages: 8, State: true},
		"moving": {Messages: 8, State: true, For: time.Minute, StateFor: time.Minute},
	}, logs: map[string][]remembered{}, byKey: map[string]map[string]int{}, seen: map[string]seen{}}
	return m
}

func (m *model) append(now time.Time, log, key, dedupe, data string) seen {
	if dedupe != "" {
		if s, ok := m.seen[log+" "+dedupe]; ok && now.Sub(s.at) < dedupeWindow {
			return s
		}
	}
	offset := uint64(len(m.logs[log]) + 1)
	m.logs[log] = append(m.logs[log], remembered{message{offset, key, data, key != "" && data == "null"}, now})
	if key != "" {
		if m.byKey[log] == nil {
			m.byKey[log] = map[string]int{}
		}
		m.byKey[log][key] = int(offset) - 1
	}
	s := seen{offset, now}
	if dedupe != "" {
		m.seen[log+" "+dedupe] = s
	}
	return s
}

func (m *model) log(now time.Time, log string) (list []message) {
	k, all := m.keep[log], m.logs[log]
	for i, e := range all {
		if k.Messages > 0 && len(all)-i > k.Messages || k.For > 0 && now.Sub(e.at) > k.For {
			continue
		}
		list = append(list, e.message)
	}
	return list
}

func (m *model) state(now time.Time, log string) (list []message) {
	k := m.keep[log]
	for _, i := range m.byKey[log] {
		if e := m.logs[log][i]; k.StateFor == 0 || now.Sub(e.at) <= k.StateFor {
			list = append(list, e.message)
		}
	}
	slices.SortFunc(list, func(a, b message) int { return int(a.offset) - int(b.offset) })
	return list
}

// compare reads everything.
func (m *model) compare(t *testing.T, s *Store, now time.Time, limit int) {
	t.Helper()
	for log, keep := range m.keep {
		got, page, err := readAll(s, log, keep, false, limit)
		want := m.log(now, log)
		if err != nil || !slices.Equal(got, want) || page.Head != uint64(len(m.logs[log])) || page.Oldest != page.Head-uint64(len(want)) {
			t.Fatalf("%s: %v, %+v, %v\nwant %v", log, got, page, err, want)
		}
		if !keep.State {
			continue
		}
		got, _, err = readAll(s, log, keep, true, limit)
		if want := m.state(now, log); err != nil || !slices.Equal(got, want) {
			t.Fatalf("the state of %s: %v, %v\nwant %v", log, got, err, want)
		}
	}
}

// TestModel does random things to a store and to a model of it, with clean ends
// and crashes in between, after which nothing unsynced is left.
func TestModel(t *testing.T) {
	runs := 15
	if long() {
		runs = 300
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			walk(t, rand.New(rand.NewPCG(uint64(seed), 1)))
		})
	}
}

func walk(t *testing.T, r *rand.Rand) {
	fs, clock, m := vfs.NewCrashableMem(), newClock(), newModel()
	o := small(fs)
	o.Now = clock.Now
	s := open(t, o)
	epoch := s.Epoch()
	names := []string{"all", "few", "many", "brief", "board", "moving"}
	for step := range 400 {
		log := names[r.IntN(len(names))]
		switch what := r.IntN(100); {
		case what < 80:
			// Some at once, so that they share a batch.
			var waiting []waiter
			var want []seen
			for range 1 + r.IntN(6) {
				key, dedupe, data := "", "", fmt.Sprintf(`{"step":%d,"fill":"%*d"}`, step, r.IntN(200), 0)
				if m.keep[log].State && r.IntN(4) > 0 {
					key = fmt.Sprint("k", r.IntN(12))
					if r.IntN(4) == 0 {
						data = "null"
					}
				}
				if r.IntN(4) == 0 {
					dedupe = fmt.Sprint("d", r.IntN(20))
				}
				k := m.keep[log]
				waiting = append(waiting, send(s, log, key, dedupe, data, &k))
				want = append(want, m.append(clock.Now(), log, key, dedupe, data))
			}
			for i, w := range waiting {
				if a := <-w; a.err != nil || a.Offset != want[i].offset {
					t.Fatalf("step %d: %s: %+v, want offset %d", step, log, a, want[i].offset)
				}
			}
		case what < 90:
			clock.advance(time.Duration(r.IntN(50)) * time.Second)
		case what < 93:
			if err := s.sweep(); err != nil {
				t.Fatal(err)
			}
		case what < 95:
			m.compare(t, s, clock.Now(), 1+r.IntN(9))
		case what < 97:
			shut(t, s)
			s = open(t, o)
		default:
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
			shut(t, s)
			fs, o.FS = crashed, crashed
			s = open(t, o)
		}
		if s.Epoch() != epoch {
			t.Fatalf("step %d: the epoch changed", step)
		}
	}
	m.compare(t, s, clock.Now(), 0)
	shut(t, s)
	verify(t, o)
}

func verify(t *testing.T, o Options) Report {
	t.Helper()
	r, err := Verify(t.Context(), o, nil)
	if err != nil || len(r.Damage) > 0 {
		t.Fatalf("%v, %v", r.Damage, err)
	}
	return r
}
