package prices

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A day of it: prices move, stay about where they belong, and never come to nothing.
func TestWalk(t *testing.T) {
	f := newFloor(rand.New(rand.NewPCG(1, 2)))
	now := time.Unix(1_800_000_000, 0)
	moves := map[string]int{}
	for range 100_000 {
		now = now.Add(tick)
		before := map[string]int64{}
		for symbol, s := range f.of {
			before[symbol] = s.Price.Price
		}
		quotes := f.step(now)
		if len(quotes) != perTick {
			t.Fatalf("%d prices moved", len(quotes))
		}
		for _, q := range quotes {
			moves[q.symbol]++
			if q.Price.Price == before[q.symbol] || q.Price.Price < cheapest {
				t.Fatalf("%s went from %d to %d", q.symbol, before[q.symbol], q.Price.Price)
			}
		}
	}
	for symbol, s := range f.of {
		if s.Price.Price > 4*s.share.Home || s.Price.Price < s.share.Home/4 {
			t.Errorf("%s began at %d and is at %d", symbol, s.share.Home, s.Price.Price)
		}
		if moves[symbol] < 1000 {
			t.Errorf("%s moved %d times", symbol, moves[symbol])
		}
		if len(s.trail) != trailLong {
			t.Errorf("the trail of %s has %d points", symbol, len(s.trail))
		}
	}
	if moves["RING"] < 5*moves["FAX"] {
		t.Errorf("RING moved %d times and FAX %d", moves["RING"], moves["FAX"])
	}
}

// Symbols are those that the schema of the call takes, and no two are the same.
func TestSymbols(t *testing.T) {
	f := newFloor(rand.New(rand.NewPCG(1, 2)))
	if len(f.of) != len(f.seats) {
		t.Errorf("%d seats have %d symbols", len(f.seats), len(f.of))
	}
	for symbol := range f.of {
		if len(symbol) < 2 || len(symbol) > 5 {
			t.Errorf("%s is no symbol", symbol)
		}
	}
}
