package trucks

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// traffic is all trucks, and whose turn it is to report. It is pure: time and
// chance are handed in. It is not safe for concurrent use.
//
// Every truck has its own moment of the second, so that the reports come in an
// even stream. Only at the beginning, and after a sleep, all of them report at once,
// for somebody has just opened the map.
type traffic struct {
	country *country
	trucks  []*truck
	chance  *rand.Rand
	begun   time.Time // when all of them reported last
	next    int64     // reports due since then; the next is of truck next modulo all
}

func newTraffic(c *country, n int, chance *rand.Rand) *traffic {
	t := &traffic{country: c, chance: chance}
	for i := range n {
		t.trucks = append(t.trucks, newTruck(fmt.Sprintf("truck-%03d", i+1), c, chance))
	}
	return t
}

// due moves the trucks whose turn it is and returns them. Turns that were missed are
// not made good for: each truck comes at most once in a call.
func (t *traffic) due(now time.Time) (due []*truck) {
	all := int64(len(t.trucks))
	if t.begun.IsZero() || now.Sub(t.turn(t.next)) > time.Second {
		t.begun, t.next = now, 0
		for _, truck := range t.trucks {
			truck.move(now, t.country, t.chance)
		}
		return t.trucks
	}
	for ; !t.turn(t.next).After(now); t.next++ {
		truck := t.trucks[t.next%all]
		truck.move(now, t.country, t.chance)
		due = append(due, truck)
	}
	return due
}

// turn returns when a report is due: the first ones a second after all have reported.
func (t *traffic) turn(n int64) time.Time {
	all := int64(len(t.trucks))
	return t.begun.Add(time.Duration(n/all+1)*time.Second + time.Duration(n%all)*time.Second/time.Duration(all))
}
