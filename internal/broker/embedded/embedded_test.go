package embedded

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/internal/store"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fresh(t testing.TB, c *brokertest.Clock) broker.Broker {
	return New(store.Options{Dir: t.TempDir(), Now: c.Now})
}

func TestContract(t *testing.T) { brokertest.Exercise(t, fresh) }

// TestContractUnsynced is the same for a store that does not wait for the disk.
func TestContractUnsynced(t *testing.T) {
	brokertest.Exercise(t, func(t testing.TB, c *brokertest.Clock) broker.Broker {
		return New(store.Options{Dir: t.TempDir(), Now: c.Now, Fsync: store.Interval, Interval: time.Millisecond})
	})
}

// walk: what is on the disk outlives its driver.
var walk = brokertest.Walk{Seeds: 10, Steps: 250, Survives: true, Shared: func(t testing.TB, c *brokertest.Clock) func() broker.Broker {
	dir := t.TempDir()
	return func() broker.Broker { return New(store.Options{Dir: dir, Now: c.Now}) }
}}

func TestModel(t *testing.T) { brokertest.ExerciseModel(t, walk) }

func BenchmarkAppend(b *testing.B) { brokertest.Benchmark(b, fresh) }

// placed is told where a follower begins.
type placed chan protocol.Position

func (p placed) Begin(at protocol.Position, _ error) { p <- at }
func (placed) Entry(string, *channel.Entry)          {}
func (placed) Restart(protocol.Position)             {}

// TestForgotten: a channel that nobody follows is forgotten once all of it has
// expired, and who follows it then begins where it ended.
func TestForgotten(t *testing.T) {
	c := brokertest.NewClock()
	b := New(store.Options{Dir: t.TempDir(), Now: c.Now, Sweep: time.Millisecond, Logger: silent})
	if err := b.Start(t.Context(), "node", nil); err != nil {
		t.Fatal(err)
	}
	defer b.Stop(t.Context())
	brief := &channel.Declaration{Name: "brief", History: &channel.History{For: time.Minute}}
	follow := func(name string) (offset uint64, sub broker.Subscription) {
		at := make(placed, 1)
		sub = b.Open(name, brief).Follow(at)
		return (<-at).Offset, sub
	}
	_, followed := follow("followed")
	for _, name := range []string{"followed", "other"} {
		done := make(chan error, 1)
		b.Open(name, brief).Append(&broker.Publication{Message: protocol.Message{Type: "e", Channel: name, Data: []byte("1")}}, doneFunc(func(err error) { done <- err }))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	forgotten := func(want uint64) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); b.Store().Metrics().Forgotten.Load() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d were forgotten, want %d", b.Store().Metrics().Forgotten.Load(), want)
			}
		}
	}
	c.Advance(time.Hour)
	forgotten(1)
	followed.Close()
	forgotten(2)
	if at, _ := follow("followed"); at != 1 {
		t.Errorf("it begins after %d", at)
	}
}

type doneFunc func(error)

func (f doneFunc) Appended(_ broker.Receipt, err error) { f(err) }

// heard notes what a follower is told.
type heard chan string

func (h heard) Begin(p protocol.Position, err error) {
	h <- fmt.Sprintf("begin %s/%d, %v", p.Epoch, p.Offset, err)
}
func (h heard) Entry(epoch string, e *channel.Entry) {
	h <- fmt.Sprintf("entry %s/%d", epoch, e.Offset)
}
func (h heard) Restart(p protocol.Position) { h <- fmt.Sprintf("restart %s/%d", p.Epoch, p.Offset) }
func (h heard) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := <-h; got != w {
			t.Fatalf("told %q, want %q", got, w)
		}
	}
	if len(h) > 0 {
		t.Fatalf("told %q as well", <-h)
	}
}

// TestSetBack: when a client has seen more than there is, who follows what is kept
// is told. Who has not begun is told nothing, and what is kept nowhere goes on.
func TestSetBack(t *testing.T) {
	o := store.Options{Dir: t.TempDir(), Logger: silent}
	b := New(o)
	if err := errors.Join(b.Start(t.Context(), "node", nil), b.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	b = New(o) // it was set back since it was opened before
	if err := b.Start(t.Context(), "node", nil); err != nil {
		t.Fatal(err)
	}
	defer b.Stop(t.Context())
	log, loose := b.Open("kept", kept), b.Open("loose", &channel.Declaration{Name: "loose"})
	follower, other, early := make(heard, 9), make(heard, 9), make(heard, 9)
	defer log.Follow(follower).Close()
	defer loose.Follow(other).Close()
	s := b.shardOf("kept")
	s.mu.Lock()
	s.followed["kept"] = append(s.followed["kept"], &subscription{shard: s, name: "kept", follower: early, kept: true})
	s.mu.Unlock()
	publish := func() {
		said := make(chan error, 1)
		log.Append(&broker.Publication{Message: protocol.Message{Type: "e", Channel: "kept", Data: []byte("1")}}, doneFunc(func(err error) { said <- err }))
		if err := <-said; err != nil {
			t.Fatal(err)
		}
	}
	was := b.Store().Epoch()
	publish()
	follower.expect(t, "begin "+was+"/0, <nil>", "entry "+was+"/1")
	log.(broker.Claims).Claimed(protocol.Position{Epoch: was, Offset: 7})
	restart := <-follower
	is := b.Store().Epoch()
	if is == was || restart != "restart "+is+"/1" {
		t.Fatalf("told %q; the epoch was %q and is %q", restart, was, is)
	}
	publish()
	follower.expect(t, "entry "+is+"/2")
	b.restarted("next", func(string) (uint64, error) { return 0, errors.New("planted") })
	b.restarted("last", func(string) (uint64, error) { return 5, nil })
	follower.expect(t, "restart last/5")
	other.expect(t, "begin "+was+"/0, <nil>")
	early.expect(t)
}

// TestNotRunning: before the start and after the end it is not ready, and who
// follows then is told so and forgotten.
func TestNotRunning(t *testing.T) {
	b := New(store.Options{Dir: t.TempDir(), Logger: silent})
	if b.Ready(t.Context()) == nil || b.Started() {
		t.Error("it runs before its start")
	}
	if err := b.Start(t.Context(), "node", nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Ready(t.Context()); err != nil || !b.Started() {
		t.Errorf("it does not run: %v", err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	follower := make(heard, 1)
	b.Open("kept", kept).Follow(follower)
	if got := <-follower; !strings.HasPrefix(got, "begin /0, ") || strings.HasSuffix(got, "<nil>") {
		t.Error(got)
	}
	if b.isFollowed("kept") {
		t.Error("who was refused still follows")
	}
}
