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

// Linger is for a last word that the peer is to answer: what waits is written,
// what is sent from now on is ignored, and Drained is not called, but what comes
// in still goes to Data, even from a peer that does not read. The connection
// closes when the peer ends its side, after grace at the latest, or with Finish
// or CloseAfterFlush.
func (c *Conn) Linger(grace time.Duration) {
	if !c.closed && !c.ending {
		c.end(grace)
		c.hearing = !c.closed
	}
}

// CloseAfterFlush writes what waits, ends our side of the stream, and closes
// when the peer has ended its own, or after grace at the latest: closing sooner
// could make the kernel reset the stream under the last words. What comes in
// meanwhile is thrown away, what is sent is ignored, and Drained is not called.
func (c *Conn) CloseAfterFlush(grace time.Duration) {
	if c.closed || c.ending && !c.hearing {
		return
	}
	c.end(grace)
	c.hearing = false
	if !c.closed && c.backlog == nil {
		c.shutdown()
	}
}

// Finish writes what waits and then closes: there is nothing more to come from
// the peer that would be heard, so its end is not waited for. A peer that takes
// nothing has a moment.
func (c *Conn) Finish() {
	c.flush()
	if !c.closed {
		c.hearing = false
		c.hangUp(io.EOF)
	}
}

// end lets what waits be the last that is sent.
func (c *Conn) end(grace time.Duration) {
	c.flush()
	if c.closed || c.ending {
		return // it waits already
	}
	c.ending = true
	c.linger = &linger{conn: c}
	c.loop.Arm(&c.linger.timer, grace, c.linger)
	c.interest()
}

// linger is the wait of Linger and CloseAfterFlush.
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

// ended is for a peer that has ended its side (err io.EOF) or is gone.
func (c *Conn) ended(err error) {
	c.hangUp(err)
	c.loop.settle()
}

// hangUp closes, but not before a peer that only ended its side was given what it
// is owed: it may still read.
func (c *Conn) hangUp(err error) {
	switch {
	case !errors.Is(err, io.EOF) || !c.owes():
		c.Close(err)
		return
	case c.ending:
		c.hungUp = true
		if c.backlog == nil {
			c.shutdown()
		}
	default:
		c.hungUp = true
		c.CloseAfterFlush(mostOwed)
	}
	c.interest()
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
