package redistest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a client and a server and does what networks do.
type Proxy struct {
	Address string

	listener net.Listener
	target   string
	work     sync.WaitGroup

	delay  atomic.Int64 // nanoseconds, for each piece, each way
	rate   atomic.Int64 // bytes a second, each way; 0: any
	silent atomic.Bool  // nothing passes, and nobody is told
	refuse atomic.Bool  // new connections end at once

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// NewProxy starts a proxy to an address. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Address: l.Addr().String(), listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		p.silent.Store(false)
		_ = l.Close()
		p.Reset()
		p.work.Wait()
	})
	return p
}

// Delay holds every piece up for d, each way.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Limit lets so many bytes pass each second, each way; 0: any number.
func (p *Proxy) Limit(bytes int) { p.rate.Store(int64(bytes)) }

// Silence lets nothing pass, in connections old and new, until it is ended.
func (p *Proxy) Silence(on bool) { p.silent.Store(on) }

// Refuse ends new connections at once.
func (p *Proxy) Refuse(on bool) { p.refuse.Store(on) }

// Reset ends all connections with a reset.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.refuse.Load() {
			_ = c.Close()
			continue
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c], p.conns[s] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.work.Go(func() { p.pipe(c, s) })
		p.work.Go(func() { p.pipe(s, c) })
	}
}

func (p *Proxy) pipe(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		delete(p.conns, to)
		p.mu.Unlock()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		for p.silent.Load() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(p.delay.Load()))
		if rate := p.rate.Load(); rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
