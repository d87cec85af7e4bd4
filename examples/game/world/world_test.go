package world

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var dawn = time.Date(2026, 5, 1, 6, 0, 0, 0, time.UTC)

// open is a field without walls.
func open() *Field { return NewField(strings.Repeat(strings.Repeat(".", 30)+"\n", 20)) }

func newWorld(f *Field, bots int) *World {
	return New(f, bots, nil, rand.New(rand.NewPCG(7, 7)))
}

// place puts a player of session 1 somewhere, having made no step.
func place(t *testing.T, w *World, user string, at Point) *player {
	t.Helper()
	if !w.Take(user, Input{Session: 1, First: 1}, dawn) {
		t.Fatalf("%s cannot enter", user)
	}
	w.players[user].Point = at
	return w.players[user]
}

// tickAll ticks until no steps wait, and returns how many ticks that took.
func tickAll(w *World, p *player) (n int) {
	for ; p.steps != ""; n++ {
		w.Tick(dawn)
	}
	return n
}

func TestStep(t *testing.T) {
	walls := NewField("....\n.#..\n....")
	middle := Point{250, 150}
	for _, c := range []struct {
		name   string
		from   Point
		way    byte
		others []Point
		want   Point
	}{
		{"up", middle, '8', nil, Point{250, 120}},
		{"down and right", middle, '3', nil, Point{271, 171}},
		{"nowhere", middle, '5', nil, middle},
		{"no digit", middle, 'x', nil, middle},
		{"up to a wall", middle, '4', nil, Point{235, 150}},
		{"along a wall", Point{235, 150}, '7', nil, Point{235, 129}},
		{"into a corner of the field", Point{40, 40}, '7', nil, Point{35, 35}},
		{"into somebody", middle, '6', []Point{{320, 150}}, middle},
		{"away from somebody too near", middle, '4', []Point{{300, 150}}, Point{235, 150}},
		{"past somebody", middle, '6', []Point{{320, 250}}, Point{280, 150}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := walls.Step(c.from, c.way, c.others); got != c.want {
				t.Errorf("a step leads to %v, want %v", got, c.want)
			}
		})
	}
}

// Nobody ever stands in a wall, whatever they do.
func TestStepFuzz(t *testing.T) {
	f := NewField(Drawing)
	chance := rand.New(rand.NewPCG(1, 1))
	p := Point{50, 50}
	for range 200_000 {
		if p = f.Step(p, byte('1'+chance.IntN(9)), nil); !f.free(p) {
			t.Fatalf("%v is in a wall", p)
		}
	}
}

// Steps come in runs that overlap, come twice, or have holes: each is made once, in order.
func TestRuns(t *testing.T) {
	start := Point{1500, 1000}
	for _, c := range []struct {
		name string
		runs []Input
		want Point
		step int64
	}{
		{"one run", []Input{{1, 1, "66"}}, Point{1560, 1000}, 2},
		{"the same run twice", []Input{{1, 1, "66"}, {1, 1, "66"}}, Point{1560, 1000}, 2},
		{"runs that overlap", []Input{{1, 1, "66"}, {1, 2, "68"}}, Point{1560, 970}, 3},
		{"an old run", []Input{{1, 1, "666"}, {1, 1, "6"}}, Point{1590, 1000}, 3},
		{"a hole", []Input{{1, 4, "6"}}, Point{1530, 1000}, 4},
		{"a hole behind what waits", []Input{{1, 1, "6"}, {1, 5, "6"}}, Point{1530, 1000}, 1},
		{"of an older page", []Input{{2, 1, "6"}, {1, 2, "666"}}, Point{1530, 1000}, 1},
		{"of a newer page", []Input{{1, 1, "66"}, {2, 1, "8"}}, Point{1500, 970}, 1},
		{"none", []Input{{1, 1, ""}}, start, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(open(), 0)
			p := place(t, w, "ann", start)
			for _, in := range c.runs {
				w.Take("ann", in, dawn)
			}
			tickAll(w, p)
			if p.Point != c.want || p.applied != c.step {
				t.Errorf("stands at %v after step %d, want %v after %d", p.Point, p.applied, c.want, c.step)
			}
		})
	}
}

