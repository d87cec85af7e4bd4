package websocket

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
)

// app is an App of functions; those that are nil do nothing.
type app struct {
	open    func(c *Conn)
	message func(c *Conn, op Opcode, p []byte)
	drained func(c *Conn)
	closed  func(c *Conn, err error)
	max     int // of a message; 0: 1 MiB
}

func (a *app) Open(c *Conn) {
	if a.open != nil {
		a.open(c)
	}
}

func (a *app) Message(c *Conn, op Opcode, p []byte) {
	if a.message != nil {
		a.message(c, op, p)
	}
}

func (a *app) Drained(c *Conn) {
	if a.drained != nil {
		a.drained(c)
	}
}

func (a *app) Closed(c *Conn, err error) {
	if a.closed != nil {
		a.closed(c, err)
	}
}

func (a *app) MaxMessage(*Conn) int {
	if a.max > 0 {
		return a.max
	}
	return 1 << 20
}

var silent = slog.New(slog.DiscardHandler)

// on runs fn on the loop and waits for it.
func on(t *testing.T, l *reactor.Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(reactor.TaskFunc(func(*reactor.Loop) { defer close(done); fn() })) {
		t.Fatal("the loop has stopped")
	}
	<-done
}

func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// A panic (D11) costs the connection that it happened in, which is told with
// 1011, and no other.
func TestPanics(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		closed := make(chan error, 1)
		count := 0 // on the loop
		h := serveApp(t, engine, Options{Logger: silent}, func() App {
			count++
			second := count == 2
			return &app{
				open: func(c *Conn) {
					if second {
						panic("in Open")
					}
					c.WriteMessage(wsframe.Text, []byte("welcome"))
				},
				message: func(c *Conn, _ Opcode, p []byte) {
					if string(p) == "panic" {
						c.WriteMessage(wsframe.Text, []byte("so far"))
						panic("in Message")
					}
					c.WriteMessage(wsframe.Text, p)
				},
				closed: func(_ *Conn, err error) {
					if errors.As(err, new(*reactor.PanicError)) {
						closed <- err
					}
				},
			}
		})
		good := h.dial()
		good.expect(0x81, "welcome")
		bad := h.dial()
		bad.closedWith(1011)
		bad.conn.Close()
		receive(t, "the end of a connection that panicked in Open", closed)
		bad = h.dial()
		bad.expect(0x81, "welcome")
		bad.text("panic")
		bad.expect(0x81, "so far")
		bad.closedWith(1011)
		bad.conn.Close()
		if err := receive(t, "the end of a connection that panicked", closed); !strings.Contains(err.Error(), "in Message") {
			t.Error("the app was told", err)
		}
		good.text("still here")
		good.expect(0x81, "still here")
		if s := h.handler.Stats(); s.Panics != 2 || s.Closes[1011] != 2 {
			t.Errorf("counted %+v", s)
		}
	})
}

// A panic in Drained or in a timer as well.
func TestPanicOffTheRead(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		closed := make(chan error, 1)
		opened := make(chan *Conn, 1)
		h := serveApp(t, engine, Options{Logger: silent}, func() App {
			return &app{
				open:    func(c *Conn) { opened <- c },
				drained: func(*Conn) { panic("in Drained") },
				closed:  func(_ *Conn, err error) { closed <- err },
			}
		})
		p := h.dial()
		c := receive(t, "Open", opened)
		loop := h.engine.Loops()[0]
		on(t, loop, func() {
			for !c.Blocked() {
				c.WriteMessage(wsframe.Binary, make([]byte, 64<<10))
			}
		})
		p.closedWith(1011)
		p.conn.Close()
		if err := receive(t, "Closed", closed); !errors.As(err, new(*reactor.PanicError)) {
			t.Error("the app was told", err)
		}
	})
}

