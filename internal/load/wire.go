package load

import (
	"errors"
	"net/netip"
	"time"
)

// wire moves the bytes of a crowd's connections, which it knows by index, 0 to
// the number it was made for. All methods are for one goroutine, and it is the
// one on which the receiver is called.
type wire interface {
	// open begins to connect slot i; the receiver's opened or closed tells how it
	// went. An urgent connection is read before all that is not, however much of
	// it is waiting: its latency is then the server's, not the client's queue.
	open(i int, urgent bool) error
	// write sends p, which the wire does not keep, and never blocks: what the
	// socket does not take is copied and follows. An unopened or closed slot
	// swallows it.
	write(i int, p []byte)
	// close cuts slot i with a reset, so that no TIME_WAIT is left behind; closed
	// is not called for it.
	close(i int)
	// poll hands over what has arrived, and if that is nothing waits for it, at
	// most for wait. It returns after a batch, not when all is read.
	poll(wait time.Duration, r receiver) error
	// stop closes every slot and frees what the wire holds. It waits for the
	// goroutines it had.
	stop()
}

// receiver is told what happens to connections.
type receiver interface {
	opened(i int)
	data(i int, p []byte) // p is the wire's and may be used until data returns
	closed(i int, err error)
}

// errCut is what closed gets when the server ended the stream in order.
var errCut = errors.New("closed by the server")

// newWire makes the fastest wire that this platform has for addr, or the plain one.
func newWire(addr netip.AddrPort, slots int, plain bool) (wire, error) {
	if !plain {
		if w, err := newFastWire(addr, slots); w != nil || err != nil {
			return w, err
		}
	}
	return newPlainWire(addr, slots), nil
}
