package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// ErrStopped is returned by Add when the engine does not run, and is what
// connections are closed with by Stop.
var ErrStopped = errors.New("reactor: the engine does not run")

// Engine is a set of loops. Its methods are safe for concurrent use.
type Engine struct {
	opts  Options
	loops []*Loop
	large sync.Pool // *[]byte, read buffers of busy peers

	mu      sync.RWMutex // held for reading while something is added
	state   engineState
	work    sync.WaitGroup // the goroutines of peers
	stopped chan struct{}  // closed when everything has ended
}

type engineState uint8

const (
	fresh engineState = iota
	running
	stopping
)

// New makes an engine that is not started. One that never is has to be stopped
// all the same: it holds descriptors.
func New(o Options) (*Engine, error) {
	o = o.withDefaults()
	if o.Engine != best && o.Engine != "std" {
		return nil, fmt.Errorf("reactor: there is no engine %q here; use std or leave it out", o.Engine)
	}
	e := &Engine{opts: o, stopped: make(chan struct{})}
	e.large.New = func() any { b := make([]byte, min(o.ReadBuffer, largeRead)); return &b }
	for i := range o.Loops {
		l, err := newLoop(e, i)
		if err != nil {
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
func (e *Engine) Name() string { return e.opts.Engine }

// Loops returns the loops. The slice is not to be changed.
func (e *Engine) Loops() []*Loop { return e.loops }

// Connections returns how many connections there are, those included that are
// still on their way to a loop.
func (e *Engine) Connections() int {
	n := int64(0)
	for _, l := range e.loops {
		n += l.conns.Load()
	}
	return int(n)
}

// Start starts the loops. An engine is started once; ctx is not kept.
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

// Stop closes every connection with ErrStopped, ends the loops and waits for all
// goroutines, at most until ctx ends; then it returns ctx's error and the rest
// goes on by itself. It may be called again, by several at once, and before
// Start. On a loop it would wait for itself.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	was := e.state
	e.state = stopping
	e.mu.Unlock()
	if was != stopping {
		for _, l := range e.loops {
			if was == fresh {
				l.stopped = true
				go l.run() // only what was posted already
			} else {
				// Whoever was adding has posted: no newcomer comes behind this.
				l.Post(TaskFunc((*Loop).stop))
			}
		}
		go e.await()
	}
	select {
	case <-e.stopped:
		return nil
	default:
	}
	select {
	case <-e.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await tells when everything has ended.
func (e *Engine) await() {
	for _, l := range e.loops {
		<-l.ended
	}
	e.work.Wait()
	close(e.stopped)
}

// Accepted is a connection that somebody counts from when it was accepted to when
// its socket is closed.
type Accepted interface {
	net.Conn
	// Take returns what is to be driven in its place, and what is to be told when
	// that is closed; nil: nobody is.
	Take() (net.Conn, Held)
}

// Held is told once that a socket was closed, from any goroutine.
type Held interface{ Release() }

// Add takes nc over, and with it leftover, the bytes that came behind the
// upgrade. On a loop (the one with the fewest connections) it calls open, then
// Data with leftover, even if open has paused reading. A *net.TCPConn is polled
// as a bare descriptor where the engine can, which takes a second descriptor for
// a moment; any other connection is driven by goroutines. When Add fails, nc is
// closed and open is not called.
func (e *Engine) Add(nc net.Conn, leftover []byte, open func(c *Conn) Handler) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.state != running {
		nc.Close()
		return ErrStopped
	}
	n := &newcomer{fd: noFD, leftover: leftover, open: open}
	if a, ok := nc.(Accepted); ok {
		nc, n.held = a.Take()
	}
	n.nc = nc
	if t, ok := nc.(*net.TCPConn); ok && e.opts.Engine != "std" {
		fd, err := detach(t, e.opts)
		if err != nil {
			if n.held != nil {
				n.held.Release()
			}
			return err
		}
		n.nc, n.fd = nil, fd
	} else {
		_ = nc.SetDeadline(time.Time{})
		if t, ok := bare(nc).(*net.TCPConn); ok {
			_ = t.SetWriteBuffer(e.opts.SendBuffer)
			setLowat(t, e.opts.NotSentLowat)
		}
	}
	l := e.quietest()
	l.conns.Add(1)
	l.Post(n) // it is taken: the loop runs as long as e.mu says so
	return nil
}

// quietest returns the loop with the fewest connections.
func (e *Engine) quietest() *Loop {
	best, fewest := e.loops[0], e.loops[0].conns.Load()
	for _, l := range e.loops[1:] {
		if n := l.conns.Load(); n < fewest {
			best, fewest = l, n
		}
	}
	return best
}

// newcomer is a connection on its way to its loop: a descriptor, or else nc.
type newcomer struct {
	nc       net.Conn
	fd       int32
	held     Held
	leftover []byte
	open     func(c *Conn) Handler
}

// Run gives it a slot, on the loop.
func (n *newcomer) Run(l *Loop) {
	c := l.table.take(l)
	c.fd, c.held = n.fd, n.held
	if n.nc != nil {
		c.peer = newPeer(c, n.nc)
	}
	generation := c.generation
	l.open(c, n.open)
	if c.generation == generation && len(n.leftover) > 0 {
		l.data(c, n.leftover)
	}
	if c.generation != generation {
		return // closed, and the slot was given back
	}
	if c.peer != nil {
		c.peer.start()
	} else if err := l.poll.(watcher).add(c); err != nil {
		c.Close(err)
	}
}
