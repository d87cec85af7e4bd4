package store

import (
	"sync/atomic"
	"time"
)

// Metrics counts what a store did. Fields may be read at any time.
type Metrics struct {
	Commits   atomic.Uint64 // groups
	Items     atomic.Uint64 // in all groups
	Refused   atomic.Uint64 // messages, because the store could not write
	Trimmed   atomic.Uint64 // messages deleted because of their age or number
	Forgotten atomic.Uint64 // channels of which nothing was kept any more
	Latency   Histogram     // of commits, from the making of the batch to its being readable
	Fsync     Histogram
}

func (m *Metrics) commit(items int, took time.Duration) {
	m.Commits.Add(1)
	m.Items.Add(uint64(items))
	m.Latency.observe(took)
}

func (m *Metrics) fsync(took time.Duration) { m.Fsync.observe(took) }

// Bounds are the upper bounds of a Histogram's buckets. What took longer is
// counted in the last one besides.
var Bounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, time.Second,
}

// Histogram counts durations.
type Histogram struct {
	buckets [len(Bounds) + 1]atomic.Uint64
	sum     atomic.Int64
}

func (h *Histogram) observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(int64(d))
}

// Read returns how many durations there were, their sum, and for each of Bounds
// how many were not longer.
func (h *Histogram) Read() (count uint64, sum time.Duration, upTo [len(Bounds)]uint64) {
	for i := range h.buckets {
		count += h.buckets[i].Load()
		if i < len(Bounds) {
			upTo[i] = count
		}
	}
	return count, time.Duration(h.sum.Load()), upTo
}
