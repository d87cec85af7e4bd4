package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewestFirst(t *testing.T) {
	var s Stack
	var order []string
	for _, name := range []string{"store", "loops", "listener"} {
		s.Push(name, func(context.Context) error {
			order = append(order, name)
			return nil
		})
	}
	if err := s.Stop(t.Context()); err != nil || !slices.Equal(order, []string{"listener", "loops", "store"}) {
		t.Errorf("%v, %v", order, err)
	}
	if err := s.Stop(t.Context()); err != nil || len(order) != 3 {
		t.Errorf("the second Stop: %v, %v", order, err)
	}
	s.Push("late", func(context.Context) error { return errors.New("undone") })
	if err := s.Stop(t.Context()); err == nil {
		t.Error("a step that came after Stop is not undone by the next")
	}
}

func TestEmptyStack(t *testing.T) {
	var s Stack
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFailuresDoNotEndIt lets steps fail and panic; all others are undone.
func TestFailuresDoNotEndIt(t *testing.T) {
	var s Stack
	errDisk := errors.New("the disk is full")
	undone := 0
	ok := func(context.Context) error { undone++; return nil }
	s.Push("first", ok)
	s.Push("store", func(context.Context) error { return errDisk })
	s.Push("second", ok)
	s.Push("loops", func(context.Context) error { panic("oh no") })
	s.Push("third", ok)
	err := s.Stop(t.Context())
	if undone != 3 || !errors.Is(err, errDisk) {
		t.Errorf("%d undone, %v", undone, err)
	}
	for _, want := range []string{"stopping the store: the disk is full", "stopping the loops: panic: oh no", "lifecycle_test.go"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

// TestLateSteps has one that heeds its context, one that needs a moment longer,
// and one that never ends.
func TestLateSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Stack
		never := make(chan struct{})
		reached := false
		s.Push("last", func(ctx context.Context) error { reached = true; return nil })
		s.Push("stubborn", func(context.Context) error { <-never; return nil })
		s.Push("slow", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(grace / 2); return errors.New("cut off") })
		s.Push("good", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		err := s.Stop(ctx)
		// Good had all but three parts, slow one more, and stubborn the next.
		if d := time.Since(begin); d != 10*time.Second*30/32+grace/2+grace {
			t.Errorf("it took %v", d)
		}
		if !reached {
			t.Error("the step after the stubborn one was not undone")
		}
		for _, want := range []string{"the good: context deadline exceeded", "the slow: cut off", "the stubborn: it was left behind"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %v", want, err)
			}
		}
		close(never)
	})
}

// TestShares: whatever the steps before it do, each has its part of the time.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Stack
		begin, at := time.Now(), map[string]time.Duration{}
		wait := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				at[name] = time.Since(begin)
				return nil
			}
		}
		s.Push("loops", wait("loops"))
		s.PushShare("store", 4, wait("store"))
		s.Push("listener", wait("listener"))
		s.Push("clients", wait("clients"))
		ctx, cancel := context.WithTimeout(t.Context(), 32*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		for name, want := range map[string]time.Duration{"clients": 26, "listener": 27, "store": 31, "loops": 32} {
			if at[name] != want*time.Second {
				t.Errorf("%s: %v", name, at[name])
			}
		}
	})
}

// TestCutOff: when ctx ends in the middle, the step under way is told, and those
// after it have a second each.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Stack
		s.Push("store", func(ctx context.Context) error {
			time.Sleep(grace / 2)
			return ctx.Err()
		})
		s.Push("clients", func(ctx context.Context) error { <-ctx.Done(); return nil })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrentPushAndStop(t *testing.T) {
	var s Stack
	var undone atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				s.Push(fmt.Sprint(i, j), func(context.Context) error { undone.Add(1); return nil })
			}
		})
		if i >= 6 {
			wg.Go(func() {
				if err := s.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if err := s.Stop(t.Context()); err != nil || undone.Load() != 800 {
		t.Errorf("%d of 800 steps undone, %v", undone.Load(), err)
	}
}