// A connection that is over takes everything and does nothing: its place in the
// reactor belongs to somebody else.
func TestAfterClosed(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened, closed := make(chan *Conn, 2), make(chan error, 2)
		h := serveApp(t, engine, Options{Compression: true, Logger: silent}, func() App {
			return &app{open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { closed <- err }}
		})
		p := h.dial(deflate)
		old := receive(t, "Open", opened)
		p.conn.Close()
		receive(t, "Closed", closed)
		// It takes the slot that became free.
		next := h.dial()
		c := receive(t, "Open", opened)
		on(t, h.engine.Loops()[0], func() {
			old.WriteMessage(wsframe.Text, []byte(strings.Repeat("not for you", 100)))
			old.Share([]byte("\x81\x03not"))
			if n := old.Offer([]byte("\x81\x03not")); n != 5 {
				t.Error("Offer takes", n)
			}
			old.Close(4000, "not you")
			old.PauseRead()
			old.ResumeRead()
			if old.Blocked() || old.RemoteAddr().IsValid() {
				t.Error("it still looks at a connection")
			}
			c.WriteMessage(wsframe.Text, []byte("for you"))
		})
		next.expect(0x81, "for you")
		if len(closed) > 0 {
			t.Error("the new connection was closed")
		}
	})
}

// Close says its code and reason, drops what still comes, and tells the app once.
func TestClose(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		closed := make(chan error, 2)
		h := serveApp(t, engine, Options{Logger: silent, CloseTimeout: 200 * time.Millisecond}, func() App {
			return &app{
				message: func(c *Conn, _ Opcode, p []byte) {
					c.Close(4001, string(p))
					c.Close(4002, "again")
					c.WriteMessage(wsframe.Text, []byte("too late"))
				},
				closed: func(_ *Conn, err error) { closed <- err },
			}
		})
		for _, reason := range []string{"Invalid token", "", strings.Repeat("ü", 100)} {
			p := h.dial()
			p.raw(append(masked(0x81, []byte(reason)), masked(0x81, []byte("more"))...)...)
			first, payload, err := p.frame()
			code, said, bad := wsframe.ParseClose(payload)
			if err != nil || bad != nil || first != 0x88 || code != 4001 || !strings.HasPrefix(reason, said) || len(said) < min(len(reason), 122) {
				t.Errorf("%.20q: %#x %d %q (%v %v)", reason, first, code, said, err, bad)
			}
			p.raw(masked(0x88, payload)...)
			if _, err := p.r.ReadByte(); err == nil {
				t.Error("something comes behind the close frame")
			}
			if err := receive(t, "Closed", closed); err == nil || !strings.Contains(err.Error(), "4001") {
				t.Error("the app was told", err)
			}
		}
		if len(closed) > 0 {
			t.Error("the app was told twice")
		}
		// Whoever does not answer the close frame is cut off all the same.
		p := h.dial()
		p.text("bye")
		receive(t, "the end of a client that stays", closed)
		p.conn.Close()
		if s := h.handler.Stats(); s.Closes[4001] != 4 || s.Upgrades != 4 {
			t.Errorf("counted %+v", s)
		}
	})
}

// A connection that the app paused is kept open, and its silence is no silence.
func TestPaused(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened := make(chan *Conn, 1)
		got := make(chan string, 10)
		closed := make(chan error, 1)
		h := serveApp(t, engine, Options{PingInterval: 50 * time.Millisecond, PongTimeout: 1500 * time.Millisecond, MessageTimeout: 1500 * time.Millisecond, Logger: silent}, func() App {
			return &app{
				open:    func(c *Conn) { c.PauseRead(); opened <- c },
				message: func(c *Conn, _ Opcode, p []byte) { got <- string(p); c.PauseRead() },
				closed:  func(_ *Conn, err error) { closed <- err },
			}
		})
		p := h.dial()
		c := receive(t, "Open", opened)
		// The end of one message and half of the next.
		half := masked(0x81, []byte("the second"))
		p.raw(append(masked(0x81, []byte("the first")), half[:8]...)...)
		// It answers no ping, and so may be listened to for a moment only.
		on(t, h.engine.Loops()[0], c.ResumeRead)
		receive(t, "a message", got)
		for range 3 { // between each the time of a pong: more than any deadline
			if first, _, err := p.frame(); err != nil || first != 0x89 {
				t.Fatalf("%#x %v", first, err)
			}
		}
		p.raw(half[8:]...)
		on(t, h.engine.Loops()[0], c.ResumeRead)
		if s := receive(t, "the second message", got); s != "the second" {
			t.Errorf("%q", s)
		}
		on(t, h.engine.Loops()[0], func() {
			if len(closed) > 0 {
				t.Error("closed:", <-closed)
			}
			c.ResumeRead() // from here on it is closed when the machine is slow
		})
		p.outcome() // it answers nothing more, and is lost
		p.conn.Close()
		receive(t, "the end", closed)
	})
}

