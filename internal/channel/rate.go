package channel

import "time"

// Pace is the rate of one subscription: how long it waits from one delivery to
// the next. A subscription with a pace is pulled less often; what it would have
// been given meanwhile waits in the ring and is conflated there, so a pace
// costs no queue.
type Pace struct {
	every time.Duration
	next  time.Time
}

// The rates that a subscription may ask for, in deliveries per second and key.
const (
	MinRate = 0.01
	MaxRate = 50
)

// NewPace returns the pace of rate deliveries per second. ok is false outside
// MinRate..MaxRate.
func NewPace(rate float64) (p Pace, ok bool) {
	if !(rate >= MinRate && rate <= MaxRate) {
		return Pace{}, false
	}
	return Pace{every: time.Duration(float64(time.Second) / rate)}, true
}

// Take says whether a delivery may leave now. If so it counts as made;
// otherwise wait is how long the next one has to wait.
func (p *Pace) Take(now time.Time) (wait time.Duration, ok bool) {
	if wait := p.next.Sub(now); wait > 0 {
		return wait, false
	}
	p.next = now.Add(p.every)
	return 0, true
}
