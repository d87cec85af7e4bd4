// Package lifecycle is the contract of what starts and stops, and the order in
// which a whole is taken down.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Service starts and stops. lifecycletest.Stress holds a service to this.
//
// Start returns when the service works; ctx bounds only the starting. It is
// called at most once. If it fails, it leaves nothing running.
//
// Stop ends every goroutine of the service and waits for them; when ctx is done
// it cuts off what it waits for and returns without delay, with an error. It may
// be called again, by several at once, and without Start; where nothing is left
// to be ended, it returns nil.
type Service interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// grace is how long a step may go on when its context is done, to cut off what it
// would have waited for.
const grace = time.Second

// Stack is what has to be undone, newest first. Setting up and taking down share
// it: whatever fails in between, Stop undoes exactly what was done. The zero
// value is empty. Safe for concurrent use.
type Stack struct {
	mu    sync.Mutex
	steps []step
}

type step struct {
	name  string
	share int
	undo  func(ctx context.Context) error
}

// share is the part of the time that Stop has which is kept for a step, as one of
// wholeTime parts.
const wholeTime = 32

// Push adds a step, named for errors. One that is added after Stop has begun is
// undone by the next Stop.
func (s *Stack) Push(name string, undo func(ctx context.Context) error) { s.PushShare(name, 1, undo) }

// PushShare is Push for a step that needs more time than others: so many parts of
// 32 are kept for it, however long those before it take.
func (s *Stack) PushShare(name string, share int, undo func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name, share, undo})
}

// Stop undoes every step, newest first, also when one fails or panics, and joins
// the errors, each with its step's name.
//
// A step may take all the time that ctx has, but for what is kept for those after
// it. When that is over, or ctx is done, its context is done; if it does not return
// within a second then, it is left behind and said in the error. A step that is
// only begun when ctx is done has a second to do what must be done: what came
// before it shall not cost it that. A second Stop has nothing to do, and does not
// wait for the first.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	kept := 0
	for _, step := range steps {
		kept += step.share
	}
	end, bounded := ctx.Deadline()
	part := time.Until(end) / time.Duration(max(wholeTime, kept))
	var errs []error
	for _, step := range slices.Backward(steps) {
		kept -= step.share
		own, cancel := ctx, context.CancelFunc(func() {})
		switch {
		case ctx.Err() != nil:
			own, cancel = context.WithTimeout(context.WithoutCancel(ctx), grace)
		case bounded:
			own, cancel = context.WithDeadline(ctx, end.Add(-time.Duration(kept)*part))
		}
		if err := step.run(own); err != nil {
			errs = append(errs, fmt.Errorf("stopping the %s: %w", step.name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}

// run undoes the step on a goroutine of its own, so that it can be left behind.
func (s step) run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		done <- s.undo(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return fmt.Errorf("it was left behind after %v: %w", grace, ctx.Err())
	}
}
