package reactor

import (
	"errors"
	"io"
	"time"
)

// Close closes at once: what is blocked is dropped. Closed is called with err
// when the current callback has ended. Only the first call counts.
func (c *Conn) Close(err error) {
	if c.closed {
		return
	}
	c.closed = true
	c.cause = err
	c.loop.dying = append(c.loop.dying, c)
}

// CloseAfterFlush writes what waits, ends our side of the stream, and closes
// when the peer has ended its own, or after grace at the latest: closing sooner
// could make the kernel reset the stream under the last words. What comes in
// meanwhile is thrown away, what is sent is ignored, and Drained is not called.
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

// Fire closes a connection whose peer did not end its side, or does not take what
// it is owed.
func (w *linger) Fire(*Loop) { w.conn.Close(nil) }

// shutdown ends our side of the stream, as everything was written.
func (c *Conn) shutdown() {
	switch {
	case c.peer != nil:
		c.peer.finish()
	case c.hungUp:
		c.Close(io.EOF)
	default:
		shutdownFD(c.fd)
	}
}

// mostOwed is how long a peer that has ended its side may take to read what was
// sent to it before.
const mostOwed = 5 * time.Second

// ended is for a peer that has ended its side (err io.EOF) or is gone. One that
// only ended its side may still read.
func (c *Conn) ended(err error) {
	switch {
	case !errors.Is(err, io.EOF) || !c.owes():
		c.Close(err)
	case c.ending:
		c.hungUp = true
		c.interest()
	default:
		c.hungUp = true
		c.CloseAfterFlush(mostOwed)
	}
	c.loop.settle()
}

// owes reports that there are bytes which are neither with the peer nor in the
// kernel.
func (c *Conn) owes() bool {
	if c.peer != nil {
		return c.peer.hangUp() || c.backlog != nil
	}
	return c.backlog != nil
}

// settle ends a callback: what it sent leaves, and whom it closed is buried,
// which are callbacks again.
func (l *Loop) settle() {
	for {
		l.flush()
		last := len(l.dying) - 1
		if last < 0 {
			break
		}
		c := l.dying[last]
		l.dying[last] = nil
		l.dying = l.dying[:last]
		l.bury(c)
	}
	if cap(l.dying) > 4*chunk {
		l.dying = nil
	}
}

// release gives back all that a connection holds.
func (l *Loop) release(c *Conn) {
	if c.linger != nil {
		l.Disarm(&c.linger.timer)
	}
	if c.peer != nil {
		c.peer.close()
	} else {
		closeFD(c.fd)
	}
	if c.held != nil {
		c.held.Release()
	}
	l.table.give(c)
	l.conns.Add(-1)
}