// Whoever sends steps as fast as they are taken makes no more than there were ticks, but
// for what was saved; and never more than two in one.
func TestSpeedLimit(t *testing.T) {
	w := newWorld(open(), 0)
	p := place(t, w, "ann", Point{1500, 1000})
	for range 200 {
		w.Tick(dawn) // standing still saves up to a limit
	}
	const ticks = 100
	for range ticks {
		before := p.applied
		w.Take("ann", Input{1, p.applied + int64(len(p.steps)) + 1, strings.Repeat("46", MaxSteps/2)}, dawn)
		if len(p.steps) > MaxSteps {
			t.Fatalf("%d steps wait", len(p.steps))
		}
		if w.Tick(dawn); p.applied-before > perTick {
			t.Fatalf("%d steps in one tick", p.applied-before)
		}
	}
	if most := int64(ticks + saved); p.applied > most || p.applied < ticks {
		t.Errorf("%d steps in %d ticks", p.applied, ticks)
	}
}

func TestCatchUp(t *testing.T) {
	w := newWorld(open(), 0)
	p := place(t, w, "ann", Point{1500, 1000})
	for range 10 {
		w.Tick(dawn) // the network holds back what was sent meanwhile
	}
	w.Take("ann", Input{1, 1, strings.Repeat("6", 10)}, dawn)
	if n := tickAll(w, p); n != 5 {
		t.Errorf("ten steps that came late took %d ticks, want 5", n)
	}
}

func TestSilence(t *testing.T) {
	w := newWorld(open(), 2)
	place(t, w, "ann", Point{1500, 1000})
	place(t, w, "ben", Point{500, 500})
	w.Take("ben", Input{Session: 1, First: 1}, dawn.Add(2*time.Second))
	frame, _ := w.Tick(dawn.Add(Silence + time.Millisecond))
	if got, want := users(frame), []string{"ben", "~moss", "~pip"}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	w.Leave("ben", 0) // of an older page
	if w.People() != 1 {
		t.Error("a page that has nothing to say any more took its successor out")
	}
	w.Leave("ben", 1)
	w.Leave("~pip", 9)
	frame, _ = w.Tick(dawn)
	if got, want := users(frame), []string{"~moss", "~pip"}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

func users(f Frame) (names []string) {
	for _, p := range f.Players {
		names = append(names, p.User)
	}
	return names
}

func TestFull(t *testing.T) {
	w := newWorld(NewField(Drawing), 2)
	for i := range MaxPlayers {
		place(t, w, "player-"+string(rune('A'+i)), Point{50, 50})
	}
	if w.Take("late", Input{Session: 1, First: 1}, dawn) {
		t.Error("one more than there may be has entered")
	}
	if !w.Take("player-A", Input{Session: 1, First: 1}, dawn) {
		t.Error("who is in was refused")
	}
}

func TestGather(t *testing.T) {
	w := New(open(), 0, map[string]int{"ann": 41}, rand.New(rand.NewPCG(7, 7)))
	place(t, w, "ann", Point{1500, 1000})
	w.bells = []Point{{1500 + reach + 20, 1000}, {100, 100}}
	if _, won := w.Tick(dawn); len(won) != 0 {
		t.Errorf("a bell out of reach was gathered: %v", won)
	}
	w.Take("ann", Input{1, 1, "6"}, dawn)
	if _, won := w.Tick(dawn); !maps.Equal(won, map[string]int{"ann": 42}) {
		t.Errorf("scores %v, want 42 of ann", won)
	}
	if len(w.bells) != 2 || w.bells[0].near(Point{1500, 1000}, reach) {
		t.Errorf("the bells are at %v", w.bells)
	}
	if _, won := w.Tick(dawn); len(won) != 0 {
		t.Errorf("a bell was gathered twice: %v", won)
	}
}

// Bots find every bell, through all walls' gaps.
func TestBots(t *testing.T) {
	w := newWorld(NewField(Drawing), len(botNames))
	won := map[string]int{}
	for range 20 * 120 {
		_, n := w.Tick(dawn)
		maps.Copy(won, n)
		for name, p := range w.players {
			if !w.field.free(p.Point) {
				t.Fatalf("%s is in a wall, at %v", name, p.Point)
			}
		}
	}
	for _, name := range botNames {
		if won[name] < 5 {
			t.Errorf("%s has gathered %d bells in two minutes", name, won[name])
		}
	}
}

func BenchmarkTick(b *testing.B) {
	w := newWorld(NewField(Drawing), len(botNames))
	for i := range MaxPlayers {
		w.Take("player-"+string(rune('A'+i)), Input{Session: 1, First: 1}, dawn)
	}
	for b.Loop() {
		w.Tick(dawn)
	}
}
