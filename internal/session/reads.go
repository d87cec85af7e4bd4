package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
)

// ask names a page of a channel's log, or of its state.
type ask struct {
	channel       string
	state         bool
	after, before uint64
	last, limit   int
	bytes         int
}

// page is the answer to an ask.
type page struct {
	epoch   string
	head    uint64
	floor   uint64 // who stands before it cannot go on: what comes next is gone
	entries []*channel.Entry
	more    bool
}

// read reads a page. It blocks, unless the broker is immediate.
func (s *Server) read(ctx context.Context, a ask, t node.Target) (page, error) {
	if a.state {
		p, err := s.node.State(ctx, a.channel, t, broker.StateRange{After: a.after, Limit: a.limit, Bytes: a.bytes})
		return page{p.Epoch, p.Head, p.Forgotten, p.Entries, p.More}, err
	}
	p, err := s.node.Read(ctx, a.channel, t, broker.Range{After: a.after, Before: a.before, Last: a.last, Limit: a.limit, Bytes: a.bytes})
	return page{p.Epoch, p.Head, p.Oldest, p.Entries, p.More}, err
}

// readTimeout bounds one page, so that a store that hangs does not keep the few
// that may be read at a time.
const readTimeout = 10 * time.Second

// reads are the pages that this server's sessions want of a store that is not
// in memory. Only so many are read at a time; the others stand in line, which
// costs them their place in it and nothing else. Who asks for what somebody
// waits for already shares the answer: after an outage all ask for the same.
type reads struct {
	server *Server

	mu      sync.Mutex
	workers int
	line    []*read
	open    map[ask]*read // what another may join
}

// read is one page on its way.
type read struct {
	ask    ask
	target node.Target
	begun  bool
	done   []func(page, error)
}

// page calls done on the loop with the page, at once if it is to be had at once.
// It may be one that was begun before, for somebody else, if old is allowed: that
// does for who goes on reading anyway, but not for who wants to see what was
// acknowledged a moment ago.
func (h *hub) page(a ask, t node.Target, old bool, done func(page, error)) {
	var got page
	h.here(func(answer func(error)) {
		h.server.reads.add(a, t, old, func(p page, err error) { got = p; answer(err) })
	}, func(err error) { done(got, err) })
}

// here calls start, whose answer is called once, on any goroutine and perhaps
// before start returns, and then runs then on the loop: at once if the answer came
// before start returned.
func (h *hub) here(start func(answer func(error)), then func(err error)) {
	const (
		returned = 1
		answered = 2
	)
	var state atomic.Int32
	var result error
	start(func(err error) {
		if result = err; !state.CompareAndSwap(0, answered) {
			h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { then(result) }))
		}
	})
	if !state.CompareAndSwap(0, returned) {
		then(result)
	}
}

// add reads a page and tells done: before it returns if nothing here blocks, and
// otherwise from another goroutine, in its turn.
func (r *reads) add(a ask, t node.Target, old bool, done func(page, error)) {
	if r.server.node.Immediate() {
		done(r.server.read(r.server.ctx, a, t))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.open[a]; q != nil && (old || !q.begun) {
		r.server.metrics.ReadsShared.Add(1)
		q.done = append(q.done, done)
		return
	}
	q := &read{ask: a, target: t, done: []func(page, error){done}}
	if r.open == nil {
		r.open = make(map[ask]*read)
	}
	r.open[a] = q
	r.line = append(r.line, q)
	if r.workers < r.server.Limits().Recoveries {
		r.workers++
		r.server.work.Go(r.work)
	}
}

// work reads what stands in line until nothing does.
func (r *reads) work() {
	for q := r.next(); q != nil; q = r.next() {
		var p page
		err := r.server.guard(func(ctx context.Context) (err error) {
			ctx, cancel := context.WithTimeout(ctx, readTimeout)
			defer cancel()
			if err = ctx.Err(); err == nil {
				p, err = r.server.read(ctx, q.ask, q.target)
			}
			return err
		})
		r.server.metrics.Reads.Add(1)
		waiting := r.finish(q) // from here on nobody joins
		if err != nil && r.server.ctx.Err() == nil {
			r.server.log.Warn("reading what a channel keeps failed", "channel", q.ask.channel, "subscribers", len(waiting), "error", err)
		}
		for _, done := range waiting {
			done(p, err)
		}
	}
}

// next takes the first of the line, nil if there is none for this worker.
func (r *reads) next() *read {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.line) == 0 || r.workers > r.server.Limits().Recoveries {
		r.workers--
		return nil
	}
	q := r.line[0]
	r.line[0] = nil
	if r.line = r.line[1:]; len(r.line) == 0 {
		r.line = nil
	}
	q.begun = true
	return q
}

// finish ends the joining and returns who is to be told.
func (r *reads) finish(q *read) []func(page, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[q.ask] == q {
		delete(r.open, q.ask)
	}
	return q.done
}

// again is the sessions that wait to try a read anew that has failed.
type again struct {
	hub      *hub
	timer    reactor.Timer
	sessions []*Session
}

const retryAfter = time.Second

func (a *again) add(x *Session) {
	if len(a.sessions) == 0 {
		a.hub.loop.Arm(&a.timer, retryAfter, a)
	}
	a.sessions = append(a.sessions, x)
}

// Fire lets them try again.
func (a *again) Fire(*reactor.Loop) {
	sessions := a.sessions
	a.sessions = nil
	for _, x := range sessions {
		x.schedule()
	}
}
