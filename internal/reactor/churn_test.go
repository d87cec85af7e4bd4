package reactor

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc on this system")
	}
	return len(list)
}

// TestChurn: a thousand connections come and go in every way, and leave nothing.
func TestChurn(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			_, first := pair(t) // Go's own poller is there from now on
			first.Close()
			before := descriptors(t)
			goroutines := goleak.IgnoreCurrent()
			e := start(t, Options{Engine: name, Loops: 2})
			for i := range 1000 {
				comeAndGo(t, e, i)
			}
			for _, l := range e.Loops() {
				on(t, l, func() {}) // Closed is told a moment before the slot is free
			}
			if n := e.Connections(); n != 0 {
				t.Errorf("%d connections are left", n)
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
			stop(t, e)
			if n := descriptors(t); n != before {
				t.Errorf("%d descriptors are open, %d before", n, before)
			}
			goleak.VerifyNone(t, goroutines)
		})
	}
}

func comeAndGo(t *testing.T, e *Engine, i int) {
	client, server := pair(t)
	h := newHooks()
	h.data = func(c *Conn, p []byte) { c.Send(p) }
	c := add(t, e, server, h, "")
	switch i % 6 {
	case 0:
		client.Close()
	case 1:
		_ = client.SetLinger(0) // a reset
		client.Close()
	case 2:
		on(t, c.Loop(), func() { c.Close(nil) })
	case 3:
		on(t, c.Loop(), func() { c.CloseAfterFlush(inVain) })
		client.Close()
	case 4:
		on(t, c.Loop(), func() { c.Share(make([]byte, 1<<20)) })
		client.Close()
	case 5:
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		_ = client.CloseWrite()
	}
	wait(t, "Closed", h.closed)
	client.Close()
}

// TestCrowd: many at once echo and end in all ways, while the loops are kept
// busy with jobs and mail; every byte that comes back is the right one.
func TestCrowd(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, l := range e.Loops() {
			l.Post(TaskFunc(func(l *Loop) {
				l.AddJob(&steps{left: math.MaxInt, do: func(n int) {
					if n%64 == 0 {
						l.Each(func(c *Conn) { c.PauseRead(); c.ResumeRead() })
					}
				}})
			}))
		}
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(g), 5))
				for range 10 {
					echoOnce(t, e, rnd)
				}
			})
		}
		wg.Wait()
	})
}

func echoOnce(t *testing.T, e *Engine, rnd *rand.Rand) {
	client, server := pair(t)
	defer client.Close()
	h := newHooks()
	var held []byte // what could not be echoed yet: by reference, as it may come late
	h.data = func(c *Conn, p []byte) {
		held = bytes.Clone(p)
		if n := c.Offer(held); n < len(held) {
			c.Share(held[n:])
		}
	}
	c := add(t, e, server, h, "")
	sent := bytes.Repeat([]byte{byte(rnd.IntN(256)), byte(rnd.IntN(256)), byte(rnd.IntN(256))}, 1+rnd.IntN(50_000))
	go func() { _, _ = client.Write(sent) }()
	got := make([]byte, len(sent))
	some := len(got)
	if rnd.IntN(3) == 0 {
		some = rnd.IntN(len(got)) // and go away in the middle
	}
	if _, err := io.ReadFull(client, got[:some]); err != nil || !bytes.Equal(got[:some], sent[:some]) {
		t.Error("the echo is another:", err)
	}
	switch rnd.IntN(3) {
	case 0:
		client.Close()
	case 1:
		c.Loop().Post(TaskFunc(func(*Loop) {
			select {
			case err := <-h.closed: // by then it may be another's slot
				h.closed <- err
			default:
				c.Close(nil)
			}
		}))
	case 2:
		_ = client.SetLinger(0)
		client.Close()
	}
	wait(t, "Closed", h.closed)
}
