package reactor

import (
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

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
		var reads, mails, fires, ran atomic.Int64
		h.data = func(c *Conn, p []byte) { reads.Add(1); c.Send(p) }
		c := add(t, e, server, h, "")
		l := c.Loop()
		timer := &firing{}
		timer.fire = func() { fires.Add(1); l.Arm(&timer.t, time.Millisecond, timer) }
		on(t, l, func() {
			l.Arm(&timer.t, time.Millisecond, timer)
			l.AddJob(&steps{left: math.MaxInt, do: func(int) { ran.Add(1) }})
		})
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			b := []byte{1}
			for reads.Load() < 4 || mails.Load() < 4 || fires.Load() < 4 {
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
		if ran.Load() == 0 {
			t.Error("the job never ran")
		}
	})
}

// TestJobsTakeTurns: jobs go round, one step each, and one that comes while they
// do begins in the next round.
func TestJobsTakeTurns(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		l := e.Loops()[0]
		var got []string
		done := make(chan struct{})
		on(t, l, func() {
			for _, name := range []string{"a", "b", "c"} {
				l.AddJob(&steps{left: 3, do: func(n int) {
					got = append(got, name)
					if name == "a" && n == 2 {
						l.AddJob(&steps{left: 2, do: func(n int) {
							got = append(got, "new")
							if n == 0 {
								close(done)
							}
						}})
					}
				}})
			}
		})
		wait(t, "the jobs", done)
		on(t, l, func() {
			// The newcomer was added before the others went on, so it is first.
			if want := []string{"a", "b", "c", "new", "a", "b", "c", "new", "a", "b", "c"}; !slices.Equal(sorted(got, 3), sorted(want, 3)) {
				t.Errorf("the order was %q", got)
			}
		})
	})
}

// sorted sorts all but the first n, whose order counts.
func sorted(s []string, n int) []string {
	s = slices.Clone(s)
	slices.Sort(s[n:])
	return s
}

func TestMailIsInOrder(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		l := e.Loops()[0]
		const posters, each = 8, 3000 // more than the mailbox keeps room for
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

// TestMailWakes: a loop that sleeps hears of every single task. Whoever posts
// waits before it posts again, so that the loop has the time to fall asleep.
func TestMailWakes(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for range 5000 {
			on(t, e.Loops()[0], func() {})
		}
	})
}

// TestTimers: near and far timers fire in order, none too early, none more than
// a tick late, in a time that only the clock of the test makes.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, Options{Engine: "std", Loops: 1})
		l := e.Loops()[0]
		began := time.Now()
		delays := []time.Duration{time.Hour, 0, time.Millisecond, 19 * time.Millisecond, time.Second, 20 * time.Millisecond, 41 * time.Second, time.Minute}
		fired := map[time.Duration]time.Duration{}
		var order []time.Duration
		on(t, l, func() {
			for _, d := range delays {
				f := &firing{}
				f.fire = func() {
					fired[d] = time.Since(began)
					order = append(order, d)
				}
				l.Arm(&f.t, d, f)
			}
			forever := &firing{fire: func() { t.Error("forever is over") }}
			l.Arm(&forever.t, math.MaxInt64, forever)
			never := &firing{fire: func() { t.Error("a disarmed timer fired") }}
			l.Arm(&never.t, time.Second, never)
			l.Disarm(&never.t)
			l.Disarm(&never.t)
			moved := &firing{}
			moved.fire = func() { fired[7*time.Second] = time.Since(began) }
			l.Arm(&moved.t, 2*time.Hour, moved)
			l.Arm(&moved.t, 7*time.Second, moved)
			delays = append(delays, 7*time.Second)
		})
		time.Sleep(2 * time.Hour)
		on(t, l, func() {
			for _, d := range delays {
				if late := fired[d] - d; fired[d] == 0 || late < 0 || late > 2*wheelTick {
					t.Errorf("a timer of %v fired at %v", d, fired[d])
				}
			}
			if !slices.IsSorted(order) {
				t.Error("the order was", order)
			}
			if l.wheel.armed != 1 {
				t.Error("more timers are left than the one for ever")
			}
		})
		stop(t, e)
	})
}

// loyal is a timer that belongs to a connection.
type loyal struct {
	firing
	c *Conn
}

