package lifecycletest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"ringdown/internal/lifecycle"
)

// ticker is a service as it should be.
type ticker struct {
	mu      sync.Mutex
	stopped bool
	cancel  context.CancelFunc
	done    chan struct{}
}

func (k *ticker) Start(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return errors.New("stopped already")
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel, k.done = cancel, make(chan struct{})
	go func() {
		defer close(k.done)
		<-ctx.Done()
	}()
	return nil
}

func (k *ticker) Stop(ctx context.Context) error {
	k.mu.Lock()
	k.stopped = true
	cancel, done := k.cancel, k.done
	k.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestStress(t *testing.T) {
	Stress(t, func(testing.TB) lifecycle.Service { return &ticker{} })
}
