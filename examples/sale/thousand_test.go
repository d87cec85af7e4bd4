package sale

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/client"
	"ringdown/protocol"
)

// wire is a connection that can be armed: the next message still goes out, and then the
// line is gone before an answer can come.
type wire struct {
	net.Conn
	armed *atomic.Bool
}

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err == nil && w.armed.CompareAndSwap(true, false) {
		w.Close()
	}
	return n, err
}

// buyer is somebody with a line of their own.
type buyer struct {
	name  string
	c     *client.Client
	armed atomic.Bool // the next message is the line's last
	asked int
	got   *Piece
	end   error
}

func (h *house) buyer(name string) *buyer {
	b := &buyer{name: name}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &wire{conn, &b.armed}, nil
	}
	transport := &http.Transport{DialContext: dial}
	h.t.Cleanup(transport.CloseIdleConnections)
	b.c = h.client(name, &http.Client{Transport: transport})
	return b
}

// buy asks until it is answered, as the page does.
func (b *buyer) buy(ctx context.Context, w Wish) {
	for {
		b.asked++
		p := new(Piece)
		err := b.c.Call(ctx, "buy", w, p)
		if err == nil {
			b.got = p
			return
		}
		var e *client.Error
		if ctx.Err() != nil || !errors.As(err, &e) || !(e.Retryable || e.Code == client.CodeUnknown) {
			b.end = err
			return
		}
	}
}

// A thousand buyers come at once, each with a connection of their own, and every third
// loses it between the question and the answer, some of them twice.
func TestThousandBuyers(t *testing.T) {
	h := newHouse(t)
	sale := h.opened()
	const many = 1000
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	buyers := make([]*buyer, many)
	var ready, done sync.WaitGroup
	for i := range buyers {
		buyers[i] = h.buyer(fmt.Sprintf("buyer-%04d", i))
		ready.Go(func() {
			if err := buyers[i].c.Connect(ctx); err != nil {
				t.Errorf("%s cannot connect: %v", buyers[i].name, err)
			}
		})
	}
	ready.Wait()
	begun := time.Now()
	for i, b := range buyers {
		done.Go(func() {
			b.armed.Store(i%3 == 0)
			b.buy(ctx, Wish{sale.ID, "reference-of-" + b.name})
			if i%9 == 0 { // and once more, in doubt of what it heard
				b.armed.Store(true)
				first := b.got
				b.buy(ctx, Wish{sale.ID, "reference-of-" + b.name})
				if first != nil && (b.got == nil || *first != *b.got) {
					t.Errorf("%s was told %v, and then %v", b.name, first, b.got)
				}
			}
		})
	}
	done.Wait()
	took := time.Since(begun)

	owners := map[uint64]string{}
	asked := 0
	for _, b := range buyers {
		asked += b.asked
		switch {
		case b.got != nil:
			if was, twice := owners[b.got.Number]; twice {
				t.Errorf("number %d was sold to %s and %s", b.got.Number, was, b.name)
			}
			owners[b.got.Number] = b.name
		case client.Code(b.end) != protocol.CodeConflict:
			t.Errorf("%s was told neither yes nor no: %v", b.name, b.end)
		}
	}
	if len(owners) != Stock {
		t.Errorf("%d pieces of %d were sold", len(owners), Stock)
	}
	h.left(0)
	told := h.told(sale.ID, Stock)
	for n := uint64(1); n <= Stock; n++ {
		if owners[n] != told[n] {
			t.Errorf("number %d is of %q, and the channel says %q", n, owners[n], told[n])
		}
	}
	if asked < many+many/3 {
		t.Errorf("only %d questions for %d buyers: the lines were not cut", asked, many)
	}
	stock, err := h.server.State(t.Context(), "sale:stock")
	if err != nil {
		t.Fatal(err)
	}
	if messages := stock.Offset; messages > uint64(took/breath)+5 {
		t.Errorf("%d messages about the stock in %v", messages, took)
	}
	t.Logf("%d questions of %d buyers in %v; the stock was told in %d messages", asked, many, took, stock.Offset)
}
