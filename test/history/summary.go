package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Summary is what happened in a run, and how soon it went on after faults.
type Summary struct {
	Events, Channels, Sessions int
	Took                       time.Duration
	Counts                     map[string]int
	Faults                     map[string]int // by kind
	// Reported, not asserted: the longest time from a Heal to the first publication
	// begun after it that was acknowledged, and to the moment when every session
	// that stayed had been given, or told of, all that was acknowledged before it.
	// Negative: it never came to that.
	FirstOK, CaughtUp time.Duration
}

// Summarize counts what happened.
func Summarize(events []Event, p Policy) Summary { return newIndex(events, &p).summary() }

func (x *index) summary() Summary {
	s := Summary{Events: len(x.events), Channels: len(x.chans), Sessions: len(x.sessions), Counts: map[string]int{}, Faults: map[string]int{}}
	if n := len(x.events); n > 0 {
		s.Took = x.events[n-1].At
	}
	underWay := map[string]bool{} // IDs that wait for an answer
	idle := map[string]bool{}     // who has a fault that no publication has met yet
	for i := range x.events {
		e := &x.events[i]
		switch e.Kind {
		case PubInvoke:
			if m := x.messages[e.ID]; m.invoked != i {
				s.Counts[CountRetried]++
			}
			underWay[e.ID] = true
			s.Counts[CountMetTraffic] += len(idle)
			clear(idle)
		case PubOK, PubFail, PubUnknown:
			delete(underWay, e.ID)
			switch e.Kind {
			case PubOK:
				s.Counts[CountPublished]++
			case PubUnknown:
				s.Counts[CountUnknown]++
			}
		case Fault:
			s.Faults[e.Reason]++
			s.Counts[CountFaults]++
			if len(underWay) > 0 {
				s.Counts[CountMetTraffic]++
			} else {
				idle[e.Client] = true
			}
		case Heal:
			delete(idle, e.Client)
		default:
			x.count(&s, e)
		}
	}
	for _, c := range x.chans {
		s.Counts[CountEpochs] += len(c.epochs) - 1
	}
	s.FirstOK, s.CaughtUp = x.firstOK(), x.caughtUp()
	return s
}

// count counts what needs no memory.
func (x *index) count(s *Summary, e *Event) {
	switch {
	case e.Kind == Recv:
		s.Counts[CountReceived]++
	case e.Kind == Gap:
		s.Counts[CountGaps]++
	case e.Kind == Away:
		s.Counts[CountAway]++
	case e.Kind == Quiet:
		s.Counts[CountQuiet]++
	case e.Kind == HistEnd:
		s.Counts[CountLogs]++
	case e.Kind == SubOK && e.Since != nil && e.Recovered:
		s.Counts[CountRecovered]++
	case e.Kind == SubOK && e.Since != nil:
		s.Counts[CountUnrecovered]++
	}
}

// tested, Run: the run contained what its policy asks for, else it shows nothing.
func tested(x *index, bad report) {
	counts := x.summary().Counts
	for _, name := range slices.Sorted(maps.Keys(x.policy.AtLeast)) {
		if want := x.policy.AtLeast[name]; counts[name] < want {
			bad(-1, "this run did not test what it is for: %s is %d, and must be at least %d", name, counts[name], want)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.policy.AtMost)) {
		if want := x.policy.AtMost[name]; counts[name] > want {
			bad(-1, "%s is %d, and may be at most %d", name, counts[name], want)
		}
	}
}

// firstOK is the longest time that publishing took to go on after a fault.
func (x *index) firstOK() time.Duration {
	longest, healed := time.Duration(0), -1
	for i := range x.events {
		e := &x.events[i]
		switch {
		case e.Kind == Heal && healed < 0:
			healed = i
		case e.Kind == Fault || e.Kind == Quiet:
			healed = -1 // too soon to say
		case e.Kind == PubOK && healed >= 0 && x.messages[e.ID].last > healed:
			longest, healed = max(longest, e.At-x.events[healed].At), -1
		}
	}
	return longest
}

// caughtUp is how long after the last fault was over the last session had
// everything that was acknowledged before.
func (x *index) caughtUp() time.Duration {
	healed := -1
	for i := range x.events {
		if x.events[i].Kind == Heal {
			healed = i
		}
	}
	if healed < 0 {
		return 0
	}
	var longest time.Duration
	for _, s := range x.sessions {
		took, ended := time.Duration(-1), false
		x.follow(s, func(st *stand, i int, e *Event) {
			ended = ended || e.Kind == SubEnd
			if took >= 0 {
				return
			}
			after := *st
			after.step(e)
			l := x.logs[logName{s.channel, after.epoch}]
			if l == nil || !after.on {
				return
			}
			c := x.chans[s.channel]
			if c.epochs[len(c.epochs)-1] != l && c.epochs[len(c.epochs)-1].first < healed {
				return // it is still in an epoch that has ended
			}
			if a, _ := l.ackedBefore(healed); after.last >= a.high {
				took = max(0, e.At-x.events[healed].At)
			}
		})
		if took < 0 && !ended {
			return -1
		}
		longest = max(longest, took)
	}
	return longest
}

// String is the summary for people, in a few lines.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events in %.1f s: %d published, %d delivered to %d sessions on %d channels\n",
		s.Events, s.Took.Seconds(), s.Counts[CountPublished], s.Counts[CountReceived], s.Sessions, s.Channels)
	fmt.Fprintf(&b, "faults: %d", s.Counts[CountFaults])
	if len(s.Faults) > 0 {
		var kinds []string
		for k, n := range s.Faults {
			kinds = append(kinds, fmt.Sprintf("%s %d", k, n))
		}
		slices.SortFunc(kinds, cmp.Compare)
		fmt.Fprintf(&b, " (%s), %d with publications under way", strings.Join(kinds, ", "), s.Counts[CountMetTraffic])
	}
	fmt.Fprintf(&b, "\npublications without an answer: %d, sent again: %d\n", s.Counts[CountUnknown], s.Counts[CountRetried])
	fmt.Fprintf(&b, "connections lost: %d, resumed whole: %d, told of a loss: %d, gaps: %d, epochs ended: %d\n",
		s.Counts[CountAway], s.Counts[CountRecovered], s.Counts[CountUnrecovered], s.Counts[CountGaps], s.Counts[CountEpochs])
	fmt.Fprintf(&b, "after a fault: first publication accepted within %s, all caught up within %s after the last", seconds(s.FirstOK), seconds(s.CaughtUp))
	return b.String()
}

func seconds(d time.Duration) string {
	if d < 0 {
		return "(never)"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
