package reactor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// drivers runs a test on every engine of this system.
func drivers(t *testing.T, test func(t *testing.T, e *Engine)) {
	names := []string{"std"}
	if best != "std" {
		names = append(names, best)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) { test(t, start(t, Options{Engine: name, Loops: 2})) })
	}
}

func start(t testing.TB, o Options) *Engine {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

func stop(t testing.TB, e *Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Error("Stop:", err)
	}
}

// pair returns both ends of a TCP connection on loopback.
func pair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		ch <- accepted{c, err}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := <-ch
	if a.err != nil {
		t.Fatal(a.err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), a.c.(*net.TCPConn)
}

// hooks is a Handler of functions.
type hooks struct {
	data    func(c *Conn, p []byte)
	drained func(c *Conn)
	closed  chan error
}

func (h *hooks) Data(c *Conn, p []byte) {
	if h.data != nil {
		h.data(c, p)
	}
}

func (h *hooks) Drained(c *Conn) {
	if h.drained != nil {
		h.drained(c)
	}
}

func (h *hooks) Closed(_ *Conn, err error) { h.closed <- err }

func newHooks() *hooks { return &hooks{closed: make(chan error, 1)} }

// add hands the server's end to the engine and returns its Conn.
func add(t testing.TB, e *Engine, nc net.Conn, h Handler, leftover string) added {
	t.Helper()
	opened := make(chan added, 1)
	if err := e.Add(nc, []byte(leftover), func(c *Conn) Handler { opened <- added{c, c.Loop()}; return h }); err != nil {
		t.Fatal(err)
	}
	return <-opened
}

// added is a connection and its loop, which may be asked for on any goroutine.
type added struct {
	*Conn
	loop *Loop
}

func (a added) Loop() *Loop { return a.loop }

// on runs fn on the connection's loop and waits for it.
func on(t testing.TB, l *Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(TaskFunc(func(*Loop) { defer close(done); fn() })) {
		t.Fatal("the loop has stopped")
	}
	<-done
}

func wait[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func TestEcho(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		h.data = func(c *Conn, p []byte) { c.Send(p) }
		c := add(t, e, server, h, "left over")
		on(t, c.Loop(), func() {
			if got := c.RemoteAddr().String(); got != client.LocalAddr().String() {
				t.Errorf("remote address %s, want %s", got, client.LocalAddr())
			}
		})
		sent := make([]byte, 3<<20)
		rnd := rand.NewChaCha8([32]byte{1})
		_, _ = rnd.Read(sent)
		go func() {
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(100_000))
				if _, err := client.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
		}()
		got := make([]byte, len("left over")+len(sent))
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if string(got[:9]) != "left over" || !bytes.Equal(got[9:], sent) {
			t.Fatal("the echo is another")
		}
		client.Close()
		if err := wait(t, "Closed", h.closed); err != nil && !errors.Is(err, io.EOF) {
			t.Error("an orderly end is", err)
		}
	})
}

// TestOrderUnderBacklog sends and shares in every mixture to a peer that reads
// late; what comes out is what went in.
func TestOrderUnderBacklog(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		drained := make(chan struct{}, 16)
		h.drained = func(*Conn) { drained <- struct{}{} }
		c := add(t, e, server, h, "")
		var want bytes.Buffer
		rnd := rand.New(rand.NewPCG(1, 2))
		block := func(n int) []byte { return bytes.Repeat([]byte{byte(rnd.IntN(256))}, n) }
		on(t, c.Loop(), func() {
			for i := 0; !c.Blocked() || i < 200; i++ {
				p := block(1 + rnd.IntN(40_000))
				switch rnd.IntN(3) {
				case 0:
					c.Send(p)
					want.Write(p)
					for j := range p {
						p[j] = '!' // Send has copied
					}
				case 1:
					c.Share(p)
					want.Write(p)
				case 2:
					if n := c.Offer(p); n < len(p) {
						want.Write(p)
						c.Share(append([]byte(nil), p[n:]...))
					} else {
						want.Write(p)
					}
					for j := range p {
						p[j] = '!' // Offer keeps nothing
					}
				}
				if i > 20_000 {
					t.Error("the socket takes everything")
					return
				}
			}
			if c.Pending() == 0 {
				t.Error("blocked with nothing pending")
			}
		})
		got := make([]byte, want.Len())
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatal("what came out is not what went in")
		}
		wait(t, "Drained", drained)
		on(t, c.Loop(), func() {
			if c.Blocked() || c.Pending() != 0 {
				t.Error("still blocked after Drained")
			}
		})
	})
}

// TestBlockedIsNotRead: a peer that does not read is not read from.
func TestBlockedIsNotRead(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		var reads atomic.Int64
		h.data = func(*Conn, []byte) { reads.Add(1) }
		c := add(t, e, server, h, "")
		on(t, c.Loop(), func() {
			for !c.Blocked() {
				c.Share(make([]byte, 64<<10))
			}
		})
		before := reads.Load()
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			on(t, c.Loop(), func() {})
		}
		// The goroutine driver may have had one read under way.
		if n := reads.Load() - before; n > 1 {
			t.Errorf("%d reads while blocked", n)
		}
		go io.Copy(io.Discard, client)
		deadline := time.Now().Add(20 * time.Second)
		for reads.Load() == 0 {
			if time.Now().After(deadline) {
				t.Fatal("never read again")
			}
			runtime.Gosched()
		}
	})
}

