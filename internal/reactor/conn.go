package reactor

import (
	"io"
	"net/netip"
	"time"
)

// Handler is told what happens to a connection, on its loop.
type Handler interface {
	// Data is called with bytes that came in. p is valid and may be overwritten
	// during the call only.
	Data(c *Conn, p []byte)
	// Drained is called when c is no longer blocked.
	Drained(c *Conn)
	// Closed is the last call. err is nil or io.EOF when the peer closed in order.
	Closed(c *Conn, err error)
}

// Conn is one connection: a slot of its loop's table, used again after Closed.
// All methods are for its loop only.
type Conn struct {
	loop     *Loop
	handler  Handler
	peer     *peer    // drives it with goroutines; nil: fd does
	backlog  *backlog // nil: the socket has taken everything
	cause    error    // why it is being closed
	linger   *linger  // the wait of CloseAfterFlush
	next     *Conn    // in the list of free slots
	lastRead int64    // nanoseconds since loop.epoch
	lastSent int64

	fd         int32
	index      uint32
	generation uint32
	armed      uint32 // the events that the poller was asked for
	used       bool
	closed     bool // Close was called; Closed may be still to come
	ending     bool // CloseAfterFlush was called
	paused     bool
}

// Loop returns the loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// Send writes p. What cannot leave at once is copied. Sends within one Data call
// of the connection leave in one write at its end.
func (c *Conn) Send(p []byte) {
	switch {
	case c.closed || c.ending:
	case c.backlog != nil:
		c.backlog.addCopy(p)
	case c.loop.current == c:
		c.loop.out = append(c.loop.out, p...)
		if len(c.loop.out) >= mostCollected {
			c.flush()
		}
	default:
		if n := c.write(p); n < len(p) {
			c.block(p[n:], true)
		}
	}
}

// mostCollected bounds what the sends of one callback are collected to.
const mostCollected = 64 << 10

// Share writes p, which never changes: of what cannot leave at once only a
// reference is kept.
func (c *Conn) Share(p []byte) {
	if c.closed || c.ending {
		return
	}
	c.flush()
	if c.backlog != nil {
		c.backlog.addShared(p)
		return
	}
	if n := c.write(p); n < len(p) {
		c.block(p[n:], false)
	}
}

// Offer writes as much of p as can leave now and returns the count. It keeps
// nothing of p. Who is left with a rest shares the part that must follow, which
// makes Drained come; while the connection is blocked Offer takes nothing.
func (c *Conn) Offer(p []byte) int {
	if c.closed || c.ending {
		return len(p)
	}
	c.flush()
	if c.backlog != nil {
		return 0
	}
	return c.write(p)
}

// flush writes what the sends of this callback collected.
func (c *Conn) flush() {
	l := c.loop
	if l.current != c || len(l.out) == 0 {
		return
	}
	if n := c.write(l.out); n < len(l.out) {
		c.block(l.out[n:], true)
	}
	l.out = l.out[:0]
}

// write gives p to the kernel, or to the goroutine that writes. An error closes
// the connection and counts as written: nobody is to wait for it.
func (c *Conn) write(p []byte) int {
	if len(p) == 0 {
		return 0
	}
	var n int
	var err error
	if c.peer != nil {
		n = c.peer.offer(p)
	} else {
		n, err = writeFD(c.fd, p)
	}
	if err != nil {
		c.Close(err)
		return len(p)
	}
	if n > 0 {
		c.lastSent = c.loop.stamp()
	}
	return n
}

// block begins a backlog. The connection is not read from until it is gone: a
// peer that does not read shall not make us hold answers for it.
func (c *Conn) block(rest []byte, copied bool) {
	if c.closed {
		return
	}
	c.backlog = &backlog{}
	if copied {
		c.backlog.addCopy(rest)
	} else {
		c.backlog.addShared(rest)
	}
	c.interest()
}

// Blocked reports that something waits for the peer to read.
func (c *Conn) Blocked() bool { return c.backlog != nil }

// Pending returns how many bytes wait.
func (c *Conn) Pending() int {
	if c.backlog == nil {
		return 0
	}
	return c.backlog.bytes
}

// writable goes on with the backlog.
func (c *Conn) writable() {
	b := c.backlog
	if b == nil || c.closed {
		return
	}
	for len(b.parts) > 0 {
		p := b.parts[0]
		n := c.write(p)
		if c.closed {
			return
		}
		b.written(n)
		if n < len(p) {
			return
		}
	}
	c.backlog = nil
	c.interest()
	if c.ending {
		c.shutdown()
		return
	}
	c.handler.Drained(c)
}

// PauseRead stops reading. Data may still be called once, with what was read.
func (c *Conn) PauseRead() { c.paused = true; c.interest() }

