package lifecycle

import (
	"context"
	"sync"
)

// Crew is goroutines of which some may still begin while somebody waits for all
// of them to end, which a sync.WaitGroup does not allow. The zero value is ready
// to use. Its methods are safe for concurrent use.
type Crew struct {
	mu    sync.Mutex
	count int
	idle  chan struct{} // closed when count is 0 again; nil: nobody waits
}

// Go runs fn on a goroutine.
func (c *Crew) Go(fn func()) {
	c.mu.Lock()
	c.count++
	c.mu.Unlock()
	go func() {
		defer c.done()
		fn()
	}()
}

func (c *Crew) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count--; c.count == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Wait returns nil when no goroutine is left, or ctx's error when it ends first.
func (c *Crew) Wait(ctx context.Context) error {
	c.mu.Lock()
	if c.count == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
