package embedded

import (
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
