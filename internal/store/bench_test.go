package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/protocol"
)

// BenchmarkPublish is what `make bench-store` runs: 64 publishers, each of which
// waits for its acknowledgements, with so many publications under way. The rate
// of the disk's own fsync is measured beside it, right before.
func BenchmarkPublish(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		b.Run(fmt.Sprintf("publishers=64/inflight=%d", inFlight), func(b *testing.B) {
			dir := b.TempDir()
			rate := fsyncRate(b, dir)
			s := open(b, Options{Dir: filepath.Join(dir, "store"), Logger: silent})
			defer shut(b, s)
			var left atomic.Int64
			left.Store(int64(b.N))
			began := time.Now()
			b.ResetTimer()
			var wg sync.WaitGroup
			for p := range 64 {
				wg.Go(func() { publisher(b, s, p, inFlight, &left) })
			}
			wg.Wait()
			b.StopTimer()
			took := time.Since(began).Seconds()
			syncs, _, _ := s.metrics.Fsync.Read()
			b.ReportMetric(float64(b.N)/took, "acks/s")
			b.ReportMetric(float64(syncs)/took, "fsyncs/s")
			b.ReportMetric(rate, "disk-fsyncs/s")
			b.ReportMetric(float64(b.N)/float64(max(1, s.metrics.Commits.Load())), "acks/commit")
		})
	}
}

// publisher sends to its own channel until nothing is left to send.
func publisher(b *testing.B, s *Store, n, inFlight int, left *atomic.Int64) {
	log := fmt.Sprint("orders:", n)
	keep := &Keep{Messages: 1000}
	free := make(waiter, inFlight)
	for range inFlight {
		free <- answer{}
	}
	for left.Add(-1) >= 0 {
		if a := <-free; a.err != nil {
			b.Error(a.err)
			return
		}
		s.Append(&Append{Log: log, Keep: keep, Done: free, Message: &protocol.Message{
			Type: "order-created", Channel: log, From: "ann", Data: []byte(`{"id":7,"customer":"ann","total":1950,"lines":[{"product":"bell-collar","quantity":1}]}`)}})
	}
	for range inFlight {
		if a := <-free; a.err != nil {
			b.Error(a.err)
		}
	}
}

// fsyncRate returns how often the disk syncs a small write, one after the other.
func fsyncRate(b *testing.B, dir string) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 8<<10)
	began, n := time.Now(), 0
	for time.Since(began) < time.Second {
		if _, err := f.WriteAt(p, int64(n%1024)*int64(len(p))); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(began).Seconds()
}

// BenchmarkRestart is how long a store of many channels takes to open: with
// everything in the database, and after a kill.
func BenchmarkRestart(b *testing.B) {
	channels := 10_000
	if long() {
		channels = 100_000
	}
	o := Options{Dir: filepath.Join(b.TempDir(), "store"), Fsync: Never, Logger: silent}
	s := open(b, o)
	answers := make(waiter, channels)
	for n := range channels {
		log := fmt.Sprint("room:", n)
		s.Append(&Append{Log: log, Keep: &Keep{Messages: 100}, Done: answers,
			Message: &protocol.Message{Type: "e", Channel: log, Data: []byte(`{"text":"hello"}`)}})
	}
	for range channels {
		if a := <-answers; a.err != nil {
			b.Fatal(a.err)
		}
	}
	shut(b, s)
	b.ReportMetric(float64(channels), "channels")
	for b.Loop() {
		s := open(b, o)
		if _, err := position(s, "room:1"); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		shut(b, s)
		b.StartTimer()
	}
}
