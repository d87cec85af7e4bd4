package reactor

import (
	"net/netip"
	"time"
)

// Handler is told what happens to a connection, on its loop. Once Closed was
// called, nothing else is.
type Handler interface {
	// Data is called with bytes that came in. p is valid and may be overwritten
	// during the call only.
	Data(c *Conn, p []byte)
	// Drained is called when c is no longer blocked.
	Drained(c *Conn)
	// Closed is the last call, once for each connection. err is io.EOF when the
	// peer ended its side or Finish was called, nil when a grace ran out, a
	// *PanicError after a panic, and else what Close was given or what the
	// socket said. c is to be forgotten: its slot is used again.
	Closed(c *Conn, err error)
}

// Conn is one connection: a slot of its loop's table, used again after Closed.
// All methods are for its loop only.
type Conn struct {
	loop    *Loop // nil: the slot is free
	handler Handler
	peer    *peer    // drives it with goroutines; nil: fd does
	backlog *backlog // nil: not blocked
	held    Held     // told when the socket is closed; nil: nobody is
	cause   error    // for Closed
	linger  *linger  // the wait of Linger and CloseAfterFlush
	next    *Conn    // in the list of free slots

	lastRead  int64 // as Loop.stamp
	lastWrite int64 // of a descriptor; a peer keeps its own

	fd         int32
	index      uint32 // in the table, for ever
	generation uint32 // of this use of the slot
	armed      uint32 // what the poller watches for
	closed     bool   // Close was called; Closed may be still to come
	ending     bool   // nothing more is sent: Linger or CloseAfterFlush was called
	hearing    bool   // and what comes in is still heard: it was Linger
	hungUp     bool   // the peer has ended its side, but is owed bytes
	paused     bool
}

// noFD is the descriptor of a connection that goroutines drive.
const noFD = -1

// Loop returns the loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// RemoteAddr returns the peer's address (an IPv4 address as such, even on a
// socket for IPv6), or the zero value if it has none. It may cost a system call;
// a peer that is gone may have no address any more.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if c.peer != nil {
		return c.peer.remote()
	}
	return remoteFD(c.fd)
}

// Blocked reports that bytes wait for the peer to read. Meanwhile the connection
// is not read from either: a peer that does not read cannot make us hold answers
// for it.
func (c *Conn) Blocked() bool { return c.backlog != nil }

// Pending returns how many bytes wait while the connection is blocked. What the
// kernel holds, or the writer of a peer, is not counted.
func (c *Conn) Pending() int {
	if c.backlog == nil {
		return 0
	}
	return c.backlog.bytes
}

// PauseRead stops reading. If goroutines drive the connection, Data may still be
// called once, with what was read already. A peer that goes away in order is not
// noticed meanwhile.
func (c *Conn) PauseRead() { c.paused = true; c.interest() }

// ResumeRead reads again.
func (c *Conn) ResumeRead() { c.paused = false; c.interest() }

// reading reports whether the connection is to be read from. One that is ending
// always is: its peer may have to get rid of bytes before it reads ours.
func (c *Conn) reading() bool {
	return !c.hungUp && (c.ending || !c.paused && c.backlog == nil)
}

// interest tells who watches the connection what to watch for.
func (c *Conn) interest() {
	switch {
	case c.closed:
	case c.peer != nil:
		c.peer.resume()
	default:
		c.loop.poll.(watcher).watch(c)
	}
}

// watcher is a poller of descriptors.
type watcher interface {
	add(c *Conn) error
	watch(c *Conn)
}

// LastRead returns when the last bytes came in, to the turn of the loop.
func (c *Conn) LastRead() time.Time { return c.loop.epoch.Add(time.Duration(c.lastRead)) }

// LastWrite returns when the kernel last took bytes, to the turn of the loop. It
// does not move while the peer reads nothing and the kernel's buffer is full.
func (c *Conn) LastWrite() time.Time {
	last := c.lastWrite
	if c.peer != nil {
		last = max(last, c.peer.wrote.Load())
	}
	return c.loop.epoch.Add(time.Duration(last))
}

// Dead reports that the kernel sends again and again and hears nothing: the peer
// is gone without a word. One that merely does not read still answers the
// kernel, and is not dead. False where the kernel cannot tell.
func (c *Conn) Dead() bool {
	if c.peer != nil {
		return c.peer.dead()
	}
	return deadFD(c.fd)
}
