package shop

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ringdown/examples/demo/stage"
	"ringdown/examples/outbox"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "shop-test-key-0123"

var (
	ann   = stage.Caller{User: "ann"}
	ben   = stage.Caller{User: "ben"}
	staff = stage.Caller{User: "staff", Staff: true}
)

// audience hears what a shop publishes.
type audience struct {
	heard chan outbox.Event
	mu    sync.Mutex
	fail  func(outbox.Event) error // nil: never
}

func (a *audience) publish(_ context.Context, e outbox.Event) error {
	a.mu.Lock()
	fail := a.fail
	a.mu.Unlock()
	if fail != nil {
		if err := fail(e); err != nil {
			return err
		}
	}
	a.heard <- e
	return nil
}

func (a *audience) failWith(f func(outbox.Event) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = f
}

// next returns the next event on a channel, passing over others.
func (a *audience) next(t *testing.T, channel string) outbox.Event {
	t.Helper()
	for {
		select {
		case e := <-a.heard:
			if e.Channel == channel {
				return e
			}
		case <-t.Context().Done():
			t.Fatalf("no event on %s", channel)
		}
	}
}

func openShop(t *testing.T, dir string, a *audience) *Shop {
	t.Helper()
	gate, err := stage.OpenGate(dir, testKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Dir: dir, Gate: gate, Publish: a.publish, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newShop opens a shop that publishes to the returned audience, with the
// opening inventory already heard.
func newShop(t *testing.T) (*Shop, *audience) {
	t.Helper()
	a := &audience{heard: make(chan outbox.Event, 1000)}
	s := openShop(t, t.TempDir(), a)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for range catalogue {
		a.next(t, "inventory")
	}
	return s, a
}

func one(product string, quantity int) Draft {
	return Draft{Lines: []Wanted{{product, quantity}}}
}

func mustPlace(t *testing.T, s *Shop, who stage.Caller, d Draft) *Order {
	t.Helper()
	o, _, err := s.Place(who, d)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func stockOf(t *testing.T, s *Shop, product string) int {
	t.Helper()
	list, err := s.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list {
		if item.Product == product {
			return item.Count
		}
	}
	t.Fatalf("%s is not in the inventory", product)
	return 0
}

func wantCode(t *testing.T, err error, code protocol.Code) {
	t.Helper()
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok || e.Code != code {
		t.Errorf("error is %v, want one with code %s", err, code)
	}
}

func status(s Status) Change { return Change{Status: &s} }

func TestOpenTwiceIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openShop(t, dir, &audience{})
	defer s.Stop(context.Background())
	if _, err := Open(Options{Dir: dir, Gate: s.gate, Publish: (&audience{}).publish}); err == nil {
		t.Error("a second shop opened the same records")
	}
}

func TestARestartKeepsTheShop(t *testing.T) {
	dir, a := t.TempDir(), &audience{heard: make(chan outbox.Event, 100)}
	s := openShop(t, dir, a)
	o := mustPlace(t, s, ann, one("sun-lamp", 3))
	if _, err := s.SetStock(staff, "bird-swing", 7); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = openShop(t, dir, a)
	defer s.Stop(context.Background())
	kept, err := s.Order(ann, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Total != o.Total || kept.Status != Created || !kept.Created.Equal(o.Created) {
		t.Errorf("kept %+v, want %+v", kept, o)
	}
	if lamps, swings := stockOf(t, s, "sun-lamp"), stockOf(t, s, "bird-swing"); lamps != 5 || swings != 7 {
		t.Errorf("kept %d lamps and %d swings, want 5 and 7", lamps, swings)
	}
	if next := mustPlace(t, s, ann, one("sun-lamp", 1)); next.ID != o.ID+1 {
		t.Errorf("the next order is %d, want %d", next.ID, o.ID+1)
	}
}
