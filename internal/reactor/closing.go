package reactor

import (
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

// Fire closes a connection whose peer did not end its side.
func (w *linger) Fire(*Loop) { w.conn.Close(nil) }

// shutdown ends our side of the stream.
func (c *Conn) shutdown() {
	if c.peer != nil {
		c.peer.finish()
		return
	}
	shutdownFD(c.fd)
}

// ended is for a peer that has ended its side (err io.EOF) or is gone.
func (c *Conn) ended(err error) {
	c.Close(err)
	c.loop.settle()
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
	l.table.give(c)
	l.conns.Add(-1)
}
