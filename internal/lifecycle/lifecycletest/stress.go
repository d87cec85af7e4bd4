// Package lifecycletest holds services to the contract of lifecycle.Service.
package lifecycletest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/lifecycle"
)

// patience is how long a Start or Stop may take that has nothing to wait for.
const patience = 10 * time.Second

// Stress starts and stops services that factory makes, in every order that the
// contract allows, and fails t if one of them errs, hangs or leaves a goroutine.
// factory is called many times, and returns a new service each time.
func Stress(t *testing.T, factory func(t testing.TB) lifecycle.Service) {
	t.Helper()
	for _, c := range []struct {
		name  string
		times int
		run   func(t *testing.T, s lifecycle.Service)
	}{
		{"start and stop", 20, func(t *testing.T, s lifecycle.Service) {
			start(t, s)
			stop(t, s)
		}},
		{"stop without start", 1, stop},
		{"stop again", 1, func(t *testing.T, s lifecycle.Service) {
			start(t, s)
			stop(t, s)
			stop(t, s)
		}},
		{"several stop at once", 20, func(t *testing.T, s lifecycle.Service) {
			start(t, s)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { stop(t, s) })
			}
			wg.Wait()
		}},
		{"stop during start", 20, func(t *testing.T, s lifecycle.Service) {
			var wg sync.WaitGroup
			wg.Go(func() {
				// Which of the two came first is open, and so is the error.
				_ = within(t, "Start", func(ctx context.Context) error { return s.Start(ctx) })
			})
			wg.Go(func() { _ = within(t, "Stop", func(ctx context.Context) error { return s.Stop(ctx) }) })
			wg.Wait()
			stop(t, s)
		}},
		{"start with a context that is done", 1, func(t *testing.T, s lifecycle.Service) {
			_ = within(t, "Start", func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return s.Start(ctx)
			})
			stop(t, s)
		}},
		{"the context of start ends later", 1, func(t *testing.T, s lifecycle.Service) {
			ctx, cancel := context.WithCancel(context.Background())
			if err := s.Start(ctx); err != nil {
				t.Errorf("Start: %v", err)
			}
			cancel()
			stop(t, s)
		}},
		{"stop with a context that is done", 20, func(t *testing.T, s lifecycle.Service) {
			start(t, s)
			_ = within(t, "Stop", func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return s.Stop(ctx)
			})
			stop(t, s)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			for range c.times {
				c.run(t, factory(t))
			}
			goleak.VerifyNone(t, before)
		})
	}
}

func start(t *testing.T, s lifecycle.Service) {
	t.Helper()
	if err := within(t, "Start", s.Start); err != nil {
		t.Errorf("Start: %v", err)
	}
}

func stop(t *testing.T, s lifecycle.Service) {
	t.Helper()
	if err := within(t, "Stop", s.Stop); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// within fails the test when f takes too long, also when f does not heed its
// context.
func within(t *testing.T, name string, f func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience + time.Second):
		err := fmt.Errorf("%s hangs", name)
		t.Error(err)
		return err
	}
}
