package load

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// plainWire gives every connection a goroutine that reads, and while something
// has to be written another one. What they see goes through two channels to
// poll. It works wherever Go does and costs the client several times what epoll
// does, so its figures say less about the server.
type plainWire struct {
	addr    string
	links   []*link    // by slot, nil when free; only the polling goroutine touches the slice
	events  chan event // unbuffered enough that a flood is left in the sockets
	urgent  chan event
	done    chan struct{} // closed by stop: nobody polls any more
	running sync.WaitGroup
}

// event is one thing that happened to a link. Exactly one of its last three
// fields says what.
type event struct {
	i      int
	link   *link
	opened bool
	data   []byte
	err    error
}

type link struct {
	mu      sync.Mutex
	conn    net.Conn // nil while dialing
	pending []byte   // to be written
	writing bool     // a goroutine is at it
	shut    bool
}

const (
	plainReadBytes = 16 << 10
	plainEvents    = 256
	plainDial      = 10 * time.Second
)

func newPlainWire(addr netip.AddrPort, slots int) *plainWire {
	return &plainWire{
		addr:   addr.String(),
		links:  make([]*link, slots),
		events: make(chan event, plainEvents),
		urgent: make(chan event, plainEvents),
		done:   make(chan struct{}),
	}
}

func (w *plainWire) open(i int, urgent bool) error {
	l := &link{}
	w.links[i] = l
	out := w.events
	if urgent {
		out = w.urgent
	}
	w.running.Go(func() { w.serve(i, l, out) })
	return nil
}

func (w *plainWire) serve(i int, l *link, out chan<- event) {
	tell := func(e event) {
		e.i, e.link = i, l
		select {
		case out <- e:
		case <-w.done:
		}
	}
	conn, err := net.DialTimeout("tcp", w.addr, plainDial)
	if err != nil {
		tell(event{err: err})
		return
	}
	if !l.adopt(conn) {
		return
	}
	tell(event{opened: true})
	buf := make([]byte, plainReadBytes)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			tell(event{data: append([]byte(nil), buf[:n]...)})
		}
		if errors.Is(err, io.EOF) {
			err = errCut
		}
		if err != nil {
			tell(event{err: err})
			return
		}
	}
}

// adopt gives the link its connection, unless it has been closed meanwhile.
func (l *link) adopt(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		_ = conn.Close()
		return false
	}
	l.conn = conn
	return true
}

func (w *plainWire) write(i int, p []byte) {
	l := w.links[i]
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil || l.shut {
		return
	}
	l.pending = append(l.pending, p...)
	if !l.writing {
		l.writing = true
		w.running.Go(l.flush)
	}
}

// flush writes until nothing is pending. An error shows in the reader.
func (l *link) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pending) > 0 && !l.shut {
		p := l.pending
		l.pending = nil
		l.mu.Unlock()
		_, err := l.conn.Write(p)
		l.mu.Lock()
		if err != nil {
			break
		}
	}
	l.writing = false
}

func (w *plainWire) close(i int) {
	l := w.links[i]
	if l == nil {
		return
	}
	w.links[i] = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = true
	if l.conn == nil {
		return
	}
	if tcp, ok := l.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = l.conn.Close()
}

func (w *plainWire) poll(wait time.Duration, r receiver) error {
	for range plainEvents {
		e, ok := w.next(wait)
		if !ok {
			return nil
		}
		w.deliver(e, r)
		wait = 0 // the rest of the batch is what is there already
	}
	return nil
}

// next takes one event, an urgent one if there is any, waiting at most for wait.
func (w *plainWire) next(wait time.Duration) (event, bool) {
	select {
	case e := <-w.urgent:
		return e, true
	default:
	}
	select {
	case e := <-w.events:
		return e, true
	default:
	}
	if wait <= 0 {
		return event{}, false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case e := <-w.urgent:
		return e, true
	case e := <-w.events:
		return e, true
	case <-timer.C:
		return event{}, false
	}
}

// deliver passes an event on, unless its link has been closed since.
func (w *plainWire) deliver(e event, r receiver) {
	if w.links[e.i] != e.link {
		return
	}
	switch {
	case e.opened:
		r.opened(e.i)
	case e.data != nil:
		r.data(e.i, e.data)
	default:
		w.close(e.i)
		r.closed(e.i, e.err)
	}
}

func (w *plainWire) stop() {
	close(w.done)
	for i := range w.links {
		w.close(i)
	}
	w.running.Wait()
}
