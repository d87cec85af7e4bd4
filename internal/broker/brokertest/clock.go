package brokertest

import (
	"testing"
	"time"

	"ringdown/internal/broker"
)

// testClockJumps (G04): a wall clock that is set back or ahead changes no order
// and no offset; what is kept by number stays, and what was there before the jump
// stays readable. Dedupe keys hold when the clock goes back.
func testClockJumps(t *testing.T, b *bench) {
	b.follow(t, "c", kept)
	prev := uint64(0)
	epoch := ""
	for n, jump := range []time.Duration{0, -time.Hour, 24 * time.Hour, -48 * time.Hour, time.Second} {
		b.clock.Advance(jump)
		r := b.accept(t, publication(kept, "c", n))
		if r.Position.Offset <= prev || n > 0 && r.Position.Epoch != epoch {
			t.Fatalf("after a jump of %v: %v follows %d of %q", jump, r.Position, prev, epoch)
		}
		f := b.await(t, "c", n+1)[n]
		if f.entry.Offset != r.Position.Offset || f.entry.Prev != prev {
			t.Fatalf("after a jump of %v: fed %d after %d, want %d after %d", jump, f.entry.Offset, f.entry.Prev, r.Position.Offset, prev)
		}
		prev, epoch = r.Position.Offset, r.Position.Epoch
	}
	if page := b.read(t, "c", kept, broker.Range{}); len(page.Entries) != 5 {
		t.Fatalf("%v are left of five", offsets(page.Entries))
	}
	again := func() *message {
		p := publication(kept, "c", 6)
		p.Dedupe = "key"
		return p
	}
	first := b.accept(t, again())
	b.clock.Advance(-time.Hour)
	if r := b.accept(t, again()); !r.Duplicate || r.Position != first.Position {
		t.Fatalf("an hour earlier the key is forgotten: %v, before %v", r, first)
	}
}
