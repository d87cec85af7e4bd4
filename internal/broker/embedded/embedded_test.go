package embedded

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/store"
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
