package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"ringdown/internal/channel"
	"ringdown/internal/lifecycle"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// Options make a Service. Node and Loops are needed.
type Options struct {
	Node  *node.Node
	Loops []*reactor.Loop
	// Reads is how many pages may be read at a time now from a store that is not in
	// memory. nil: 64.
	Reads  func() int
	Logger *slog.Logger
}

// Service is what the hubs of all loops share. Its methods are safe for concurrent
// use.
type Service struct {
	node    *node.Node
	log     *slog.Logger
	hubs    []*Hub
	metrics Metrics
	reads   reads

	ctx    context.Context // of the reads; ended by Stop
	cancel context.CancelFunc
	work   lifecycle.Crew
}

// Metrics counts what was delivered. Fields may be read at any time.
type Metrics struct {
	Deliveries  atomic.Uint64 // messages given to subscribers
	Gaps        atomic.Uint64 // told to subscribers
	Reads       atomic.Uint64 // pages read from a store that is not in memory
	ReadsShared atomic.Uint64 // asked for while another read the same
	Relists     atomic.Uint64 // lists of members, given to who was too slow for the changes
}

// New returns a service with a hub for each loop.
func New(o Options) *Service {
	if o.Reads == nil {
		o.Reads = func() int { return 64 }
	}
	s := &Service{node: o.Node, log: o.Logger}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.reads.service, s.reads.most = s, o.Reads
	for _, l := range o.Loops {
		s.hubs = append(s.hubs, newHub(s, l))
	}
	return s
}

// Hub returns the hub of a loop.
func (s *Service) Hub(l *reactor.Loop) *Hub { return s.hubs[l.Index()] }

// Metrics returns the counters of all hubs.
func (s *Service) Metrics() *Metrics { return &s.metrics }

// Stopped is closed when Stop was called.
func (s *Service) Stopped() <-chan struct{} { return s.ctx.Done() }

// Stop ends the reads that are under way. The loops have stopped before it.
func (s *Service) Stop(ctx context.Context) error {
	s.cancel()
	return s.work.Wait(ctx)
}

// Page reads a page for a caller that is no subscriber, in its turn with theirs,
// and waits for it.
func (s *Service) Page(ctx context.Context, name string, t node.Target, a channel.Ask) (channel.Page, error) {
	type answer struct {
		page channel.Page
		err  error
	}
	got := make(chan answer, 1)
	s.reads.add(ask{name, a}, t, false, func(p channel.Page, err error) { got <- answer{p, err} })
	select {
	case g := <-got:
		return g.page, g.err
	case <-ctx.Done():
		return channel.Page{}, &protocol.Error{Code: protocol.CodeTimeout, Retryable: true, Message: "the store did not answer in time"}
	}
}

// guard calls read, and makes an error of a panic.
func (s *Service) guard(read func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("reading a page panicked", "panic", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("reading a page panicked: %v", cause)
		}
	}()
	return read()
}