// ResumeRead reads again.
func (c *Conn) ResumeRead() { c.paused = false; c.interest() }

// reading reports whether the connection is to be read from.
func (c *Conn) reading() bool {
	return !c.paused && c.backlog == nil || c.ending
}

// interest tells the poller what to watch for.
func (c *Conn) interest() {
	switch {
	case c.closed:
	case c.peer != nil:
		c.peer.resume(c)
	default:
		c.loop.poll.(watcher).watch(c)
	}
}

// watcher is a poller of descriptors.
type watcher interface {
	add(c *Conn) error
	watch(c *Conn)
}

// CloseAfterFlush writes what waits, ends our side of the stream, and closes
// when the peer has ended its own, or after grace at the latest. Data is no
// longer called.
func (c *Conn) CloseAfterFlush(grace time.Duration) {
	if c.closed || c.ending {
		return
	}
	c.flush()
	if c.closed {
		return
	}
	c.ending = true
	c.linger = &linger{conn: c}
	c.loop.Arm(&c.linger.timer, grace, c.linger)
	if c.backlog == nil {
		c.shutdown()
	}
	c.interest()
}

// linger is the wait of CloseAfterFlush.
type linger struct {
	timer Timer
	conn  *Conn
}

// Fire closes a connection whose peer did not end its side.
func (e *linger) Fire(*Loop) { e.conn.Close(e.conn.cause) }

func (c *Conn) shutdown() {
	if c.peer != nil {
		c.peer.finish()
		return
	}
	shutdownFD(c.fd)
}

// Close closes at once. Closed is called when the current callback has ended.
func (c *Conn) Close(err error) {
	if c.closed {
		return
	}
	c.closed = true
	c.cause = err
	c.loop.dying = append(c.loop.dying, c)
}

// reap ends the connections that were closed.
func (l *Loop) reap() {
	for len(l.dying) > 0 {
		c := l.dying[len(l.dying)-1]
		l.dying = l.dying[:len(l.dying)-1]
		l.bury(c)
	}
}

func (l *Loop) bury(c *Conn) {
	defer l.caught("Closed", nil)
	defer func() {
		l.table.give(c)
		l.conns.Add(-1)
	}()
	if c.linger != nil {
		l.Disarm(&c.linger.timer)
	}
	if c.peer != nil {
		c.peer.close()
	} else {
		closeFD(c.fd)
	}
	if c.handler != nil {
		c.handler.Closed(c, c.cause)
	}
}

// data gives what was read to the handler.
func (l *Loop) data(c *Conn, p []byte) {
	c.lastRead = l.stamp()
	if c.closed || c.ending {
		return
	}
	l.current = c
	defer l.done(c)
	defer l.caught("Data", c)
	c.handler.Data(c, p)
}

// open makes the handler of a new connection.
func (l *Loop) open(c *Conn, open func(c *Conn) Handler) {
	c.lastRead = l.stamp()
	c.lastSent = c.lastRead
	l.current = c
	defer l.done(c)
	defer l.caught("open", c)
	c.handler = open(c)
}

// done ends a callback: what was sent in it leaves.
func (l *Loop) done(c *Conn) {
	c.flush()
	l.current = nil
	if cap(l.out) > 4*mostCollected {
		l.out = nil
	}
	l.out = l.out[:0]
	l.reap()
}

func (l *Loop) drain(c *Conn) {
	defer l.reap()
	defer l.caught("Drained", c)
	c.writable()
}

// ended is for a peer that has ended its side, or is gone.
func (c *Conn) ended(err error) {
	if err == nil {
		err = io.EOF
	}
	c.Close(err)
}

func (l *Loop) stamp() int64 { return int64(l.now.Sub(l.epoch)) }

// LastRead returns when the last bytes came in, to the turn of the loop.
func (c *Conn) LastRead() time.Time { return c.loop.epoch.Add(time.Duration(c.lastRead)) }

// LastWrite returns when the last bytes were taken from us, to the turn of the loop.
func (c *Conn) LastWrite() time.Time {
	if c.peer != nil {
		return c.loop.epoch.Add(time.Duration(max(c.lastSent, c.peer.wrote.Load())))
	}
	return c.loop.epoch.Add(time.Duration(c.lastSent))
}

// RemoteAddr returns the peer's address, the zero value if it has none.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if c.peer != nil {
		return c.peer.remote()
	}
	return remoteFD(c.fd)
}

// Dead reports that the kernel has given up hope for the peer: it acknowledges
// nothing although we send again and again. A peer that merely does not read is
// not dead. False where the kernel cannot tell.
func (c *Conn) Dead() bool { return c.peer == nil && deadFD(c.fd) }
