package devices

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// cord is a device's way into the network, which can be cut without a word.
type cord struct {
	mu    sync.Mutex
	conns []net.Conn
	isCut bool
}

var errCut = errors.New("devices: the cord is cut")

// transport makes connections through the cord.
func (c *cord) transport() *http.Transport { return &http.Transport{DialContext: c.dial} }

func (c *cord) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		conn.Close()
		return nil, errCut
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// cut ends all connections with a reset, as a power cut would.
func (c *cord) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // else it ends in order, which is just as well
		}
		conn.Close()
	}
}
