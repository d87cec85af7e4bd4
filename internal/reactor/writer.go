package reactor

import (
	"io"
	"net"
	"time"
)

const (
	// mostWaiting is how many bytes wait for the writer at most. What goes beyond
	// is not taken, as a socket would not, and the connection is blocked.
	mostWaiting = 64 << 10
	// mostWritten is how much one write carries. The end of a write is the only
	// progress that can be seen, so it is not more than a slow peer takes in a
	// moment.
	mostWritten = 32 << 10
)

// offer takes as much of b as may wait. If that is not all, the loop is told when
// nothing waits any more. Bytes that are not shared are copied. On the loop.
func (p *peer) offer(b []byte, shared bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return len(b)
	}
	n := min(len(b), mostWaiting-p.waiting)
	p.refused = n < len(b)
	if n == 0 {
		return 0
	}
	p.pending.add(b[:n], shared)
	p.waiting += n
	p.startWriter()
	return n
}

// finish ends our side of the stream once everything is written. On the loop.
func (p *peer) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
	p.startWriter()
}

// hangUp is for a peer that has ended its side. It reports whether there is a
// writer; then finish ends the connection. On the loop.
func (p *peer) hangUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hungUp = true
	return p.writing && !p.over
}

// startWriter makes sure that there is a writer. p.mu is held.
func (p *peer) startWriter() {
	if !p.writing && !p.over {
		p.writing = true
		p.loop.engine.work.Go(p.writeAll)
	}
}

// writeAll is the writer. It ends when there is nothing left to write: an idle
// connection has none.
func (p *peer) writeAll() {
	for {
		parts, last := p.takePending()
		if last != nil {
			last()
			return
		}
		if err := p.writeParts(parts); err != nil {
			p.mu.Lock()
			p.over = true
			p.mu.Unlock()
			p.loop.Post(&outcome{p, err})
			return
		}
	}
}

// takePending returns what is to be written, or else the last thing to do.
func (p *peer) takePending() (parts net.Buffers, last func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
		return nil, func() {}
	case len(p.pending.parts) > 0:
		parts = p.pending.parts
		p.pending = backlog{}
		return parts, nil
	case p.finished:
		p.over = true
		return nil, p.endStream
	}
	p.writing = false
	if p.refused {
		p.refused = false
		return nil, func() { p.loop.Post((*drained)(p)) }
	}
	return nil, func() {}
}

// writeParts writes all of parts. Small ones leave together, in one writev where
// the connection has that, and else in one piece: TLS makes a record of each
// write.
func (p *peer) writeParts(parts net.Buffers) error {
	_, isTCP := p.nc.(*net.TCPConn)
	var joined []byte
	for len(parts) > 0 {
		var group net.Buffers
		var size int
		group, parts, size = cutParts(parts, mostWritten)
		var err error
		switch {
		case len(group) == 1:
			_, err = p.nc.Write(group[0])
		case isTCP:
			_, err = group.WriteTo(p.nc)
		default:
			joined = joined[:0]
			for _, b := range group {
				joined = append(joined, b...)
			}
			_, err = p.nc.Write(joined)
		}
		if err != nil {
			return err
		}
		p.wrote.Store(int64(time.Since(p.loop.epoch)))
		p.mu.Lock()
		p.waiting -= size
		p.mu.Unlock()
	}
	return nil
}

// cutParts takes at most limit bytes off the front of parts, whose memory it
// uses. size is how many they are.
func cutParts(parts net.Buffers, limit int) (group, rest net.Buffers, size int) {
	for i, b := range parts {
		if room := limit - size; len(b) > room {
			if room > 0 {
				// The part is in both: its head ends the group.
				group = append(parts[:i:i], b[:room])
				parts[i] = b[room:]
				return group, parts[i:], limit
			}
			return parts[:i:i], parts[i:], size
		}
		size += len(b)
	}
	return parts, nil, size
}

// endStream is the writer's last act after CloseAfterFlush. It may block, but
// not for longer than the grace, whose end closes everything.
func (p *peer) endStream() {
	if w, ok := p.nc.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite() // a peer that is gone is noticed by the reader
		p.mu.Lock()
		hungUp := p.hungUp
		p.mu.Unlock()
		if !hungUp {
			return // the reader waits for its end
		}
	}
	// Its end has come, or the sides of this stream do not end apart.
	p.loop.Post(&outcome{p, io.EOF})
}

// drained tells the loop that the writer has nothing left, after it refused.
type drained peer

// Run goes on with the backlog.
func (d *drained) Run(l *Loop) {
	if c := (*peer)(d).conn; c != nil {
		l.drain(c)
	}
}

// outcome tells the loop that nothing is written any more.
type outcome struct {
	peer *peer
	err  error
}

// Run closes the connection.
func (o *outcome) Run(*Loop) {
	if c := o.peer.conn; c != nil {
		c.Close(o.err)
	}
}
