package presence

import "time"

// Action is what happened to a member.
type Action uint8

// The actions, by what watchers are told of them.
const (
	Enter Action = iota
	Update
	Leave
)

func (a Action) String() string { return [...]string{"enter", "update", "leave"}[a] }

// Change is one thing that watchers are told.
type Change struct {
	Action Action
	Member Member
}

// Up to SmallRoom members every change is told at once. In larger rooms changes are
// gathered, for LongestWindow at most.
const (
	SmallRoom     = 100
	LongestWindow = time.Second
)

// Window returns the time between two batches of changes in a room with that many
// members. Each batch is written to every watcher, and mostly the members watch, so
// the window grows with them: a millisecond for each.
func Window(members int) time.Duration {
	if members <= SmallRoom {
		return 0
	}
	return min(time.Duration(members)*time.Millisecond, LongestWindow)
}

// Changes gathers what is still to be told, at most one change for each member.
// The zero value is empty. It is not safe for concurrent use.
type Changes struct {
	list []Change
	at   map[string]int // in list, by the member's ID
	told time.Time      // the last Take
}

// Note adds a change to what is to be told. Of several changes of one member only the
// last is told, but an update of a member whose Enter was not told yet is an Enter.
func (c *Changes) Note(a Action, m Member) {
	i, ok := c.at[m.ID]
	if !ok {
		if c.at == nil {
			c.at = make(map[string]int)
		}
		c.at[m.ID] = len(c.list)
		c.list = append(c.list, Change{a, m})
		return
	}
	if a == Update && c.list[i].Action == Enter {
		a = Enter
	}
	c.list[i] = Change{a, m}
}

// Len returns how many changes are to be told.
func (c *Changes) Len() int { return len(c.list) }

// Due returns when the changes are to be told in a room of that many members.
// The first one after a quiet time is told at once. ok is false when there is
// nothing to tell.
func (c *Changes) Due(members int) (at time.Time, ok bool) {
	return c.told.Add(Window(members)), len(c.list) > 0
}

// Take returns what is to be told and forgets it: first the members that are in, then
// those that left, each in the order in which they were first noted.
func (c *Changes) Take(now time.Time) []Change {
	if len(c.list) == 0 {
		return nil
	}
	out := make([]Change, 0, len(c.list))
	for _, ch := range c.list {
		if ch.Action != Leave {
			out = append(out, ch)
		}
	}
	for _, ch := range c.list {
		if ch.Action == Leave {
			out = append(out, ch)
		}
	}
	*c = Changes{told: now}
	return out
}
