package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	values := []uint64{0, 1, 63, 64, 127, 128, 129, 255, 256, 1000, 1_000_000, 1<<maxBits - 1}
	for _, v := range values {
		i := bucketOf(v)
		if upperEnd(i) < v {
			t.Errorf("%d is in bucket %d, which ends at %d", v, i, upperEnd(i))
		}
		if i > 0 && upperEnd(i-1) >= v {
			t.Errorf("%d is in bucket %d, but the one before ends at %d", v, i, upperEnd(i-1))
		}
		if width := float64(upperEnd(i)-v) / float64(max(v, 1)); width > 1.0/(1<<precision) {
			t.Errorf("%d: the end of its bucket is %.3f off", v, width)
		}
	}
	for i := 1; i < buckets; i++ {
		if upperEnd(i) <= upperEnd(i-1) {
			t.Fatalf("bucket %d ends at %d, the one before at %d", i, upperEnd(i), upperEnd(i-1))
		}
	}
	if got := bucketOf(math.MaxUint64); got != buckets-1 {
		t.Errorf("the greatest value is in bucket %d of %d", got, buckets)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 100_000 {
		d := time.Duration(rng.ExpFloat64() * float64(5*time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := all[int(math.Ceil(q*float64(len(all))))-1]
		got := h.Quantile(q)
		if got < exact || float64(got) > float64(exact)*1.017+1 {
			t.Errorf("quantile %g: %v, exactly %v", q, got, exact)
		}
	}
	if h.Count() != uint64(len(all)) || h.Max() != all[len(all)-1] {
		t.Errorf("count %d, max %v", h.Count(), h.Max())
	}
}

func TestHistogramEdges(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Latency() != (Latency{}) {
		t.Error("an empty histogram has a quantile")
	}
	h.Record(-time.Second)
	if h.Quantile(1) != 0 {
		t.Errorf("a negative duration counts as %v", h.Quantile(1))
	}
	h.Record(time.Hour)
	if got := h.Quantile(1); got > time.Hour || got < 18*time.Minute {
		t.Errorf("an hour counts as %v", got)
	}
	h.Reset()
	if h.Count() != 0 || h.Max() != 0 {
		t.Error("reset left something")
	}
	h.Record(2 * time.Millisecond)
	if l := h.Latency(); l.P50 != 2 || l.Max != 2 {
		t.Errorf("one value of 2 ms: %+v", l) // Max caps the bucket's end
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Record(time.Duration(i))
	}
}
