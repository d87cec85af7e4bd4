package history

import "slices"

// duty is a run of a log that a session had to be given.
type duty struct {
	log      *log
	from, to uint64 // after from, up to and including to
	given    []uint64
	strayed  map[uint64]bool
	told     []span
}

type span struct{ from, to uint64 } // after from, up to and including to

const forever = ^uint64(0)

// acknowledgedIsDelivered, I7: when all is quiet, a session that follows has
// been given what was acknowledged since it began, or was told of the loss; and
// it is told of a loss only where the log no longer kept the messages.
func acknowledgedIsDelivered(x *index, bad report) {
	for _, s := range x.sessions {
		for _, d := range x.duties(s, bad) {
			x.judge(s, d, bad)
		}
	}
}

// duties walks a session. On the way it judges what the session was told.
func (x *index) duties(s *session, bad report) []*duty {
	var all []*duty
	var d *duty
	end := func(st *stand, to uint64) {
		if d != nil {
			d.to, d.given, d.strayed = to, st.given, st.strayed
			all = append(all, d)
			d = nil
		}
	}
	var st stand
	for _, i := range s.places {
		e := &x.events[i]
		switch e.Kind {
		case SubOK:
			l := x.logs[logName{e.Channel, e.Epoch}]
			switch {
			case d == nil || e.Since == nil || d.log != l:
				end(&st, st.last)
				d = &duty{log: l, from: e.Offset}
			case !e.Recovered:
				d.told = append(d.told, span{st.last, e.Offset})
				if e.Reason != "epoch" && (e.Reason == "unknown" || !x.lossExplained(l, st.last, i)) {
					bad(i, "%s stood at %d, which the log still goes on from: %s", s.client, st.last, x.at(i))
				}
			}
		case Gap:
			if d != nil {
				d.told = append(d.told, span{e.From - 1, e.To})
				if !x.lossExplained(d.log, st.last, i) {
					bad(i, "%s was told of a gap after %d, which the log still goes on from: %s", s.client, st.last, x.at(i))
				}
			}
		case SubEnd:
			end(&st, st.last)
		}
		st.step(e)
	}
	end(&st, forever)
	return all
}

// lossExplained reports whether the log may have dropped messages that come
// right after offset, as of place: as many as it keeps had been begun since, or
// they may have been too old.
func (x *index) lossExplained(l *log, offset uint64, place int) bool {
	p := x.policy
	if p.KeptFor > 0 && x.events[place].At-x.events[l.first].At >= p.KeptFor {
		return true
	}
	if p.Kept <= 0 {
		return false
	}
	begun, last := 0, offset
	for _, e := range after(l.entries, offset) {
		if m := x.messages[e.id]; e.offset != last && m != nil && m.invoked < place {
			begun, last = begun+1, e.offset
		}
	}
	for _, invoked := range x.chans[l.name.channel].unplaced {
		if invoked < place {
			begun++
		}
	}
	return begun > p.Kept
}

func (x *index) judge(s *session, d *duty, bad report) {
	if d.to == forever && x.quiet < 0 {
		return // it may still have been on its way
	}
	missing, first := 0, 0
	for _, a := range after(d.log.acked, d.from) {
		if a.offset > d.to {
			break
		}
		if d.to == forever && a.place > x.quiet || d.covers(a.offset) {
			continue
		}
		if missing++; missing == 1 {
			first = a.place
		}
	}
	if missing > 0 {
		bad(first, "%s followed %s from %s/%d on and never was given %d acknowledged messages, nor told of it; the first: %s",
			s.client, s.channel, d.log.name.epoch, d.from, missing, x.at(first))
	}
}

func (d *duty) covers(offset uint64) bool {
	if _, ok := slices.BinarySearch(d.given, offset); ok || d.strayed[offset] {
		return true
	}
	return slices.ContainsFunc(d.told, func(s span) bool { return offset > s.from && offset <= s.to })
}

// authorized, I13: nobody is given anything without a grant, nor later than a
// moment after it was revoked. A history without any Grant is one where
// everybody may follow everything.
func authorized(x *index, bad report) {
	if !slices.ContainsFunc(x.events, func(e Event) bool { return e.Kind == Grant }) {
		return
	}
	for _, s := range x.sessions {
		granted, revoked := false, -1
		for _, i := range s.places {
			switch e := &x.events[i]; e.Kind {
			case Grant:
				granted = true
			case Revoke:
				granted, revoked = false, i
			case Recv:
				if !granted && revoked < 0 {
					bad(i, "%s was never allowed to follow %s: %s", s.client, s.channel, x.at(i))
				} else if !granted && e.At-x.events[revoked].At > x.policy.revoked() {
					bad(i, "it came %v after %s was no longer allowed to follow %s: %s", e.At-x.events[revoked].At, s.client, s.channel, x.at(i))
				}
			}
		}
	}
}

// bounded, I14: a server takes no more than its connections and budgets
// explain, and gives back descriptors and goroutines.
func bounded(x *index, bad report) {
	b := x.policy.Bounds
	if b == nil {
		return
	}
	first, last := map[string]int{}, map[string]int{}
	for i := range x.events {
		e := &x.events[i]
		if e.Kind != Sample {
			continue
		}
		if _, ok := first[e.Client]; !ok {
			first[e.Client] = i
		}
		last[e.Client] = i
		if most := b.Base + b.Budget + int64(e.Usage.Connections)*b.PerConnection; e.Usage.Resident > most {
			bad(i, "%s takes %d bytes with %d connections; %d are explained: %s", e.Client, e.Usage.Resident, e.Usage.Connections, most, x.at(i))
		}
	}
	for server, i := range last {
		was, is := x.events[first[server]].Usage, x.events[i].Usage
		more := max(is.Connections-was.Connections, 0)
		if n := is.Descriptors - was.Descriptors - more; n > b.Rest {
			bad(i, "%s ends with %d descriptors more than it began with: %s", server, n, x.at(i))
		}
		if n := is.Goroutines - was.Goroutines - more; n > b.Rest {
			bad(i, "%s ends with %d goroutines more than it began with: %s", server, n, x.at(i))
		}
	}
}
