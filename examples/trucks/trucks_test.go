package trucks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener counts reports.
type listener struct {
	mu    sync.Mutex
	count map[string]int // of each truck, deletions not counted
	fail  error
}

func (l *listener) Held(context.Context, string) ([]string, error) { return nil, nil }

func (l *listener) Publish(_ context.Context, _, truck string, p *Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	if p != nil {
		l.count[truck]++
	}
	return nil
}

func TestFleetReportsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{count: map[string]int{}}
		f, err := Open(Options{Channels: l, Trucks: 30, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if err := errors.Join(f.Stop(t.Context()), f.Stop(t.Context())); err != nil {
			t.Error(err)
		}
		for truck, n := range l.count {
			if n < 10 || n > 11 {
				t.Errorf("%s reported %d times in 10.5 s", truck, n)
			}
		}
		if len(l.count) != 30 {
			t.Errorf("%d trucks reported", len(l.count))
		}
		before := l.count["truck-001"]
		time.Sleep(5 * time.Second)
		if l.count["truck-001"] != before {
			t.Error("a stopped fleet reports")
		}
	})
}

// While nobody looks nothing is reported, and once somebody does, all trucks are there
// within half a second.
func TestFleetSleepsWhileNobodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var watched atomic.Bool
		l := &listener{count: map[string]int{}}
		f, err := Open(Options{Channels: l, Trucks: 30, Watched: func(context.Context) bool { return watched.Load() }})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		reports := func() (n int) {
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, times := range l.count {
				n += times
			}
			return n
		}
		time.Sleep(time.Hour)
		if n := reports(); n > 0 {
			t.Errorf("%d reports while nobody looked", n)
		}
		watched.Store(true)
		time.Sleep(500 * time.Millisecond)
		if n := reports(); n != 30 {
			t.Errorf("half a second after somebody came there are %d reports, want one of each truck", n)
		}
		watched.Store(false)
		time.Sleep(time.Second)
		before := reports()
		time.Sleep(time.Hour)
		if n := reports(); n != before {
			t.Errorf("%d reports after all had left", n-before)
		}
		if err := f.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever an earlier run has left in the channels is gone once this one runs.
func TestFleetClearsTheRegions(t *testing.T) {
	b := book{"lakeland": {"truck-900": {}, "truck-001": {}}, "ostmark": {"truck-001": {}}}
	f, err := Open(Options{Channels: &ledger{book: b}, Trucks: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b["lakeland"])+len(b["ostmark"]) > 0 {
		t.Errorf("the regions still hold %v", b)
	}
	f, err = Open(Options{Channels: &ledger{book: book{"lakeland": {"truck-900": {}}}, fail: errors.New("no line")}, Trucks: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no line") {
		t.Errorf("it started: %v", err)
	}
}

// ledger is a book for many hands.
type ledger struct {
	book
	mu   sync.Mutex
	fail error
}

func (l *ledger) Publish(ctx context.Context, region, truck string, p *Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	return l.book.Publish(ctx, region, truck, p)
}

func TestFleetThatWasNeverStarted(t *testing.T) {
	f, err := Open(Options{Channels: &listener{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// A line that is down is told of once, and once that it is back.
func TestFleetSaysOnceWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		l := &listener{count: map[string]int{}, fail: errors.New("no line")}
		f, err := Open(Options{Channels: l, Trucks: 3, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		time.Sleep(5 * time.Second)
		if err := f.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if strings.Count(said.String(), "cannot report") != 1 || strings.Count(said.String(), "report again") != 1 {
			t.Errorf("it said %s", said.String())
		}
		if len(l.count) != 3 {
			t.Errorf("%d trucks reported once it was mended", len(l.count))
		}
	})
}

func TestOptions(t *testing.T) {
	l := &listener{}
	for name, o := range map[string]Options{"no channels": {}, "too many": {Channels: l, Trucks: MaxTrucks + 1}, "fewer than none": {Channels: l, Trucks: -1}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func TestRoutes(t *testing.T) {
	f, err := Open(Options{Channels: &listener{}, Trucks: 1})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	f.Routes(mux)
	for path, kind := range map[string]string{
		"/trucks/": "text/html; charset=utf-8", "/trucks/trucks.js": "text/javascript; charset=utf-8",
		"/trucks/map.json": "application/json", "/trucks/picture.svg": "image/svg+xml",
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Header().Get("ETag") == "" {
			t.Errorf("%s answered %d as %q", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
}
