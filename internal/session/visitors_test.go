package session

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestVisitors: who has not asked for a while is forgotten, and when there is no
// room not everybody who asks has all of them looked at.
func TestVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v visitors
		for i := range mostVisitors {
			m := v.of(fmt.Sprint(i), time.Now())
			if m == nil {
				t.Fatalf("no room for visitor %d", i)
			}
			m.spend(time.Now(), 1, 2) // remembered for two seconds
		}
		swept := v.swept
		if v.of("late", time.Now()) != nil {
			t.Error("there is no end to them")
		}
		if v.swept != swept {
			t.Error("all were looked at for one who finds no room")
		}
		if v.of("7", time.Now()) == nil {
			t.Error("who is known has no room")
		}
		time.Sleep(3 * time.Second)
		if v.of("late", time.Now()) == nil || len(v.meters) != 1 {
			t.Errorf("%d are remembered that have nothing to be remembered for", len(v.meters)-1)
		}
	})
}