func TestPause(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		got := make(chan string, 8)
		h.data = func(c *Conn, p []byte) { c.PauseRead(); got <- string(p) }
		c := add(t, e, server, h, "")
		for i := range 5 {
			text := fmt.Sprint("message ", i)
			if _, err := client.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if s := wait(t, "data", got); s != text {
				t.Fatalf("%q, want %q", s, text)
			}
			if i == 2 {
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				for range 20 {
					on(t, c.Loop(), func() {})
				}
				select {
				case s := <-got:
					t.Fatalf("%q came while paused", s)
				default:
				}
				on(t, c.Loop(), c.ResumeRead)
				wait(t, "data", got)
			}
			on(t, c.Loop(), c.ResumeRead)
		}
	})
}

// TestFairness: a peer that floods does not keep the loop from another.
func TestFairness(t *testing.T) {
	for _, name := range []string{"std", best} {
		e := start(t, Options{Engine: name, Loops: 1})
		var flooded atomic.Int64
		loud, loudServer := pair(t)
		hl := newHooks()
		hl.data = func(_ *Conn, p []byte) { flooded.Add(int64(len(p))) }
		add(t, e, loudServer, hl, "")
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := make([]byte, 256<<10)
			for {
				if _, err := loud.Write(p); err != nil {
					return
				}
			}
		}()
		quiet, quietServer := pair(t)
		hq := newHooks()
		hq.data = func(c *Conn, p []byte) { c.Send(p) }
		add(t, e, quietServer, hq, "")
		buf := make([]byte, 1)
		for range 100 {
			if _, err := quiet.Write(buf); err != nil {
				t.Fatal(err)
			}
			_ = quiet.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadFull(quiet, buf); err != nil {
				t.Fatal(err)
			}
		}
		if flooded.Load() == 0 {
			t.Error("nothing was flooded: this tested nothing")
		}
		loud.Close()
		<-done
	}
}

type steps struct {
	left int
	do   func(n int)
}

func (s *steps) Step(*Loop) bool {
	s.left--
	s.do(s.left)
	return s.left > 0
}

// TestJobsInterleave: between two steps of a long job the loop serves mail,
// timers and sockets.
func TestJobsInterleave(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		var reads, mails, fires, at atomic.Int64
		h.data = func(c *Conn, p []byte) { reads.Add(1); c.Send(p) }
		c := add(t, e, server, h, "")
		l := c.Loop()
		finished := make(chan struct{})
		timer := &ticker{n: &fires}
		enough := func() bool { return reads.Load() > 3 && mails.Load() > 3 && fires.Load() > 3 }
		on(t, l, func() {
			l.Arm(&timer.t, time.Millisecond, timer)
			l.AddJob(&steps{left: 1 << 40, do: func(int) {
				at.Add(1)
			}})
		})
		go func() {
			defer close(finished)
			b := []byte{1}
			for !enough() {
				if _, err := client.Write(b); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(client, b); err != nil {
					t.Error(err)
					return
				}
				l.Post(TaskFunc(func(*Loop) { mails.Add(1) }))
			}
		}()
		wait(t, "reads, mail and timers beside a job", finished)
		if at.Load() == 0 {
			t.Error("the job never ran")
		}
	})
}

type ticker struct {
	t Timer
	n *atomic.Int64
}

func (k *ticker) Fire(l *Loop) {
	k.n.Add(1)
	l.Arm(&k.t, time.Millisecond, k)
}

func TestMailIsInOrder(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		l := e.Loops()[0]
		const posters, each = 8, 2000
		last := [posters]int{}
		var wg sync.WaitGroup
		for p := range posters {
			wg.Go(func() {
				for n := 1; n <= each; n++ {
					l.Post(TaskFunc(func(*Loop) {
						if last[p] != n-1 {
							t.Errorf("poster %d: %d after %d", p, n, last[p])
						}
						last[p] = n
					}))
				}
			})
		}
		wg.Wait()
		on(t, l, func() {
			for p, n := range last {
				if n != each {
					t.Errorf("poster %d came to %d", p, n)
				}
			}
		})
	})
}

func TestLinger(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		c := add(t, e, server, h, "")
		text := bytes.Repeat([]byte("last words "), 200_000)
		on(t, c.Loop(), func() {
			c.Share(text)
			c.CloseAfterFlush(20 * time.Second)
			c.Send([]byte("too late"))
		})
		got, err := io.ReadAll(client)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes, want %d; %v", len(got), len(text), err)
		}
		client.Close()
		wait(t, "Closed", h.closed)

		// A peer that never ends its side is not waited for longer than the grace.
		_, server = pair(t)
		h = newHooks()
		c = add(t, e, server, h, "")
		on(t, c.Loop(), func() { c.CloseAfterFlush(50 * time.Millisecond) })
		wait(t, "Closed", h.closed)
	})
}

