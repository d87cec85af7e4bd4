package history

import "time"

// The invariants about what the store keeps.

// acknowledgedIsLogged, I6: what was acknowledged in the epoch that a log ended
// in is in the log, unless the policy let it be trimmed. (Whether an earlier
// epoch was allowed to end is I11's.)
func acknowledgedIsLogged(x *index, bad report) {
	for _, l := range x.sorted() {
		if l.end < 0 {
			continue
		}
		end := &x.events[l.end]
		trimmed := false
		for i := range l.acks {
			a := &l.acks[i]
			switch _, ok := l.kept[a.offset]; {
			case ok || a.place > l.end:
			case a.offset > end.From:
				bad(a.place, "acknowledged, and not in the log: %s; %s", x.at(a.place), x.at(l.end))
			case !trimmed && !x.mayBeTrimmed(l, a):
				trimmed = true // one is enough for a log
				bad(a.place, "acknowledged, and trimmed although only %d messages are kept after it: %s; %s", len(l.kept), x.at(a.place), x.at(l.end))
			}
		}
	}
}

func (x *index) mayBeTrimmed(l *log, a *ack) bool {
	p := x.policy
	return p.Kept > 0 && len(l.kept) >= p.Kept || p.KeptFor > 0 && x.events[l.end].At-x.events[a.place].At >= p.KeptFor
}

// idempotent, I9: a message published again under its dedupe key has one
// position, in every answer and in the log.
func idempotent(x *index, bad report) {
	type name struct{ client, channel, key string }
	first := map[name]int{}
	for i := range x.events {
		e := &x.events[i]
		if e.Kind != PubOK || e.Key == "" {
			continue
		}
		n := name{e.Client, e.Channel, e.Key}
		j, again := first[n]
		switch {
		case !again || e.At-x.events[j].At > x.policy.dedupe():
			first[n] = i
		case x.events[j].Epoch == e.Epoch && x.events[j].Offset != e.Offset:
			bad(i, "one key, two positions: %s; %s", x.at(j), x.at(i))
		}
	}
	stored := map[string]int{}
	for i := range x.events {
		e := &x.events[i]
		m := x.messages[e.ID]
		if e.Kind != Hist || m == nil || !m.keyed || x.events[m.last].At-x.events[m.invoked].At > x.policy.dedupe() {
			continue
		}
		if j, again := stored[e.ID]; again && x.events[j].Epoch == e.Epoch && x.events[j].Offset != e.Offset {
			bad(i, "published under a dedupe key and stored twice: %s; %s", x.at(j), x.at(i))
		}
		stored[e.ID] = i
	}
}

// durable, I11: an epoch ends only by a fault that the store declares, and
// where it did not end, the log reaches as far as it did before the fault.
func durable(x *index, bad report) {
	for _, c := range x.chans {
		for i := 1; i < len(c.epochs); i++ {
			before, after := c.epochs[i-1], c.epochs[i]
			// Where nodes lag, an epoch may be heard of after it has ended: then there
			// must have been as many faults as epochs have ended.
			if x.policy.Lags && x.ended(0, after.first) < i || !x.policy.Lags && x.ended(before.first, after.first) < 1 {
				bad(after.first, "epoch %s of %s ended, and no fault happened that a %s store declares it does not survive: %s", before.name.epoch, before.name.channel, x.policy.Store, x.at(after.first))
			}
		}
	}
	faults := map[string]int{} // under way, by who has them
	floors := map[logName]floors{}
	for i := range x.events {
		e := &x.events[i]
		head, asked := e.Offset, e.At
		switch e.Kind {
		case Fault:
			faults[e.Client] = i
			continue
		case Heal:
			if at, ok := faults[e.Client]; ok {
				delete(faults, e.Client)
				for name, l := range x.logs {
					if a, ok := l.ackedBefore(at); ok {
						floors[name] = append(floors[name], floor{e.At, a.high})
					}
				}
			}
			continue
		case SubOK:
			if x.policy.Lags {
				continue
			}
			if e.Since != nil {
				head = e.Head
			}
			if e.Asked != 0 {
				asked = e.Asked
			}
		case HistEnd:
		default:
			continue
		}
		if low := floors[logName{e.Channel, e.Epoch}].at(asked); head < low {
			bad(i, "the log reached %d before the fault and now ends at %d: %s", low, head, x.at(i))
		}
	}
}

// floors is how far a log reached before each fault, by when the fault was over.
type floors []floor

type floor struct {
	healed time.Duration
	offset uint64
}

// at returns how far a log must reach at t.
func (f floors) at(t time.Duration) (offset uint64) {
	for _, one := range f {
		if one.healed <= t {
			offset = max(offset, one.offset)
		}
	}
	return offset
}

// ended counts what happened between two places that may end an epoch.
func (x *index) ended(from, to int) (n int) {
	for i := from; i < to; i++ {
		if e := &x.events[i]; e.Kind == Fault && x.policy.ends(e.Reason) {
			n++
		}
	}
	return n
}

// visibleIsDurable, I12: what somebody was given is in the log for good. What
// was acknowledged as well is I6's.
func visibleIsDurable(x *index, bad report) {
	for _, l := range x.sorted() {
		if l.end < 0 {
			continue
		}
		acked := make(map[uint64]bool, len(l.acks))
		for i := range l.acks {
			acked[l.acks[i].offset] = true
		}
		for i := range l.entries {
			e := &l.entries[i]
			if _, ok := l.kept[e.offset]; ok || acked[e.offset] || x.events[e.place].Kind != Recv || e.place > l.end {
				continue
			}
			if e.offset > x.events[l.end].From {
				bad(e.place, "it was delivered, and is not in the log: %s; %s", x.at(e.place), x.at(l.end))
			}
		}
	}
}
