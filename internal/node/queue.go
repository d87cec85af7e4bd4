package node

import (
	"context"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"ringdown/protocol"
)

// queue does work one piece after the other. A goroutine serves it while there is
// any. Work that comes when the node has stopped is only told so.
type queue struct {
	mu      sync.Mutex
	pending []func(stopped bool)
	serving bool
}

// add queues work, and returns false when limit pieces are waiting already.
func (q *queue) add(a *attendance, limit int, work func(stopped bool)) bool {
	q.mu.Lock()
	if len(q.pending) >= limit {
		q.mu.Unlock()
		return false
	}
	q.pending = append(q.pending, work)
	serving := q.serving
	q.serving = true
	q.mu.Unlock()
	switch {
	case serving:
	case a.begin():
		go func() {
			defer a.work.Done()
			q.serve(false)
		}()
	default:
		q.serve(true)
	}
	return true
}

// serve does what is queued until nothing is.
func (q *queue) serve(stopped bool) {
	for {
		q.mu.Lock()
		if len(q.pending) == 0 {
			q.pending, q.serving = nil, false
			q.mu.Unlock()
			return
		}
		work := q.pending[0]
		q.pending[0] = nil
		q.pending = q.pending[1:]
		q.mu.Unlock()
		work(stopped)
	}
}

// change has call change the roster for a member of r: at once if the roster does
// not block, and otherwise after the earlier changes of that member. The caller has
// counted the change in r.busy. note is told what came of it with r locked, and
// then done with r released.
func (a *attendance) change(r *room, id string, call func(ctx context.Context) (changed bool, err error), note func(changed bool, err error), done func(error)) {
	finish := func(changed bool, err error) {
		r.mu.Lock()
		r.busy--
		note(changed, err)
		a.release(r)
		done(rosterError(err))
	}
	if a.node.Immediate() {
		finish(call(a.ctx))
		return
	}
	queued := time.Now()
	a.changes[maphash.String(a.node.seed, id)%rosterQueues].add(a, math.MaxInt, func(stopped bool) {
		// Nobody waits any more for a change that was queued so long ago. To make it
		// would hold up all those behind it while the roster does not answer.
		if stopped || time.Since(queued) >= rosterTimeout {
			finish(false, &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: rosterRetry,
				Message: "the broker does not keep up with who comes and goes; try again"})
			return
		}
		ctx, cancel := context.WithTimeout(a.ctx, rosterTimeout)
		defer cancel()
		finish(call(ctx))
	})
}
