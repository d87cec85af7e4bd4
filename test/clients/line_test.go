package clients

import (
	"io"
	"net"
	"sync"
	"testing"
)

// line is a proxy on TCP whose connections can be cut.
type line struct {
	listener net.Listener
	to       string
	serving  sync.WaitGroup

	gate  sync.RWMutex // held while the line is down
	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l := &line{to: to, conns: map[net.Conn]bool{}}
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.serving.Go(func() {
		for {
			c, err := l.listener.Accept()
			if err != nil {
				return
			}
			l.serving.Go(func() { l.carry(c) })
		}
	})
	t.Cleanup(func() {
		l.listener.Close()
		_ = l.cut(func() error { return nil })
		l.serving.Wait()
	})
	return l
}

func (l *line) addr() string { return l.listener.Addr().String() }

// carry carries one connection. While the line is down it waits.
func (l *line) carry(near net.Conn) {
	defer near.Close()
	l.gate.RLock()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		l.gate.RUnlock()
		return
	}
	defer far.Close()
	l.mu.Lock()
	l.conns[near], l.conns[far] = true, true
	l.mu.Unlock()
	l.gate.RUnlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].(*net.TCPConn).CloseWrite()
		})
	}
	both.Wait()
	l.mu.Lock()
	delete(l.conns, near)
	delete(l.conns, far)
	l.mu.Unlock()
}

// cut cuts all connections, and lets new ones through when meanwhile has ended.
func (l *line) cut(meanwhile func() error) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.mu.Lock()
	for c := range l.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // as a line that breaks, without an orderly end
		c.Close()
	}
	l.mu.Unlock()
	return meanwhile()
}