func (f *loyal) ReactorConn() *Conn { return f.c }

// TestPanics: a panic costs the connection whose callback it was, and no other.
func TestPanics(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		bystander, server := pair(t)
		hb := newHooks()
		hb.data = func(c *Conn, p []byte) { c.Send(p) }
		add(t, e, server, hb, "")
		for _, where := range []string{"Data", "Drained", "timer"} {
			client, server := pair(t)
			h := newHooks()
			h.data = func(*Conn, []byte) { panic("planted") }
			h.drained = func(*Conn) { panic("planted") }
			c := add(t, e, server, h, "")
			switch where {
			case "Data":
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			case "Drained":
				on(t, c.Loop(), func() {
					for !c.Blocked() {
						c.Share(make([]byte, 64<<10))
					}
				})
				go io.Copy(io.Discard, client)
			case "timer":
				f := &loyal{c: c.Conn}
				f.fire = func() { panic("planted") }
				on(t, c.Loop(), func() { c.Loop().Arm(&f.t, 0, f) })
			}
			var p *PanicError
			if err := wait(t, "Closed", h.closed); !errors.As(err, &p) || p.Value != "planted" || len(p.Stack) == 0 || p.Error() == "" {
				t.Errorf("%s: closed with %v", where, err)
			}
		}
		for _, l := range e.Loops() {
			f := &firing{fire: func() { panic("planted in a timer") }}
			l.Post(TaskFunc(func(l *Loop) {
				l.AddJob(&steps{left: 3, do: func(int) { panic("planted in a job") }})
				l.Arm(&f.t, 0, f)
				panic("planted in a task")
			}))
			watch(t, l, "the timer", func() bool { return f.t.tick == 0 && len(l.jobs) == 0 })
		}
		if _, err := bystander.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(bystander, make([]byte, 1)); err != nil {
			t.Error("the bystander suffers:", err)
		}
	})
}

// angry panics wherever it can.
type angry struct{}

func (a *angry) Data(c *Conn, _ []byte) { c.Close(nil) }
func (a *angry) Drained(*Conn)          {}
func (a *angry) Closed(*Conn, error)    { panic("planted in Closed") }

// TestPanicInOpenAndClosed: even then everything is given back.
func TestPanicInOpenAndClosed(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for name, open := range map[string]func(*Conn) Handler{
			"open":   func(*Conn) Handler { panic("planted in open") },
			"Closed": func(*Conn) Handler { return &angry{} },
			"nil":    func(*Conn) Handler { return nil },
		} {
			client, server := pair(t)
			if err := e.Add(server, []byte("x"), open); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: open after a panic", name)
			}
		}
		for _, l := range e.Loops() {
			turns(t, l)
		}
		if n := e.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestBuffer(t *testing.T) {
	e := start(t, Options{Engine: "std", Loops: 1})
	on(t, e.Loops()[0], func() {
		l := e.Loops()[0]
		b := append(l.Buffer(), "something"...)
		if len(l.Buffer()) != 0 || &b[0] != &append(l.Buffer(), 0)[0] {
			t.Error("the buffer is not empty, or another each time")
		}
	})
}

// counting counts the turns of a loop.
type counting struct {
	poller
	n atomic.Int64
}

func (c *counting) wait(l *Loop) {
	c.n.Add(1)
	c.poller.wait(l)
}

// TestWokenLoopSleepsAgain: mail and sockets end a wait without taking the next one
// or its timer along.
func TestWokenLoopSleepsAgain(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e, err := New(Options{Engine: name, Loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			l := e.Loops()[0]
			counted := &counting{poller: l.poll}
			l.poll = counted
			if err := e.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stop(t, e) })
			client, server := pair(t)
			add(t, e, server, newHooks(), "")
			fired := make(chan struct{})
			timer := &firing{fire: func() { close(fired) }}
			on(t, l, func() { l.Arm(&timer.t, 200*time.Millisecond, timer) })
			for range 20 {
				on(t, l, func() {})
				if _, err := client.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			wait(t, "the timer", fired)
			if n := counted.n.Load(); n < 20 || n > 400 {
				t.Errorf("the loop went round %d times for 20 messages and a timer", n)
			}
		})
	}
}
