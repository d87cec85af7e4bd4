package front

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// timeouts are how long a client may take while it speaks HTTP.
type timeouts struct {
	header time.Duration // for a request without its body
	body   time.Duration // for a request with it
	step   time.Duration // to take the next stepSize bytes of an answer
	answer time.Duration // to take a whole answer
	spare  time.Duration // before it counts as one that can be spared
	stop   time.Duration // for a request that is under way when the server stops
}

var defaultTimeouts = timeouts{
	header: 5 * time.Second,
	body:   20 * time.Second,
	step:   20 * time.Second,
	answer: 2 * time.Minute,
	spare:  time.Second,
	stop:   3 * time.Second,
}

// stepSize is small enough for a slow line, and large enough that a client that
// takes a byte now and then is not taken for one.
const stepSize = 16 << 10

// Conn is an accepted socket, and its place.
type Conn struct {
	net.Conn
	front     *Front
	place     *place
	speaksFor *place // the host that a proxy made the upgraded request for; guarded by front.mu

	gone  atomic.Bool  // its place was given back, or went with the socket
	state atomic.Int32 // an http.ConnState
	since atomic.Int64 // when it came to that state
	heard atomic.Bool  // something of a first request has come

	// Since when the client is waited for: to take what is written, or to send the
	// rest of a body. 0: it is not.
	writing, reading atomic.Int64
	answering        atomic.Int64 // when the answer began; 0: it did not
	unread           atomic.Int64 // bytes of what is being written
}

var _ reactor.Accepted = (*Conn)(nil)

// Write gives the client some time for each part, so that one that takes nothing
// is told from one whose line is slow.
func (c *Conn) Write(p []byte) (int, error) {
	f, total := c.front, 0
	if err := f.owe(c, len(p)); err != nil {
		return 0, err
	}
	defer f.paid(c)
	for {
		part := p[:min(len(p), stepSize)]
		now := f.now()
		c.answering.CompareAndSwap(0, int64(now))
		end := min(now+f.limits.step, time.Duration(c.answering.Load())+f.limits.answer)
		_ = c.SetWriteDeadline(f.began.Add(end)) // the write says what is wrong
		c.writing.Store(int64(now))
		n, err := c.Conn.Write(part)
		c.writing.Store(0)
		total += n
		p = p[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) && f.now() >= end {
			f.metrics.Stalled.Add(1)
			c.abort()
			f.note(c.place, protocol.Errorf(protocol.CodeTimeout, "the client does not take its answer, and the connection is closed").WithReason("slow_reader"))
		}
		if err != nil || len(p) == 0 {
			return total, err
		}
	}
}

// Read notes that a request does not come to the end of its header in time.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	if err != nil && http.ConnState(c.state.Load()) == http.StateNew && c.heard.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		c.front.metrics.Stalled.Add(1)
		c.front.note(c.place, protocol.Errorf(protocol.CodeTimeout, "a request did not come to the end of its header in time").WithReason("slow_request"))
	}
	return n, err
}

// CloseWrite ends our side of the stream. net/http does so before it closes, so that
// an answer is not lost with what the client still sends.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// abort lets the kernel forget what the client does not take, as soon as the socket
// is closed. Otherwise it keeps that for minutes.
func (c *Conn) abort() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // where it cannot be set, it is the system's
	}
}

// Close closes the socket and gives its place back.
func (c *Conn) Close() error {
	if c.gone.CompareAndSwap(false, true) {
		c.front.mu.Lock()
		c.front.leave(c)
		c.front.mu.Unlock()
	}
	return c.Conn.Close()
}

// Take implements reactor.Accepted: the place goes with the socket.
func (c *Conn) Take() (net.Conn, reactor.Held) {
	if !c.gone.CompareAndSwap(false, true) {
		return c.Conn, nil
	}
	c.front.mu.Lock()
	defer c.front.mu.Unlock()
	if client := c.speaksFor; client != nil {
		c.speaksFor = nil
		return c.Conn, &both{c.place, client}
	}
	return c.Conn, c.place
}

// Release implements reactor.Held for a socket of the host.
func (p *place) Release() {
	p.front.mu.Lock()
	defer p.front.mu.Unlock()
	p.front.sockets--
	p.front.give(p)
}

// both is the place of a proxy and that of the host whom it speaks for.
type both struct{ proxy, client *place }

// Release implements reactor.Held.
func (b *both) Release() {
	f := b.proxy.front
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sockets--
	f.give(b.proxy)
	f.give(b.client)
}

// enters is told by net/http what becomes of the connection.
func (c *Conn) enters(s http.ConnState) {
	switch s {
	case http.StateHijacked:
		c.front.mu.Lock()
		delete(c.front.speaking, c)
		c.front.mu.Unlock()
	case http.StateActive, http.StateIdle:
		c.answering.Store(0)
		c.reading.Store(0)
	}
	c.since.Store(int64(c.front.now()))
	c.state.Store(int32(s))
}

// spare reports that the connection can be closed when room is short, and how
// long it has waited: for its next request, for its first, or for its client to
// take or send what it should.
func (c *Conn) spare(now time.Duration) (wait time.Duration, ok bool) {
	wait = now - time.Duration(c.since.Load())
	switch http.ConnState(c.state.Load()) {
	case http.StateIdle:
		return wait, true
	case http.StateNew:
		return wait, wait > c.front.limits.spare
	case http.StateActive:
		if wait, ok = c.stuck(now); ok {
			return wait, true
		}
		at := c.reading.Load()
		wait = now - time.Duration(at)
		return wait, at > 0 && wait > c.front.limits.spare
	}
	return 0, false
}

// stuck reports that the client takes nothing of its answer, and for how long.
func (c *Conn) stuck(now time.Duration) (wait time.Duration, ok bool) {
	at := c.writing.Load()
	wait = now - time.Duration(at)
	return wait, at > 0 && wait > c.front.limits.spare
}
