package channel

import "errors"

// ErrBudget is what judging a message returns when its Budget did not suffice:
// nothing is known of the message then.
var ErrBudget = errors.New("it takes too much work to judge")

// Budget bounds the work that judging one message may take, and counts what it
// took. A step is a few dozen nanoseconds: one keyword of a schema looked at for
// one value, or some bytes read. It belongs to one goroutine at a time.
type Budget struct {
	limit, spent int
}

// NewBudget returns a budget of so many steps.
func NewBudget(steps int) Budget { return Budget{limit: steps} }

// Take spends steps, and reports whether there was enough for them. Once there
// was not, nothing more can be taken. A nil budget is without end.
func (b *Budget) Take(steps int) bool {
	if b == nil {
		return true
	}
	if b.spent > b.limit-steps {
		b.spent = b.limit + 1
		return false
	}
	b.spent += steps
	return true
}

// Spent returns the steps that were taken.
func (b *Budget) Spent() int { return min(b.spent, b.limit) }
