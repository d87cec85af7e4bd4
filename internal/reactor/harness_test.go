package reactor

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names are the engines of this system.
func names() []string {
	if best == "std" {
		return []string{"std"}
	}
	return []string{"std", best}
}

// drivers runs a test on every engine of this system.
func drivers(t *testing.T, test func(t *testing.T, e *Engine)) {
	t.Helper()
	for _, name := range names() {
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
	ctx, cancel := context.WithTimeout(context.Background(), inVain)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Error("Stop:", err)
	}
}

// pair returns both ends of a TCP connection on loopback. The server's end is
// left to the engine.
func pair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String()) // the kernel accepts before we do
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// hooks is a Handler of functions.
type hooks struct {
	data    func(c *Conn, p []byte)
	drained func(c *Conn)
	closed  chan error
}

func newHooks() *hooks { return &hooks{closed: make(chan error, 1)} }

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

// Closed is told once: the channel has room for one.
func (h *hooks) Closed(_ *Conn, err error) {
	select {
	case h.closed <- err:
	default:
		panic("closed twice")
	}
}

// added is a connection and its loop, which may be asked for on any goroutine.
type added struct {
	*Conn
	loop *Loop
}

func (a added) Loop() *Loop { return a.loop }

// add hands nc to the engine and waits until it is open.
func add(t testing.TB, e *Engine, nc net.Conn, h Handler, leftover string) added {
	t.Helper()
	opened := make(chan added, 1)
	if err := e.Add(nc, []byte(leftover), func(c *Conn) Handler { opened <- added{c, c.Loop()}; return h }); err != nil {
		t.Fatal(err)
	}
	return wait(t, "open", opened)
}

// on runs fn on the loop and waits for it.
func on(t testing.TB, l *Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(TaskFunc(func(*Loop) { defer close(done); fn() })) {
		t.Fatal("the loop has stopped")
	}
	wait(t, "a task", done)
}

// turns lets the loop go round some times.
func turns(t testing.TB, l *Loop) {
	t.Helper()
	for range 20 {
		on(t, l, func() {})
	}
}

// inVain is after how long a test gives up.
const inVain = 20 * time.Second

func wait[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(inVain):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// watch asks on the loop, turn after turn, until the answer is yes.
func watch(t testing.TB, l *Loop, what string, yes func() bool) {
	t.Helper()
	done := make(chan struct{})
	on(t, l, func() {
		w := &asking{yes: yes, done: done}
		l.Arm(&w.timer, 0, w)
	})
	wait(t, what, done)
}

type asking struct {
	timer Timer
	yes   func() bool
	done  chan struct{}
}

func (a *asking) Fire(l *Loop) {
	if a.yes() {
		close(a.done)
		return
	}
	l.Arm(&a.timer, 0, a)
}
