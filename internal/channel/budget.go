package channel

import (
	"errors"
	"math"
)

// ErrBudget is what judging a message returns when its Budget did not suffice:
// nothing is known of the message then.
var ErrBudget = errors.New("it takes too much work to judge")

// Budget bounds the work that judging one message may take, and counts what it
// took. A step is a few dozen nanoseconds: one keyword of a schema looked at for
// one value, or some bytes read. It belongs to one goroutine at a time.
type Budget struct {
	limit, spent int32 // small, for each connection has one
}

// NewBudget returns a budget of so many steps.
func NewBudget(steps int) Budget { return Budget{limit: int32(min(steps, mostSteps))} }

// mostSteps is a budget without end, but for a day of work.
const mostSteps = math.MaxInt32 - 1

// Take spends steps, and reports whether there was enough for them. Once there
// was not, nothing more can be taken. A nil budget is without end.
func (b *Budget) Take(steps int) bool {
	if b == nil {
		return true
	}
	if steps > int(b.limit-b.spent) {
		b.spent = b.limit + 1
		return false
	}
	b.spent += int32(steps)
	return true
}

// Spent returns the steps that were taken.
func (b *Budget) Spent() int { return int(min(b.spent, b.limit)) }
