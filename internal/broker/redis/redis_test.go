package redis

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/broker/redis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o Options) *Broker {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestContract runs the suite on one server, each case under a prefix of its own.
func TestContract(t *testing.T) {
	server := redistest.Start(t)
	brokertest.Exercise(t, func(t testing.TB, c *brokertest.Clock) broker.Broker {
		return open(t, Options{Addresses: []string{server.Address}, Prefix: t.Name() + ":", Now: c.Now, Check: 200 * time.Millisecond})
	})
}

// TestContractOfNodes runs the cases about several nodes.
func TestContractOfNodes(t *testing.T) {
	server := redistest.Start(t)
	brokertest.ExerciseCluster(t, func(t testing.TB, c *brokertest.Clock) func() broker.Broker {
		return func() broker.Broker {
			return open(t, Options{Addresses: []string{server.Address}, Prefix: t.Name() + ":", Now: c.Now, Check: 200 * time.Millisecond, Lease: time.Second})
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	server := redistest.Start(b)
	brokertest.Benchmark(b, func(t testing.TB, _ *brokertest.Clock) broker.Broker {
		return open(t, Options{Addresses: []string{server.Address}, Prefix: newRandom() + ":", Pending: 1 << 20, Timeout: 30 * time.Second})
	})
}
