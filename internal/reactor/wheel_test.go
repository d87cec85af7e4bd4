package reactor

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type firing struct {
	t    Timer
	due  int64
	fire func()
}

func (f *firing) Fire(*Loop) { f.fire() }

// TestWheelAgainstModel arms, moves and disarms timers at random, near and far,
// and looks whether each fires at its tick, once, and no other does.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(10) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		w := &wheel{}
		timers := make([]*firing, 200)
		for i := range timers {
			timers[i] = &firing{}
		}
		now := int64(0)
		for range 3000 {
			for range rnd.IntN(4) {
				f := timers[rnd.IntN(len(timers))]
				if rnd.IntN(4) == 0 {
					w.disarm(&f.t)
					f.due = 0
					continue
				}
				d := int64(rnd.IntN(50))
				if rnd.IntN(5) == 0 {
					d = int64(rnd.IntN(3 * wheelSlots))
				}
				f.due = max(now+d, now+1)
				w.arm(&f.t, now+d, f)
			}
			checkNext(t, w, timers, now)
			step := int64(1 + rnd.IntN(10))
			var want, got []int
			for i, f := range timers {
				if f.due > 0 && f.due <= now+step {
					want = append(want, i)
				}
			}
			now += step
			w.advance(now, func(f Firer) {
				i := slices.Index(timers, f.(*firing))
				if timers[i].due != w.now {
					t.Fatalf("seed %d: timer %d fires at %d, due at %d", seed, i, w.now, timers[i].due)
				}
				timers[i].due = 0
				got = append(got, i)
			})
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, tick %d: %v fired, want %v", seed, now, got, want)
			}
		}
	}
}

// checkNext: the wheel never sleeps past a timer.
func checkNext(t *testing.T, w *wheel, timers []*firing, now int64) {
	t.Helper()
	first, armed := int64(-1), 0
	for _, f := range timers {
		if f.due > 0 {
			armed++
			if first < 0 || f.due < first {
				first = f.due
			}
		}
	}
	if w.armed != armed {
		t.Fatalf("%d are armed, want %d", w.armed, armed)
	}
	next := w.next()
	if (next < 0) != (armed == 0) {
		t.Fatalf("next is %d with %d armed", next, armed)
	}
	if armed > 0 && (next < 1 || w.now+next > first) {
		t.Fatalf("at %d the wheel waits %d ticks, but the first timer is due at %d", now, next, first)
	}
}

// TestFiringChangesTheWheel: a timer may arm itself and disarm its neighbours.
func TestFiringChangesTheWheel(t *testing.T) {
	w := &wheel{}
	var order []string
	a, b, c := &firing{}, &firing{}, &firing{}
	a.fire = func() { order = append(order, "a"); w.disarm(&b.t); w.arm(&a.t, w.now, a) }
	b.fire = func() { order = append(order, "b") }
	c.fire = func() { order = append(order, "c"); w.disarm(&c.t) }
	w.arm(&a.t, 5, a)
	w.arm(&b.t, 5, b)
	w.arm(&c.t, 5, c)
	w.advance(6, func(f Firer) { f.Fire(nil) })
	if !slices.Equal(order, []string{"a", "c", "a"}) {
		t.Fatalf("fired %v", order)
	}
	if w.armed != 1 {
		t.Fatalf("%d are armed", w.armed)
	}
}

func TestWheelAllocations(t *testing.T) {
	w, f := &wheel{}, &firing{}
	f.fire = func() {}
	if n := testing.AllocsPerRun(1000, func() {
		w.arm(&f.t, w.now+3, f)
		w.arm(&f.t, w.now+2, f)
		w.advance(w.now+2, func(Firer) {})
	}); n != 0 {
		t.Errorf("arming and firing allocate %v times", n)
	}
}

func BenchmarkWheel(b *testing.B) {
	w := &wheel{}
	f := make([]firing, 10_000)
	for i := range f {
		w.arm(&f[i].t, int64(i%1250+1), &f[i])
	}
	b.ReportAllocs()
	for i := range b.N {
		x := &f[i%len(f)]
		w.arm(&x.t, w.now+1250, x)
	}
}
