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

func BenchmarkAppend(b *testing.B) { brokertest.Benchmark(b, fresh) }
