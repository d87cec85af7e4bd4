package load

import (
	"math"
	"math/bits"
	"time"
)

const (
	precision = 6  // 2^6 buckets to each doubling: a bucket is at most 1.6 % wide
	maxBits   = 40 // values over 2^40 ns, 18 minutes, are counted as that
	buckets   = (maxBits - precision + 1) << precision
)

// Histogram counts durations in buckets whose width is a fixed share of their
// value, so that a microsecond and a minute are told apart equally well. The
// zero value is empty and ready. It is not safe for concurrent use.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
}

// Record counts one duration. A negative one, which a clock may yield for
// something immediate, counts as zero.
func (h *Histogram) Record(d time.Duration) {
	v := uint64(max(d, 0))
	h.counts[bucketOf(v)]++
	h.total++
	h.max = max(h.max, d)
}

// Count is the number of recorded durations.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the greatest recorded duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// Quantile returns the duration that a share q of all recorded ones, 0 to 1, did
// not exceed. It is the upper end of its bucket, so it is never flattering, but
// not over Max. An empty histogram returns 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(h.total)))
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(upperEnd(i)), h.max)
		}
	}
	return h.max
}

// Latency sums the histogram up.
func (h *Histogram) Latency() Latency {
	return Latency{
		P50:  milliseconds(h.Quantile(0.50)),
		P99:  milliseconds(h.Quantile(0.99)),
		P999: milliseconds(h.Quantile(0.999)),
		Max:  milliseconds(h.max),
	}
}

// bucketOf gives values below 2^precision a bucket each, and every later doubling
// 2^precision buckets.
func bucketOf(v uint64) int {
	v = min(v, 1<<maxBits-1)
	shift := max(bits.Len64(v)-precision-1, 0)
	return shift<<precision + int(v>>shift)
}

// upperEnd is the greatest value that bucketOf puts into bucket i.
func upperEnd(i int) uint64 {
	if i < 2<<precision {
		return uint64(i)
	}
	shift := i>>precision - 1
	mantissa := uint64(i - shift<<precision)
	return (mantissa+1)<<shift - 1
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