// Connections that come together are not pinged together, nor are those that
// were last sent the same message.
func TestSpread(t *testing.T) {
	const n = 60
	opened := make(chan *Conn, n)
	h := serveApp(t, "", Options{PingInterval: time.Hour, Logger: silent}, func() App {
		return &app{open: func(c *Conn) { opened <- c }}
	})
	conns := make([]*Conn, n)
	for i := range conns {
		h.dial()
		conns[i] = receive(t, "Open", opened)
	}
	on(t, h.engine.Loops()[0], func() {
		buckets := map[int64]int{}
		for _, c := range conns {
			d := time.Duration(c.patience())
			if d > time.Hour || d < 48*time.Minute {
				t.Errorf("pinged after %v of an hour", d)
			}
			buckets[int64(d/(75*time.Second))]++
		}
		if len(buckets) < 6 {
			t.Errorf("%d connections wait in %d of 10 parts of the window", n, len(buckets))
		}
	})
}

// Stats add up.
func TestStats(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1000)
		p := h.dial()
		p.text("hello")
		p.expect(0x81, "hello")
		p.raw(masked(0x89, nil)...)
		p.expect(0x8a, "")
		p.raw(masked(0x88, []byte{0x0f, 0xa1})...) // 4001
		p.closedWith(4001)
		p.conn.Close()
		receive(t, "Closed", h.closed)
		for _, code := range []uint16{3000, 3456, 4999, 4567} {
			p := h.dial()
			p.raw(masked(0x88, wsframe.AppendClose(nil, code, ""))...)
			p.closedWith(code)
			p.conn.Close()
			receive(t, "Closed", h.closed)
		}
		p = h.dial()
		p.conn.Close()
		receive(t, "Closed", h.closed)
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, _ = c.Read(make([]byte, 1))
		c.Close()
		s := h.handler.Stats()
		if s.Upgrades != 6 || s.Refusals[426] != 1 || s.Closes[4001] != 1 || s.Closes[3000] != 2 || s.Closes[4999] != 2 || s.Closes[1006] != 1 || len(s.Closes) != 4 {
			t.Errorf("counted %+v", s)
		}
		if s.FramesIn != 7 || s.FramesOut != 7 || s.BytesIn != uint64(6+5+6+5*8) || s.BytesOut < uint64(2+5+2+5*4) {
			t.Errorf("counted %+v", s)
		}
	})
}

// TestCycles (H01): a thousand connections come and go, each in another way, and
// leave nothing behind.
func TestCycles(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand connections")
	}
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{Compression: true, Logger: silent}, 1000)
		cycle := func(i int) {
			p := h.dial(deflate)
			switch i % 5 {
			case 0:
				p.text("hello")
				p.expect(0x81, "hello")
			case 1:
				p.raw(masked(0x88, []byte{3, 0xe8})...)
				p.closedWith(1000)
			case 2:
				p.raw(masked(0x01, []byte("half a mess"))[:9]...)
			case 3:
				p.raw(0xff, 0xff)
				p.outcome()
			case 4:
				_ = p.conn.SetLinger(0) // a reset
			}
			p.conn.Close()
			receive(t, "Closed", h.closed)
		}
		for i := range 10 {
			cycle(i)
		}
		base, goroutines := descriptors(), runtime.NumGoroutine()
		for i := range 1000 {
			cycle(i)
		}
		deadline := time.Now().Add(10 * time.Second)
		for (descriptors() > base+2 || runtime.NumGoroutine() > goroutines+2 || h.engine.Connections() > 0) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond) // net/http ends its goroutines on its own
		}
		if n := descriptors(); n > base+2 {
			t.Errorf("%d descriptors are open, %d were before", n, base)
		}
		if n := runtime.NumGoroutine(); n > goroutines+2 {
			t.Errorf("%d goroutines run, %d did before", n, goroutines)
		}
		if n := h.engine.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// descriptors counts this process's open files, 0 where that is not known.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}
