package node

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"ringdown/protocol"
)

// lane is changes of the roster that are made one after the other. A goroutine
// serves it while there are any.
type lane struct {
	mu      sync.Mutex
	queue   []change
	serving bool
}

// change is work on the roster. With an err it only hears that it is not to be done.
type change struct {
	queued time.Time
	run    func(ctx context.Context, err error)
}

// change runs a change of the member with that id after those of it that came
// before: at once if the roster does not block, otherwise in its lane.
func (a *attendance) change(id string, run func(ctx context.Context, err error)) {
	if a.node.Immediate() {
		run(a.ctx, nil)
		return
	}
	l := &a.lanes[maphash.String(a.node.seed, id)%rosterLanes]
	l.mu.Lock()
	l.queue = append(l.queue, change{time.Now(), run})
	serving := l.serving
	l.serving = true
	l.mu.Unlock()
	switch {
	case serving:
	case a.begin():
		go func() {
			defer a.work.Done()
			a.serve(l, a.make)
		}()
	default:
		a.serve(l, a.refuse)
	}
}

// serve does with the changes of a lane what do says, until there are none.
func (a *attendance) serve(l *lane, do func(c change)) {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue, l.serving = nil, false
			l.mu.Unlock()
			return
		}
		c := l.queue[0]
		l.queue[0] = change{}
		l.queue = l.queue[1:]
		l.mu.Unlock()
		do(c)
	}
}

// make makes one change, unless it has waited so long that nobody would wait for
// it any more: a roster that does not answer must not hold up one after the other.
func (a *attendance) make(c change) {
	if time.Since(c.queued) >= rosterTimeout {
		a.refuse(c)
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, rosterTimeout)
	defer cancel()
	c.run(ctx, nil)
}

func (a *attendance) refuse(c change) {
	c.run(a.ctx, &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: rosterRetry,
		Message: "the broker does not keep up with who comes and goes; try again"})
}
