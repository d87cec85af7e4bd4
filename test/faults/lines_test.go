package faults

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// lines is a TCP proxy whose connections can be cut, held up or left half-open.
type lines struct {
	listener net.Listener
	target   func() string
	wait     sync.WaitGroup

	mu   sync.Mutex
	open map[*line]bool
	shut bool
}

// line is one connection through the proxy.
type line struct {
	near, far *net.TCPConn // the client, the server

	mu   sync.Mutex
	held chan struct{} // not nil: nothing passes until it is closed
	deaf bool          // what comes is taken and thrown away
}

func newLines(t *testing.T, target func() string) *lines {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lines{listener: l, target: target, open: map[*line]bool{}}
	p.wait.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *lines) addr() string { return p.listener.Addr().String() }

func (p *lines) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() { p.join(near.(*net.TCPConn)) })
	}
}

func (p *lines) join(near *net.TCPConn) {
	d := net.Dialer{Timeout: 5 * time.Second}
	far, err := d.DialContext(context.Background(), "tcp", p.target())
	if err != nil {
		near.SetLinger(0)
		near.Close()
		return
	}
	l := &line{near: near, far: far.(*net.TCPConn)}
	// So that little fits into a line that is held up.
	l.far.SetReadBuffer(256 << 10)
	near.SetWriteBuffer(256 << 10)
	p.mu.Lock()
	if p.shut {
		p.mu.Unlock()
		l.cut()
		return
	}
	p.open[l] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.pass(l.near, l.far) })
	both.Go(func() { l.pass(l.far, l.near) })
	both.Wait()
	near.Close()
	far.Close()
	p.mu.Lock()
	delete(p.open, l)
	p.mu.Unlock()
}

// pass copies from one end to the other until one of them ends.
func (l *line) pass(from, to *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		if held != nil {
			<-held
		}
		l.mu.Lock()
		deaf := l.deaf
		l.mu.Unlock()
		if deaf {
			if err != nil {
				return // the other end hears nothing of it
			}
			continue
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			// The other direction may have something to say still.
			to.CloseWrite()
			from.CloseRead()
			return
		}
	}
}

// cut ends both ends at once, as a router that restarts does; what is held up is lost.
func (l *line) cut() {
	l.near.SetLinger(0)
	l.far.SetLinger(0)
	l.near.Close()
	l.far.Close()
	l.release()
}

// hold lets nothing pass until release.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(chan struct{})
	}
}

func (l *line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}

// deafen leaves both ends open, and nothing comes through any more.
func (l *line) deafen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
}

// some returns about share of the open lines.
func (p *lines) some(rng *rand.Rand, share float64) []*line {
	p.mu.Lock()
	defer p.mu.Unlock()
	var some []*line
	for l := range p.open {
		if rng.Float64() < share {
			some = append(some, l)
		}
	}
	return some
}

func (p *lines) close() {
	p.listener.Close()
	p.mu.Lock()
	p.shut = true
	for l := range p.open {
		l.cut()
	}
	p.mu.Unlock()
	p.wait.Wait()
}
