package lifecycle

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who begins while somebody waits is waited for as well.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		if err := c.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		var ended atomic.Int32
		c.Go(func() {
			time.Sleep(time.Second)
			c.Go(func() {
				time.Sleep(time.Second)
				ended.Add(1)
			})
			ended.Add(1)
		})
		short, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := c.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited to %v", err)
		}
		for range 3 {
			go func() {
				if err := c.Wait(t.Context()); err != nil || ended.Load() != 2 {
					t.Errorf("waited to %v, %d ended", err, ended.Load())
				}
			}()
		}
		if err := c.Wait(t.Context()); err != nil || ended.Load() != 2 {
			t.Errorf("waited to %v, %d ended", err, ended.Load())
		}
	})
}

// Waits and beginnings at once, for the race detector.
func TestCrewRace(t *testing.T) {
	var c, waits Crew
	var ended atomic.Int32
	for range 4 {
		waits.Go(func() {
			for range 200 {
				c.Go(func() { ended.Add(1) })
				if err := c.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err := waits.Wait(t.Context()); err != nil || ended.Load() != 800 {
		t.Errorf("%v, %d of 800 ended", err, ended.Load())
	}
}
