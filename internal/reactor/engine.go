// Package reactor drives connections by event loops. It knows bytes only.
package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"
)

// Options make an Engine. Zero fields mean the defaults.
type Options struct {
	Engine       string // "epoll" (Linux), "std", or "" for the best there is
	Loops        int    // default GOMAXPROCS
	SendBuffer   int    // bytes asked of the kernel for each socket (it doubles them). Default 64 KiB
	NotSentLowat int    // bytes that may wait unsent in the kernel. Default 16 KiB
	ReadBuffer   int    // bytes that one read takes at most. Default 64 KiB
	Logger       *slog.Logger
}

// ErrStopped is returned by Add when the engine does not run.
var ErrStopped = errors.New("reactor: the engine does not run")

// Engine is a set of loops. Its methods are safe for concurrent use.
type Engine struct {
	opts  Options
	name  string
	loops []*Loop
	large sync.Pool // read buffers of busy peers

	mu      sync.Mutex
	state   engineState
	work    sync.WaitGroup // readers and writers
	stopped chan struct{}
}

type engineState uint8

const (
	fresh engineState = iota
	running
	stopping
)

// New makes an engine that is not started.
func New(o Options) (*Engine, error) {
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	o.Loops = min(o.Loops, 256) // connection ids have one byte for the loop
	if o.SendBuffer <= 0 {
		o.SendBuffer = 64 << 10
	}
	if o.NotSentLowat <= 0 {
		o.NotSentLowat = 16 << 10
	}
	if o.ReadBuffer <= 0 {
		o.ReadBuffer = 64 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	e := &Engine{opts: o, name: o.Engine, stopped: make(chan struct{})}
	if e.name == "" {
		e.name = best
	}
	if e.name != best && e.name != "std" {
		return nil, fmt.Errorf("reactor: there is no engine %q here; use std or leave it out", e.name)
	}
	e.large.New = func() any { return make([]byte, min(o.ReadBuffer, 32<<10)) }
	for i := range o.Loops {
		l := &Loop{engine: e, index: i, log: o.Logger, epoch: time.Now(), ended: make(chan struct{}), scratch: make([]byte, 0, 4096)}
		l.now = l.epoch
		var err error
		if e.name == "std" {
			l.poll = newSignal()
		} else if l.poll, err = newPoller(); err != nil {
			for _, made := range e.loops {
				made.poll.close()
			}
			return nil, err
		}
		e.loops = append(e.loops, l)
	}
	return e, nil
}

// Name returns "epoll" or "std".
func (e *Engine) Name() string { return e.name }

// Loops returns the loops. The slice is not to be changed.
func (e *Engine) Loops() []*Loop { return e.loops }

// Connections returns how many connections there are.
func (e *Engine) Connections() int {
	n := int64(0)
	for _, l := range e.loops {
		n += l.conns.Load()
	}
	return int(n)
}

// Start starts the loops. An engine is started once.
func (e *Engine) Start(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != fresh {
		return errors.New("reactor: an engine is started once")
	}
	e.state = running
	for _, l := range e.loops {
		go l.run()
	}
	return nil
}

// Stop closes every connection, ends the loops and waits for all goroutines, at
// most until ctx ends. It may be called again, and before Start.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	was := e.state
	e.state = stopping
	e.mu.Unlock()
	switch was {
	case fresh:
		for _, l := range e.loops {
			l.mail.close()
			l.poll.close()
		}
		close(e.stopped)
	case running:
		for _, l := range e.loops {
			l.Post(TaskFunc(func(l *Loop) {
				l.table.each(func(c *Conn) { c.Close(ErrStopped) })
				l.stopped = true
			}))
		}
		go func() {
			for _, l := range e.loops {
				<-l.ended
			}
			e.work.Wait()
			close(e.stopped)
		}()
	}
	select {
	case <-e.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Add takes nc over, with leftover, which are bytes that came behind the
// upgrade. On a loop (the one with the fewest connections) it calls open, then
// Data with leftover. A *net.TCPConn is polled as a bare descriptor where the
// engine can, and nc is closed; any other is driven by goroutines. nc is closed
// when Add fails.
func (e *Engine) Add(nc net.Conn, leftover []byte, open func(c *Conn) Handler) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != running {
		nc.Close()
		return ErrStopped
	}
	l := e.loops[0]
	for _, other := range e.loops[1:] {
		if other.conns.Load() < l.conns.Load() {
			l = other
		}
	}
	n := &newcomer{nc: nc, fd: -1, leftover: leftover, open: open}
	if t, ok := nc.(*net.TCPConn); ok && e.name != "std" {
		fd, err := detach(t, e.opts)
		if err != nil {
			return err
		}
		n.fd = fd
	} else if ok {
		_ = t.SetWriteBuffer(e.opts.SendBuffer)
		_ = t.SetDeadline(time.Time{})
		setLowat(t, e.opts.NotSentLowat)
	} else {
		_ = nc.SetDeadline(time.Time{})
	}
	l.conns.Add(1)
	l.Post(n) // the loop runs as long as e.mu says so
	return nil
}

// newcomer is a connection on its way to its loop.
type newcomer struct {
	nc       net.Conn
	fd       int32
	leftover []byte
	open     func(c *Conn) Handler
}

// Run gives it a slot.
func (n *newcomer) Run(l *Loop) {
	c := l.table.take()
	c.loop, c.fd = l, n.fd
	if n.fd < 0 {
		c.peer = newPeer(l, n.nc)
		c.peer.conn = c
	}
	if l.stopped {
		c.Close(ErrStopped)
		return
	}
	l.open(c, n.open)
	if !c.used || c.closed {
		return
	}
	generation := c.generation
	if len(n.leftover) > 0 {
		l.data(c, n.leftover)
		if c.generation != generation {
			return
		}
	}
	if c.peer != nil {
		p := c.peer
		l.engine.work.Add(1)
		go func() {
			defer l.engine.work.Done()
			p.readAll(&l.engine.large)
		}()
		return
	}
	if err := l.poll.(watcher).add(c); err != nil {
		c.Close(err)
	}
}
