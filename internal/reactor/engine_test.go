package reactor

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestOptions(t *testing.T) {
	o := Options{}.withDefaults()
	if o.Engine != best || o.Loops != min(runtime.GOMAXPROCS(0), 256) || o.SendBuffer != 64<<10 || o.NotSentLowat != 16<<10 || o.ReadBuffer != 64<<10 || o.Logger == nil {
		t.Errorf("the defaults are %+v", o)
	}
	set := Options{Engine: "std", Loops: 3, SendBuffer: 4, NotSentLowat: 5, ReadBuffer: 6, Logger: o.Logger}
	if set.withDefaults() != set {
		t.Errorf("%+v became %+v", set, set.withDefaults())
	}
	if n := (Options{Loops: 1000}).withDefaults().Loops; n != 256 {
		t.Errorf("%d loops", n)
	}
	if _, err := New(Options{Engine: "nonsense"}); err == nil {
		t.Error("an engine of nonsense")
	}
}

func TestStop(t *testing.T) {
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e := start(t, Options{Engine: name, Loops: 2})
			if err := e.Start(context.Background()); err == nil {
				t.Error("started twice")
			}
			if e.Name() != name {
				t.Errorf("its name is %q", e.Name())
			}
			h := newHooks()
			_, server := pair(t)
			add(t, e, server, h, "")
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { stop(t, e) })
			}
			wg.Wait()
			if err := wait(t, "Closed", h.closed); err != ErrStopped {
				t.Errorf("closed with %v", err)
			}
			stop(t, e)
			if e.Loops()[0].Post(TaskFunc(func(*Loop) {})) {
				t.Error("a stopped loop takes mail")
			}
			refused(t, e)
			if err := e.Start(context.Background()); err == nil {
				t.Error("started after Stop")
			}
		})
	}
}

// refused: an engine that does not run closes what it is given.
func refused(t *testing.T, e *Engine) {
	t.Helper()
	client, server := pair(t)
	if err := e.Add(server, nil, func(*Conn) Handler { t.Error("open was called"); return nil }); err != ErrStopped {
		t.Errorf("Add: %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Error("a refused connection:", err)
	}
}

func TestStopBeforeStart(t *testing.T) {
	for _, name := range names() {
		e, err := New(Options{Engine: name, Loops: 2})
		if err != nil {
			t.Fatal(err)
		}
		refused(t, e)
		ran := false
		e.Loops()[0].Post(TaskFunc(func(*Loop) { ran = true }))
		stop(t, e)
		stop(t, e)
		if !ran {
			t.Error("a task that was taken did not run")
		}
		if err := e.Start(context.Background()); err == nil {
			t.Error("started after Stop")
		}
	}
}

// TestStopInVain: Stop gives up when its context ends, and the rest goes on.
func TestStopInVain(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		release := make(chan struct{})
		e.Loops()[0].Post(TaskFunc(func(*Loop) { <-release }))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := e.Stop(ctx); !errors.Is(err, context.Canceled) {
			t.Error("Stop:", err)
		}
		close(release)
		stop(t, e)
		if err := e.Stop(ctx); err != nil {
			t.Error("nothing is left to wait for, and Stop says", err)
		}
	})
}

// TestAddWhileStopping: every connection that was taken is told of its end, and
// every other is closed.
func TestAddWhileStopping(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		var taken, closed atomic.Int64
		var wg sync.WaitGroup
		begun := make(chan struct{}, 1)
		for range 8 {
			wg.Go(func() {
				for {
					client, server := pair(t)
					h := newHooks()
					err := e.Add(server, nil, func(*Conn) Handler { taken.Add(1); return h })
					if err == nil {
						select {
						case begun <- struct{}{}:
						default:
						}
						wait(t, "Closed", h.closed)
						closed.Add(1)
					}
					client.Close()
					if err != nil {
						return
					}
					select {
					case <-e.stopped:
						return
					default:
					}
				}
			})
		}
		wait(t, "the first", begun)
		stop(t, e)
		wg.Wait()
		if taken.Load() == 0 || taken.Load() != closed.Load() || e.Connections() != 0 {
			t.Errorf("%d taken, %d closed, %d left", taken.Load(), closed.Load(), e.Connections())
		}
	})
}

// TestSpread: connections go where there are fewest.
func TestSpread(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		n := map[*Loop]int{}
		for range 10 {
			_, server := pair(t)
			n[add(t, e, server, newHooks(), "").Loop()]++
		}
		for i, l := range e.Loops() {
			if n[l] != 5 || l.Index() != i {
				t.Errorf("loop %d has %d", l.Index(), n[l])
			}
		}
		if e.Connections() != 10 {
			t.Errorf("%d connections", e.Connections())
		}
	})
}

func TestRaiseFileLimit(t *testing.T) {
	before, err := RaiseFileLimit()
	if err != nil || before == 0 {
		t.Fatal(before, err)
	}
	if after, err := RaiseFileLimit(); after != before || err != nil {
		t.Errorf("%d, then %d %v", before, after, err)
	}
}