func TestPanics(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := pair(t)
		h := newHooks()
		h.data = func(*Conn, []byte) { panic("planted") }
		add(t, e, server, h, "")
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		var p *PanicError
		if err := wait(t, "Closed", h.closed); !errors.As(err, &p) || p.Value != "planted" || len(p.Stack) == 0 {
			t.Errorf("closed with %v", err)
		}
		for _, l := range e.Loops() {
			l.Post(TaskFunc(func(l *Loop) {
				l.AddJob(&steps{left: 3, do: func(int) { panic("planted in a job") }})
				panic("planted in a task")
			}))
			on(t, l, func() {})
		}
	})
}

func TestCloseInCallbacks(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		h := newHooks()
		opened := make(chan *Conn, 1)
		_, server := pair(t)
		planned := errors.New("planned")
		if err := e.Add(server, []byte("x"), func(c *Conn) Handler { c.Close(planned); opened <- c; return h }); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, "Closed", h.closed); err != planned {
			t.Errorf("closed with %v", err)
		}
		client, server := pair(t)
		h = newHooks()
		h.data = func(c *Conn, p []byte) {
			c.Send([]byte("gone"))
			c.Close(planned)
			c.Send([]byte("too late"))
			c.Close(nil)
		}
		add(t, e, server, h, "")
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, "Closed", h.closed); err != planned {
			t.Errorf("closed with %v", err)
		}
	})
}

// TestChurn: a thousand connections come and go in every way, and leave nothing.
func TestChurn(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		open := func() int {
			list, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Skip("no /proc on this system")
			}
			return len(list)
		}
		cycle := func(n int) {
			for i := range n {
				client, server := pair(t)
				h := newHooks()
				c := add(t, e, server, h, "")
				switch i % 4 {
				case 0:
					client.Close()
				case 1:
					_ = client.SetLinger(0) // a reset
					client.Close()
				case 2:
					on(t, c.Loop(), func() { c.Close(nil) })
				case 3:
					on(t, c.Loop(), func() { c.CloseAfterFlush(time.Minute) })
					client.Close()
				}
				wait(t, "Closed", h.closed)
				client.Close()
			}
		}
		cycle(8)
		fds := open()
		cycle(1000)
		for _, l := range e.Loops() {
			on(t, l, func() {}) // Closed is told a moment before the slot is free
		}
		if n := e.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if n := open(); n > fds+4 {
			t.Errorf("%d descriptors are open, %d before", n, fds)
		}
		for _, l := range e.Loops() {
			on(t, l, func() {
				if l.table.size != 0 || len(l.table.chunks) > 1 {
					t.Errorf("the table holds %d in %d chunks", l.table.size, len(l.table.chunks))
				}
				if l.wheel.armed != 0 {
					t.Errorf("%d timers are armed", l.wheel.armed)
				}
			})
		}
	})
}

func TestStop(t *testing.T) {
	for _, name := range []string{"std", best} {
		e, err := New(Options{Engine: name, Loops: 2})
		if err != nil {
			t.Fatal(err)
		}
		client, server := pair(t)
		if err := e.Add(server, nil, nil); err != ErrStopped {
			t.Errorf("Add before Start: %v", err)
		}
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Error("a refused connection is open")
		}
		stop(t, e) // before Start
		e = start(t, Options{Engine: name, Loops: 2})
		h := newHooks()
		_, server = pair(t)
		add(t, e, server, h, "")
		stop(t, e)
		if err := wait(t, "Closed", h.closed); err != ErrStopped {
			t.Errorf("closed with %v", err)
		}
		stop(t, e)
		if e.Loops()[0].Post(TaskFunc(func(*Loop) {})) {
			t.Error("a stopped loop takes mail")
		}
		if _, err := New(Options{Engine: "nonsense"}); err == nil {
			t.Error("an engine of nonsense")
		}
	}
}

// TestPipe: what is no TCP connection is driven by goroutines on any engine.
func TestPipe(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		client, server := net.Pipe()
		defer client.Close()
		h := newHooks()
		h.data = func(c *Conn, p []byte) { c.Send(p) }
		add(t, e, server, h, "")
		go func() { _, _ = client.Write([]byte("hello")) }()
		got := make([]byte, 5)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "hello" {
			t.Fatalf("%q %v", got, err)
		}
		client.Close()
		wait(t, "Closed", h.closed)
	})
}

// TestAllocations: offering and sharing to a socket that takes it allocate nothing.
func TestAllocations(t *testing.T) {
	if best == "std" {
		t.Skip("the goroutine driver copies what it is offered")
	}
	e := start(t, Options{Engine: best, Loops: 1})
	client, server := pair(t)
	c := add(t, e, server, newHooks(), "")
	go io.Copy(io.Discard, client)
	p := make([]byte, 132)
	on(t, c.Loop(), func() {
		for name, fn := range map[string]func(){
			"Offer": func() { c.Offer(p) },
			"Share": func() { c.Share(p) },
			"Send":  func() { c.Send(p) },
		} {
			if n := testing.AllocsPerRun(50, fn); n != 0 && !c.Blocked() {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}
