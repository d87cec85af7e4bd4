package websocket

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"ringdown/internal/wsframe"
)

// forever is a grace that no test waits for: who waits for it hangs.
const forever = time.Minute

// closer serves connections that the server closes with 4005 at the first text.
func closer(t *testing.T, engine string, o Options) (h *host, closed chan error) {
	o.Logger = silent
	closed = make(chan error, 1)
	h = serveApp(t, engine, o, func() App {
		return &app{
			message: func(c *Conn, _ Opcode, _ []byte) { c.Close(4005, "enough") },
			closed:  func(_ *Conn, err error) { closed <- err },
			max:     1 << 20,
		}
	})
	return h, closed
}

// told reads to the close frame and returns its payload.
func (p *peer) told(code uint16) []byte {
	p.t.Helper()
	for {
		first, payload, err := p.frame()
		if err != nil {
			p.t.Fatal("no close frame but", err)
		}
		if first != 0x88 {
			continue
		}
		if have, _, err := wsframe.ParseClose(payload); err != nil || have != code {
			p.t.Fatalf("closed with %d (%v), want %d", have, err, code)
		}
		return payload
	}
}

// ends wants the end of the server's side, and the connection gone there, though
// the client leaves its own side open.
func (p *peer) ends(closed chan error) {
	p.t.Helper()
	if _, err := p.r.ReadByte(); err == nil {
		p.t.Fatal("something comes behind the close frame")
	} else if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		p.t.Fatal("the server does not end the connection")
	}
	receive(p.t, "the end", closed)
}

// The end of the stream does not come with the close frame: a library that sees
// both at once may tell its program of the end, and not of the code.
func TestCloseLeavesTheStreamOpen(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h, closed := closer(t, engine, Options{CloseTimeout: forever})
		p := h.dial()
		p.text("hello")
		payload := p.told(4005)
		_ = p.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := p.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("behind the close frame comes %v", err)
		}
		_ = p.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		p.raw(masked(0x88, payload)...)
		p.ends(closed)
	})
}

// The connection ends at once when the peer has answered, whatever came before
// its answer: many libraries leave the end of TCP to the server.
func TestCloseAnswered(t *testing.T) {
	answer := masked(0x88, []byte{0x0f, 0xa5}) // 4005
	big := masked(0x82, bytes.Repeat([]byte("x"), 300_000))
	for name, late := range map[string][][]byte{
		"at once":                    {answer},
		"octet by octet":             chop(answer, 1),
		"without a code":             {masked(0x88, nil)},
		"with a code that is none":   {masked(0x88, []byte{0, 1})},
		"behind messages":            {masked(0x81, []byte("and")), masked(0x89, nil), answer},
		"in one write with messages": {append(append(masked(0x81, []byte("and")), masked(0x01, []byte("so on"))...), answer...)},
		"behind a large message":     append(chop(big, 50_000), answer),
		"behind what is too big":     {masked(0x82, make([]byte, 2<<20)), answer},
		"behind reserved bits":       {masked(0xf1, []byte("oh")), answer},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, engine string) {
				h, closed := closer(t, engine, Options{CloseTimeout: forever, ControlPerSecond: mostControl})
				p := h.dial()
				p.text("hello")
				p.told(4005)
				for _, b := range late {
					p.raw(b...)
				}
				p.ends(closed)
			})
		})
	}
}

// So it is when the close frame comes into the middle of what the peer is sending,
// and when what it sends is the reason.
func TestCloseInTheMiddle(t *testing.T) {
	answer := masked(0x88, nil)
	hello := masked(0x81, []byte("hello"))
	broken := masked(0x81, []byte("\xff and more of it"))
	large := masked(0x82, make([]byte, 2<<20))
	for name, c := range map[string]struct {
		before, after []byte
		code          uint16
	}{
		"of a header":             {append(bytes.Clone(hello), hello[:1]...), hello[1:], 4005},
		"of a longer header":      {append(bytes.Clone(hello), large[:5]...), large[5:], 4005},
		"of a payload":            {append(bytes.Clone(hello), hello[:8]...), hello[8:], 4005},
		"of a message":            {append(bytes.Clone(hello), masked(0x01, []byte("one"))...), masked(0x80, []byte("two")), 4005},
		"of text that is none":    {broken[:8], broken[8:], 1007},
		"of a message too big":    {large[:100], large[100:], 1009},
		"of its header too big":   {large[:14], large[14:], 1009},
		"of a frame out of place": {masked(0x80, []byte("x"))[:6], []byte("x"), 1002},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, engine string) {
				h, closed := closer(t, engine, Options{CloseTimeout: forever})
				p := h.dial()
				p.raw(c.before...)
				p.told(c.code)
				p.raw(append(bytes.Clone(c.after), answer...)...)
				p.ends(closed)
			})
		})
	}
}

