package reactor

import (
	"errors"
	"io"
	"net"
	"net/netip"

	"sync"
	"sync/atomic"
	"time"
)

// peer drives a connection that the loop cannot poll: one goroutine reads and
// hands what it read to the loop, waiting until it was used, and while there is
// something to write another one writes it. Everything else happens on the loop
// as for any connection.
type peer struct {
	nc     net.Conn
	loop   *Loop
	ticket chan struct{} // one may read: given back when the bytes were used
	wrote  atomic.Int64  // when the writer last got something away, as Conn.lastSent

	mu       sync.Mutex
	pending  net.Buffers // for the writer
	waiting  int         // bytes of pending and of what the writer holds
	writing  bool        // the writer runs
	full     bool        // the loop is to be told when waiting is 0
	finished bool        // end our side when everything is written
	closed   bool

	// The loop's.
	conn *Conn
	held bool // the reader has not got its ticket back
}

const (
	// mostWaiting is how many bytes may wait for the writer before the
	// connection counts as blocked.
	mostWaiting = 64 << 10
	// An idle connection keeps a buffer of smallRead; one that fills it is given
	// a larger one for as long as it does.
	smallRead = 512
)

func newPeer(l *Loop, nc net.Conn) *peer {
	return &peer{nc: nc, loop: l, ticket: make(chan struct{}, 1)}
}

// arrival is bytes, or the end, on their way to the loop.
type arrival struct {
	peer *peer
	data []byte
	err  error
}

// readAll is the reader.
func (p *peer) readAll(large *sync.Pool) {
	small := make([]byte, smallRead)
	buf := small
	a := &arrival{peer: p}
	for {
		n, err := p.nc.Read(buf)
		a.data, a.err = buf[:n], err
		if !p.loop.Post(a) {
			return
		}
		if _, ok := <-p.ticket; !ok || err != nil {
			return
		}
		switch {
		case n == len(buf) && len(buf) == smallRead:
			buf = large.Get().([]byte)
		case n <= smallRead && len(buf) > smallRead:
			large.Put(buf) //nolint:staticcheck // SA6002: the slice header is as small as a pointer to it would cost
			buf = small
		}
	}
}

// Run takes what was read, on the loop.
func (a *arrival) Run(l *Loop) {
	p := a.peer
	c := p.conn
	if c == nil {
		return // buried meanwhile
	}
	if len(a.data) > 0 {
		l.data(c, a.data)
	}
	if p.conn == nil || c.closed {
		return
	}
	// Only now: until here the bytes were in use, whatever the callback resumed.
	p.held = true
	if a.err != nil {
		c.ended(orderly(a.err))
		return
	}
	p.resume(c)
}

func orderly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// resume lets the reader read on, if the connection is to be read from.
func (p *peer) resume(c *Conn) {
	if p.held && c.reading() {
		p.held = false
		p.ticket <- struct{}{}
	}
}

// offer takes a copy of b, all of it or, when too much waits already, nothing.
func (p *peer) offer(b []byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return len(b)
	}
	if p.waiting >= mostWaiting {
		p.full = true
		return 0
	}
	p.pending = append(p.pending, append([]byte(nil), b...))
	p.waiting += len(b)
	if !p.writing {
		p.writing = true
		p.loop.engine.work.Add(1)
		go p.write()
	}
	return len(b)
}

// write is the writer. It ends when there is nothing left to write.
func (p *peer) write() {
	defer p.loop.engine.work.Done()
	for {
		p.mu.Lock()
		if len(p.pending) == 0 || p.closed {
			p.writing = false
			if p.finished && !p.closed {
				p.endWriting()
			}
			tell := p.full && !p.closed
			p.full = false
			p.mu.Unlock()
			if tell {
				p.loop.Post((*drained)(p))
			}
			return
		}
		batch := p.pending
		p.pending = nil
		p.mu.Unlock()
		n, err := p.send(batch)
		p.mu.Lock()
		p.waiting -= n
		p.mu.Unlock()
		if err != nil {
			p.loop.Post((*failed)(p))
		} else {
			p.wrote.Store(int64(time.Since(p.loop.epoch)))
		}
	}
}

// send writes the buffers in one call where the connection can. It returns the
// number of bytes that no longer wait.
func (p *peer) send(batch net.Buffers) (int, error) {
	total := 0
	for _, b := range batch {
		total += len(b)
	}
	if _, ok := p.nc.(*net.TCPConn); ok || len(batch) == 1 {
		_, err := batch.WriteTo(p.nc)
		return total, err
	}
	// TLS has no writev: one record is better than many.
	joined := make([]byte, 0, total)
	for _, b := range batch {
		joined = append(joined, b...)
	}
	_, err := p.nc.Write(joined)
	return total, err
}

// drained tells the loop that nothing waits any more.
type drained peer

// Run goes on with the backlog.
func (d *drained) Run(l *Loop) {
	if c := (*peer)(d).conn; c != nil {
		l.drain(c)
	}
}

// failed tells the loop that writing failed.
type failed peer

// Run closes the connection.
func (f *failed) Run(*Loop) {
	if c := (*peer)(f).conn; c != nil {
		c.Close(io.ErrClosedPipe)
	}
}

// finish ends our side of the stream once everything is written.
func (p *peer) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
	if !p.writing && !p.closed {
		p.endWriting()
	}
}

func (p *peer) endWriting() {
	if w, ok := p.nc.(interface{ CloseWrite() error }); ok {
		// TLS writes a last record: not on the loop, and not for ever.
		_ = p.nc.SetWriteDeadline(time.Now().Add(time.Second))
		p.loop.engine.work.Add(1)
		go func() {
			defer p.loop.engine.work.Done()
			_ = w.CloseWrite()
		}()
	}
}

// close closes at once, without a last word that could block.
func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	p.pending = nil
	p.mu.Unlock()
	p.conn = nil
	nc := p.nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	_ = nc.SetDeadline(time.Unix(1, 0))
	_ = nc.Close()
	close(p.ticket)
}

func (p *peer) remote() netip.AddrPort {
	if a, ok := p.nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
