package delivery

import (
	"context"
	"sync"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
)

// ask names a page of a channel.
type ask struct {
	channel string
	channel.Ask
}

// read reads a page. It blocks, unless the broker is immediate.
func (s *Service) read(ctx context.Context, a ask, t node.Target) (channel.Page, error) {
	if a.State {
		p, err := s.node.State(ctx, a.channel, t, broker.StateRange{After: a.After, Limit: a.Limit, Bytes: a.Bytes})
		return channel.Page{Epoch: p.Epoch, Head: p.Head, Floor: p.Forgotten, Entries: p.Entries, More: p.More}, err
	}
	p, err := s.node.Read(ctx, a.channel, t, broker.Range{After: a.After, Before: a.Before, Last: a.Last, Limit: a.Limit, Bytes: a.Bytes})
	return channel.Page{Epoch: p.Epoch, Head: p.Head, Floor: p.Oldest, Entries: p.Entries, More: p.More}, err
}

// readTimeout bounds one page, so that a store that hangs does not keep the few
// that may be read at a time.
const readTimeout = 10 * time.Second

// reads are the pages that are wanted of a store that is not in memory. Only so
// many are read at a time; the others stand in line, which costs them their place
// in it and nothing else. Who asks for what somebody waits for already shares the
// answer: after an outage all ask for the same.
type reads struct {
	service *Service
	most    func() int

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
	done   []func(channel.Page, error)
}

// Page calls done on the loop with a page, at once if it is to be had at once. It
// may be one that was begun before, for somebody else, if old is allowed: that does
// for who goes on reading anyway, but not for who wants to see what was acknowledged
// a moment ago.
func (h *Hub) Page(name string, t node.Target, a channel.Ask, old bool, done func(channel.Page, error)) {
	var got channel.Page
	h.loop.Here(func(answer func(error)) {
		h.service.reads.add(ask{name, a}, t, old, func(p channel.Page, err error) { got = p; answer(err) })
	}, func(err error) { done(got, err) })
}

// add reads a page and tells done: before it returns if nothing here blocks, and
// otherwise from another goroutine, in its turn.
func (r *reads) add(a ask, t node.Target, old bool, done func(channel.Page, error)) {
	if r.service.node.Immediate() {
		done(r.service.read(r.service.ctx, a, t))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q := r.open[a]; q != nil && (old || !q.begun) {
		r.service.metrics.ReadsShared.Add(1)
		q.done = append(q.done, done)
		return
	}
	q := &read{ask: a, target: t, done: []func(channel.Page, error){done}}
	if r.open == nil {
		r.open = make(map[ask]*read)
	}
	r.open[a] = q
	r.line = append(r.line, q)
	if r.workers < r.most() {
		r.workers++
		r.service.work.Go(r.work)
	}
}

// work reads what stands in line until nothing does.
func (r *reads) work() {
	s := r.service
	for q := r.next(); q != nil; q = r.next() {
		var p channel.Page
		err := s.guard(func() (err error) {
			ctx, cancel := context.WithTimeout(s.ctx, readTimeout)
			defer cancel()
			if err = ctx.Err(); err == nil {
				p, err = s.read(ctx, q.ask, q.target)
			}
			return err
		})
		s.metrics.Reads.Add(1)
		waiting := r.finish(q) // from here on nobody joins
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("reading what a channel keeps failed", "channel", q.ask.channel, "subscribers", len(waiting), "error", err)
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
	if len(r.line) == 0 || r.workers > r.most() {
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
func (r *reads) finish(q *read) []func(channel.Page, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[q.ask] == q {
		delete(r.open, q.ask)
	}
	return q.done
}

// again is the subscribers that wait to try a read anew that has failed.
type again struct {
	hub   *Hub
	timer reactor.Timer
	line  []*Subscriber
}

const retryAfter = time.Second

func (a *again) add(s *Subscriber) {
	if len(a.line) == 0 {
		a.hub.loop.Arm(&a.timer, retryAfter, a)
	}
	a.line = append(a.line, s)
}

// Fire lets them try again.
func (a *again) Fire(*reactor.Loop) {
	line := a.line
	a.line = nil
	for _, s := range line {
		s.schedule()
	}
}