// Where nobody knows what comes next there is no answer to be waited for: the
// stream ends, and the connection with the peer's side.
func TestCloseAfterGarbage(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		for _, cut := range []int{0, 1} {
			h, closed := closer(t, engine, Options{CloseTimeout: forever})
			p := h.dial()
			garbage := masked(0x89, make([]byte, 126)) // a control frame has 125 at most
			p.raw(append(masked(0x89, []byte("first")), garbage[:cut]...)...)
			p.expect(0x8a, "first") // so the beginning of the header was read by itself
			p.raw(garbage[cut:]...)
			p.told(1002)
			if _, err := p.r.ReadByte(); err == nil {
				t.Fatal("something comes behind the close frame")
			}
			p.raw(masked(0x81, []byte("is anybody there?"))...)
			p.conn.Close()
			receive(t, "the end", closed)
		}
	})
}

// A header that comes in two pieces is judged like any other.
func TestCloseForSplitHeader(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h, closed := closer(t, engine, Options{CloseTimeout: forever})
		p := h.dial()
		reserved := masked(0xf1, []byte("oh"))
		p.raw(append(masked(0x89, []byte("first")), reserved[:1]...)...)
		p.expect(0x8a, "first")
		p.raw(reserved[1:]...)
		p.raw(masked(0x88, p.told(1002))...)
		p.ends(closed)
	})
}

// The first reason counts, and nothing is said after the close frame.
func TestCloseOnce(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened, closed := make(chan *Conn, 1), make(chan error, 1)
		h := serveApp(t, engine, Options{CloseTimeout: forever, Logger: silent}, func() App {
			return &app{open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { closed <- err }}
		})
		p := h.dial()
		c := receive(t, "Open", opened)
		on(t, h.engine.Loops()[0], func() {
			c.Share([]byte("\x81\x05first"))
			c.Close(4003, "the first")
			c.fail(1002, errUTF8)
			c.Close(4005, "the second")
			c.Share([]byte("\x81\x03not"))
		})
		p.expect(0x81, "first")
		p.raw(masked(0x88, p.told(4003))...)
		if _, err := p.r.ReadByte(); err == nil {
			t.Error("something comes behind the close frame")
		}
		if err := receive(t, "the end", closed); err == nil || err.Error() != "closed with 4003 the first" {
			t.Error("the app was told", err)
		}
		if s := h.handler.Stats(); s.Closes[4003] != 1 {
			t.Errorf("counted %+v", s)
		}
	})
}

// A peer that closes first and leaves the end of TCP to us has it at once, behind
// our answer.
func TestClosedByPeer(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h, closed := closer(t, engine, Options{CloseTimeout: forever})
		p := h.dial()
		p.raw(masked(0x88, []byte{0x03, 0xe8})...)
		p.told(1000)
		p.ends(closed)
	})
}

// A peer that the app does not read from, and one that does not read itself, are
// heard all the same once they are told to go.
func TestCloseHeardThoughPaused(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened, closed := make(chan *Conn, 1), make(chan error, 1)
		h := serveApp(t, engine, Options{CloseTimeout: forever, Logger: silent}, func() App {
			return &app{open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { closed <- err }}
		})
		for _, size := range []int{0, 4 << 20} {
			p := h.dial()
			c := receive(t, "Open", opened)
			on(t, h.engine.Loops()[0], func() {
				c.PauseRead()
				c.WriteMessage(wsframe.Binary, make([]byte, size))
				c.Close(4200, "draining")
			})
			p.raw(masked(0x88, []byte{0x10, 0x68})...)
			p.told(4200)
			p.ends(closed)
		}
	})
}
