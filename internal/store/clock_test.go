package store

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestDedupeClock: an idempotency key is remembered for the window, by a clock
// that goes on whatever is done to that of the wall: set back, set back while the
// store is closed, or both.
func TestDedupeClock(t *testing.T) {
	for _, closed := range []bool{false, true} {
		c := newClock()
		o := small(vfs.NewMem())
		o.Now = c.Now
		s := open(t, o)
		keep := &Keep{Messages: 100}
		jump := func(d time.Duration) {
			if closed {
				shut(t, s)
			}
			c.advance(d)
			if closed {
				s = open(t, o)
			}
		}
		first := put(t, s, "c", "", "key", "1", keep)
		jump(-time.Hour)
		if r := put(t, s, "c", "", "key", "1", keep); !r.Duplicate || r.Offset != first.Offset {
			t.Errorf("closed %v: an hour back it is forgotten: %+v", closed, r)
		}
		put(t, s, "c", "", "other", "2", keep) // remembered under the clock as it is now
		c.advance(90 * time.Second)
		if r := put(t, s, "c", "", "key", "1", keep); !r.Duplicate {
			t.Errorf("closed %v: within the window it is forgotten: %+v", closed, r)
		}
		if r := put(t, s, "c", "", "other", "2", keep); !r.Duplicate {
			t.Errorf("closed %v: within the window the other is forgotten: %+v", closed, r)
		}
		jump(-time.Hour)
		c.advance(20 * time.Second)
		if r := put(t, s, "c", "", "other", "2", keep); !r.Duplicate {
			t.Errorf("closed %v: after the second jump it is forgotten: %+v", closed, r)
		}
		// It goes in the end, and does not wait for the wall to come back.
		c.advance(2*dedupeWindow + time.Minute)
		if r := put(t, s, "c", "", "key", "1", keep); r.Duplicate {
			t.Errorf("closed %v: it is remembered for ever: %+v", closed, r)
		}
		shut(t, s)
	}
}
