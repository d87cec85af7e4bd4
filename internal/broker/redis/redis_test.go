package redis

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/broker/redis/redistest"
)

func TestMain(m *testing.M) {
	// The client of a Cluster may be waiting, for some seconds, to ask who is primary
	// or to close what it no longer needs.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).LazyDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

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
	t.Parallel()
	server := redistest.Start(t)
	brokertest.Exercise(t, func(t testing.TB, c *brokertest.Clock) broker.Broker {
		return open(t, Options{Addresses: []string{server.Address}, Prefix: t.Name() + ":", Now: c.Now, Check: 200 * time.Millisecond})
	})
}

// TestContractOfNodes runs the cases about several nodes.
func TestContractOfNodes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	brokertest.ExerciseCluster(t, func(t testing.TB, c *brokertest.Clock) func() broker.Broker {
		return func() broker.Broker {
			return open(t, Options{Addresses: []string{server.Address}, Prefix: t.Name() + ":", Now: c.Now, Check: 200 * time.Millisecond, Lease: time.Second})
		}
	})
}

// TestModel: what is in Redis outlives each of its nodes.
func TestModel(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	brokertest.ExerciseModel(t, brokertest.Walk{Seeds: 20, Steps: 250, Survives: true, Shared: func(t testing.TB, c *brokertest.Clock) func() broker.Broker {
		return func() broker.Broker {
			return open(t, Options{Addresses: []string{server.Address}, Prefix: t.Name() + ":", Now: c.Now, Check: 200 * time.Millisecond})
		}
	}})
}

// TestContractOfFaults breaks the server in the ways that every driver knows.
func TestContractOfFaults(t *testing.T) {
	t.Parallel()
	fault := func(name string, loses bool, hurt func(s *redistest.Server) (mend func())) brokertest.Fault {
		return brokertest.Fault{Name: name, Loses: loses, Start: func(t testing.TB) (func() broker.Broker, func() func()) {
			s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
			return func() broker.Broker {
				return open(t, Options{Addresses: []string{s.Address}, Check: 200 * time.Millisecond, Timeout: time.Second})
			}, func() func() { return hurt(s) }
		}}
	}
	nothing := func() {}
	brokertest.ExerciseFaults(t, []brokertest.Fault{
		fault("connections", false, func(s *redistest.Server) func() {
			s.Do("CLIENT", "KILL", "TYPE", "normal")
			s.Do("CLIENT", "KILL", "TYPE", "pubsub")
			return nothing
		}),
		fault("pause", false, func(s *redistest.Server) func() { s.Stop(); return s.Continue }),
		fault("restart", false, func(s *redistest.Server) func() { s.Kill(); return s.Run }),
		fault("emptied", true, func(s *redistest.Server) func() { s.Kill(); return s.RunEmpty }),
	})
}

func BenchmarkAppend(b *testing.B) {
	server := redistest.Start(b)
	brokertest.Benchmark(b, func(t testing.TB, _ *brokertest.Clock) broker.Broker {
		return open(t, Options{Addresses: []string{server.Address}, Prefix: newRandom() + ":", Pending: 1 << 20, Timeout: 30 * time.Second})
	})
}
