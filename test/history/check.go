package history

import (
	"cmp"
	"fmt"
	"slices"
)

// Violation is one thing that should not have been.
type Violation struct {
	// Invariant is I1 to I14, or Run when the run did not contain what Policy
	// asks of it.
	Invariant string
	Text      string
	// Event is the place in the history of the event that shows it; -1: none does.
	Event int
}

// String is a line for people.
func (v Violation) String() string { return v.Invariant + ": " + v.Text }

// invariants in the order of the names.
var invariants = []struct {
	name  string
	check func(*index, report)
}{
	{"I1", agreement}, {"I2", noPhantom}, {"I3", inOrder}, {"I4", noSilentGap}, {"I5", noDuplicate},
	{"I6", acknowledgedIsLogged}, {"I7", acknowledgedIsDelivered}, {"I8", realTime}, {"I9", idempotent},
	{"I10", epochs}, {"I11", durable}, {"I12", visibleIsDurable}, {"I13", authorized}, {"I14", bounded}, {"Run", tested},
}

// report takes a violation that the event at place shows.
type report func(place int, format string, args ...any)

// perInvariant is how many violations of one invariant are returned: a broken
// server breaks a promise for every message, and nobody reads a million lines.
const perInvariant = 20

// Check judges a history, whose events are in the order of their times. It
// takes O(n log n) time and about as much memory as the history.
func Check(events []Event, p Policy) []Violation {
	x := newIndex(events, &p)
	var all []Violation
	for _, inv := range invariants {
		n := 0
		inv.check(x, func(place int, format string, args ...any) {
			if n++; n <= perInvariant {
				all = append(all, Violation{inv.name, fmt.Sprintf(format, args...), place})
			}
		})
		if n > perInvariant {
			all = append(all, Violation{inv.name, fmt.Sprintf("and %d more", n-perInvariant), -1})
		}
	}
	return all
}

// agreement, I1: a position of a log holds one message, whoever speaks of it.
func agreement(x *index, bad report) {
	for _, l := range x.sorted() {
		for i := 1; i < len(l.entries); i++ {
			a, b := &l.entries[i-1], &l.entries[i]
			if a.offset == b.offset && a.id != b.id {
				bad(b.place, "%s at %s/%d is %s to one and %s to another: %s; %s", l.name.channel, l.name.epoch, a.offset, a.id, b.id, x.at(a.place), x.at(b.place))
			}
		}
	}
}

// noPhantom, I2: what is delivered or kept was published before, and not refused.
func noPhantom(x *index, bad report) {
	for i := range x.events {
		e := &x.events[i]
		if e.Kind != Recv && e.Kind != Hist {
			continue
		}
		switch m := x.messages[e.ID]; {
		case m == nil:
			bad(i, "nobody published what came: %s", x.at(i))
		case m.invoked > i:
			bad(i, "it came before it was published at %v: %s", x.events[m.invoked].At, x.at(i))
		case m.refused():
			bad(i, "its publisher was told that it was refused: %s", x.at(i))
		}
	}
}

// inOrder, I3: a session is given the offsets of an epoch in rising order.
func inOrder(x *index, bad report) {
	for _, s := range x.sessions {
		x.follow(s, func(st *stand, i int, e *Event) {
			if n := len(st.given); e.Kind == Recv && n > 0 && e.Offset < st.given[n-1] && !st.has(e.Offset) {
				bad(i, "%s was given %d after %d: %s", s.client, e.Offset, st.given[n-1], x.at(i))
			}
		})
	}
}

// noSilentGap, I4: each message follows on the one before it, or on where
// delivery began, or on what a gap signal told of.
func noSilentGap(x *index, bad report) {
	for _, s := range x.sessions {
		x.follow(s, func(st *stand, i int, e *Event) {
			switch {
			case e.Kind == Recv && !st.on:
				bad(i, "%s does not follow %s and was given a message: %s", s.client, s.channel, x.at(i))
			case e.Kind == Recv && e.Offset > st.last && e.Prev != st.last:
				bad(i, "%s stands at %d; the next message must have prev %d: %s", s.client, st.last, st.last, x.at(i))
			case e.Kind == Gap && (e.From > st.last+1 || e.To < e.From):
				bad(i, "%s stands at %d; a gap must tell of %d on: %s", s.client, st.last, st.last+1, x.at(i))
			}
		})
	}
}

// noDuplicate, I5: a session is given a position once, through reconnects.
func noDuplicate(x *index, bad report) {
	for _, s := range x.sessions {
		x.follow(s, func(st *stand, i int, e *Event) {
			if e.Kind == Recv && e.Epoch == st.epoch && st.has(e.Offset) {
				bad(i, "%s was given %s/%d before: %s", s.client, e.Epoch, e.Offset, x.at(i))
			}
		})
	}
}

// realTime, I8: what was acknowledged before another was begun has the lower
// offset.
func realTime(x *index, bad report) {
	for _, l := range x.sorted() {
		for i := range l.entries {
			b := &l.entries[i]
			m := x.messages[b.id]
			if m == nil || i > 0 && l.entries[i-1].offset == b.offset {
				continue
			}
			if a, ok := l.ackedBefore(m.invoked); ok && a.high >= b.offset {
				bad(m.invoked, "%s was begun when %s/%d was acknowledged already, and stands at %d: %s; %s", b.id, l.name.epoch, a.high, b.offset, x.at(m.invoked), x.at(b.place))
			}
		}
	}
}

// epochs, I10: a session never goes back to an epoch that has ended, and is
// told truly whether it goes on where it was.
func epochs(x *index, bad report) {
	type move struct{ channel, from, to string }
	moves := map[move]int{}
	for _, s := range x.sessions {
		x.follow(s, func(st *stand, i int, e *Event) {
			if e.Kind != SubOK {
				return
			}
			if st.began && st.epoch != e.Epoch {
				// Where nodes lag, nobody knows which epoch was first; but nobody may go
				// one way while another goes the other.
				rank := x.chans[s.channel].rank
				back, contrary := moves[move{s.channel, e.Epoch, st.epoch}]
				switch {
				case !x.policy.Lags && rank[e.Epoch] < rank[st.epoch]:
					bad(i, "%s was in epoch %s, which came after %s: %s", s.client, st.epoch, e.Epoch, x.at(i))
				case contrary:
					bad(i, "%s goes from epoch %s to %s, and another the other way: %s; %s", s.client, st.epoch, e.Epoch, x.at(i), x.at(back))
				}
				moves[move{s.channel, st.epoch, e.Epoch}] = i
			}
			switch {
			case e.Since == nil:
			case e.Recovered && *e.Since != Position{e.Epoch, e.Offset}:
				bad(i, "%s was told that it goes on where it was, and does not: %s", s.client, x.at(i))
			case !e.Recovered && e.Reason == "epoch" && e.Since.Epoch == e.Epoch:
				bad(i, "%s was told of a new epoch, and it is the one it was in: %s", s.client, x.at(i))
			}
		})
	}
}

func (x *index) at(place int) string { return x.events[place].String() }

// sorted returns the logs in the order that they were heard of, so that reports
// are the same each time.
func (x *index) sorted() []*log {
	all := make([]*log, 0, len(x.logs))
	for _, l := range x.logs {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *log) int { return cmp.Compare(a.first, b.first) })
	return all
}
