package websocket

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
)

// FuzzData: however the bytes of a client are cut, the app gets the same
// messages, the client the same answers, and the line the same end.
func FuzzData(f *testing.F) {
	add := func(seed uint64, frames ...[]byte) { f.Add(bytes.Join(frames, nil), seed) }
	add(3, masked(0x81, []byte("hello")))
	add(1, masked(0x01, []byte("a")), masked(0x89, []byte("p")), masked(0x80, []byte("b")))
	add(7, masked(0xc1, wsframe.Deflate(nil, bytes.Repeat([]byte("x"), 300))), masked(0x82, make([]byte, 200)))
	add(8, masked(0x41, []byte{0xf2, 0x48, 0xcd}), masked(0x80, []byte{0xc9, 0xc9, 0x07, 0x00}))
	add(2, masked(0x89, []byte("p")), masked(0x88, []byte{3, 0xe8}), masked(0x81, []byte("late")))
	add(4, masked(0x81, []byte("κόσ\xed\xa0\x80")), masked(0x81, nil))
	add(5, masked(0x82, make([]byte, 2001)))
	add(6, declared(0x82, 1<<63-1), declared(0x89, 1<<63))
	add(9, masked(0x01, nil), bytes.Repeat(masked(0x00, nil), 20), masked(0x80, []byte("x")))
	e := startEngine(f, "std")
	h := NewApp(e, lax, nil)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		if len(data) > 1<<14 {
			return
		}
		whole := h.feed(t, e, data, func(n int) int { return n })
		r := rand.New(rand.NewPCG(seed, 1))
		parts := h.feed(t, e, data, func(n int) int { return 1 + r.IntN(min(n, 1+int(seed%64))) })
		if whole != parts {
			t.Fatalf("whole:\n%s\nin parts:\n%s", whole, parts)
		}
	})
}

// feed gives data to a new connection, cut as next says, and returns what came
// of it.
func (h *Handler) feed(t *testing.T, e *reactor.Engine, data []byte, next func(left int) int) string {
	client, server := net.Pipe()
	answers := make(chan string)
	go func() {
		// A pipe has no end of one side, so the close frame is the end.
		var all strings.Builder
		for {
			first, payload, err := readFrame(client)
			if err != nil || first == 0x88 {
				fmt.Fprintf(&all, "%#x %q %v\n", first, payload, err)
				break
			}
			fmt.Fprintf(&all, "%#x %q\n", first, payload)
		}
		client.Close()
		answers <- all.String()
	}()
	var c *Conn
	var log strings.Builder
	over := make(chan struct{})
	a := &app{
		open: func(o *Conn) { c = o },
		message: func(c *Conn, op Opcode, p []byte) {
			fmt.Fprintf(&log, "%d %q\n", op, p)
			c.WriteMessage(op, p)
		},
		closed: func(_ *Conn, err error) {
			fmt.Fprintf(&log, "%d %v\n", c.code, err)
			close(over)
		},
		max: 2000,
	}
	hs := &handshake{deflate: true, window: 15}
	if err := h.take(server, nil, nil, hs, h.opts.Load(), func() App { return a }); err != nil {
		t.Fatal(err)
	}
	on(t, e.Loops()[0], func() {
		for rest := bytes.Clone(data); len(rest) > 0 && !c.closing; {
			n := next(len(rest))
			c.Data(c.rc, rest[:n])
			rest = rest[n:]
		}
		if !c.closing {
			c.Close(4005, "the test is over")
		}
	})
	got := <-answers
	<-over
	return log.String() + got
}
