package reactor

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// peer drives a connection that the loop cannot poll. One goroutine reads, hands
// what it read to the loop, and waits until it was used and the connection is to
// be read from again. While there is something to write, and only then, another
// one writes it. All decisions are the loop's, as for any connection.
type peer struct {
	nc     net.Conn
	loop   *Loop
	ticket chan struct{} // the reader's leave to read on; closed at the end
	wrote  atomic.Int64  // when the writer last got something away, as Loop.stamp

	mu       sync.Mutex
	pending  backlog // for the writer
	waiting  int     // bytes of pending and of what the writer holds
	writing  bool    // there is a writer
	refused  bool    // the loop is to be told when nothing waits any more
	finished bool    // our side ends when everything is written
	hungUp   bool    // and so does the connection
	over     bool    // nothing is written any more

	// The loop's.
	conn    *Conn // nil when it was released
	holding bool  // the reader waits for its ticket
}

func newPeer(c *Conn, nc net.Conn) *peer {
	return &peer{nc: nc, loop: c.loop, conn: c, ticket: make(chan struct{}, 1)}
}

// start starts the reader.
func (p *peer) start() {
	p.loop.engine.work.Go(p.readAll)
}

const (
	// smallRead is the buffer of an idle connection.
	smallRead = 512
	// largeRead is the buffer of one that fills the small one, while it fills it.
	largeRead = 32 << 10
)

// readAll is the reader.
func (p *peer) readAll() {
	pool := &p.loop.engine.large
	small := make([]byte, smallRead)
	buf := &small
	a := &arrival{peer: p}
	for {
		n, err := p.nc.Read(*buf)
		a.data, a.err = (*buf)[:n], err
		if !p.loop.Post(a) {
			return
		}
		if _, ok := <-p.ticket; !ok {
			return
		}
		switch full := n == len(*buf); {
		case full && buf == &small:
			buf = pool.Get().(*[]byte)
		case !full && buf != &small:
			pool.Put(buf)
			buf = &small
		}
	}
}

// arrival is bytes, or the end, on their way to the loop.
type arrival struct {
	peer *peer
	data []byte
	err  error
}

// Run takes what was read, on the loop.
func (a *arrival) Run(l *Loop) {
	p := a.peer
	if p.conn == nil {
		return // released meanwhile
	}
	if len(a.data) > 0 {
		l.data(p.conn, a.data)
	}
	switch {
	case p.conn == nil:
	case a.err != nil:
		p.conn.ended(a.err)
	default:
		// Only now: until here the bytes were in use, whatever Data resumed.
		p.holding = true
		p.resume()
	}
}

// resume lets the reader read on, if it waits and the connection is to be read
// from. On the loop.
func (p *peer) resume() {
	if p.holding && p.conn.reading() {
		p.holding = false
		p.ticket <- struct{}{}
	}
}

// close closes at once, without a last word that could block. On the loop.
func (p *peer) close() {
	p.mu.Lock()
	p.over = true
	p.pending = backlog{}
	p.mu.Unlock()
	p.conn = nil
	close(p.ticket)
	// Close waits until reader and writer have let go, which the loop shall not.
	p.loop.engine.work.Go(func() { _ = bare(p.nc).Close() })
}

// bare returns what is under TLS.
func bare(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}

func (p *peer) remote() netip.AddrPort {
	a, ok := p.nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func (p *peer) dead() bool {
	t, ok := bare(p.nc).(*net.TCPConn)
	return ok && deadTCP(t)
}
