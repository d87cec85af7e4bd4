package reactor

// mostCollected bounds what the sends of one callback are collected to.
const mostCollected = 64 << 10

// mostDrained bounds what one turn takes off one backlog, so that a peer that
// reads as fast as we write does not keep the loop.
const mostDrained = 256 << 10

// Send writes p, which is the caller's again afterwards. What one callback sends
// to a connection leaves in one write, at its end or when the callback sends to
// another. What the socket does not take is kept as a copy.
func (c *Conn) Send(p []byte) {
	l := c.loop
	switch {
	case c.closed || c.ending:
		return
	case c.backlog != nil:
		c.backlog.add(p, false)
		return
	case l.sender != c:
		l.flush()
		l.sender = c
	}
	l.out = append(l.out, p...)
	if len(l.out) >= mostCollected {
		l.flush()
	}
}

// Share writes p, which must never change from now on: of what the socket does
// not take only a reference is kept. It comes after what was sent before.
func (c *Conn) Share(p []byte) {
	if c.closed || c.ending {
		return
	}
	c.flush()
	if c.backlog != nil {
		c.backlog.add(p, true)
		return
	}
	if n := c.write(p, true); n < len(p) {
		c.block(p[n:], true)
	}
}

// Offer writes as much of p as the socket takes now, after what was sent before,
// and returns the count; it is 0 while the connection is blocked. It keeps
// nothing of p. Who is left with a rest shares the part that must follow, which
// makes Drained come. A connection that is closed takes everything and forgets
// it: nobody is to wait for it.
func (c *Conn) Offer(p []byte) int {
	if c.closed || c.ending {
		return len(p)
	}
	c.flush()
	if c.backlog != nil {
		return 0
	}
	return c.write(p, false)
}

// flush lets go what this callback has sent to c.
func (c *Conn) flush() {
	if c.loop.sender == c {
		c.loop.flush()
	}
}

// flush writes what the sends of this callback have collected. A connection that
// was closed since gets its last words out if the socket takes them.
func (l *Loop) flush() {
	c := l.sender
	if c == nil {
		return
	}
	l.sender = nil
	if n := c.write(l.out, false); n < len(l.out) {
		c.block(l.out[n:], false)
	}
	if cap(l.out) > 4*mostCollected {
		l.out = nil
	}
	l.out = l.out[:0]
}

// write gives p to the kernel, or to the goroutine that writes, and returns how
// many bytes were taken. An error closes the connection and counts as all taken:
// nobody is to wait for it.
func (c *Conn) write(p []byte, shared bool) int {
	if len(p) == 0 {
		return 0
	}
	if c.peer != nil {
		return c.peer.offer(p, shared)
	}
	n, err := writeFD(c.fd, p)
	if err != nil {
		c.Close(err)
		return len(p)
	}
	if n > 0 {
		c.lastWrite = c.loop.stamp()
	}
	return n
}

// block begins a backlog.
func (c *Conn) block(rest []byte, shared bool) {
	if c.closed {
		return
	}
	c.backlog = &backlog{}
	c.backlog.add(rest, shared)
	c.interest()
}

// writeBacklog goes on with the backlog and reports whether that unblocked the
// connection.
func (c *Conn) writeBacklog() (unblocked bool) {
	b := c.backlog
	if b == nil || c.closed {
		return false
	}
	taken := 0
	for p := b.first(); p != nil; p = b.first() {
		if taken >= mostDrained && c.peer == nil {
			return false // the poller comes back to it
		}
		n := c.write(p, true) // copies in a backlog do not change any more either
		if c.closed {
			return false
		}
		b.written(n)
		if n < len(p) {
			return false
		}
		taken += n
	}
	c.backlog = nil
	c.interest()
	if c.ending && (!c.hearing || c.hungUp) {
		c.shutdown()
	}
	return !c.closed
}
