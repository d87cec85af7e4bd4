// Package lifecycle is the contract of what starts and stops, and the order in
// which a whole is taken down.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Service starts and stops. Start returns when the service works, and bounds
// only the starting by ctx. Stop waits for every goroutine of the service, at
// most until ctx ends; it may be called again, and before Start.
type Service interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Stack is what has to be undone, newest first. Setting up and taking down share
// it: whatever fails in between, Stop undoes exactly what was done. The zero
// value is empty. Safe for concurrent use.
type Stack struct {
	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	undo func(ctx context.Context) error
}

// Push adds a step, named for errors.
func (s *Stack) Push(name string, undo func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name, undo})
}

// Stop undoes every step, newest first, also when one fails, and joins the
// errors, each with its step's name. A second Stop has nothing left to do.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()
	var errs []error
	for i := len(steps) - 1; i >= 0; i-- {
		if err := steps[i].undo(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping the %s: %w", steps[i].name, err))
		}
	}
	return errors.Join(errs...)
}
