package history

import (
	"cmp"
	"slices"
)

// index is a history put in order by what the invariants ask for. Events are
// named by their place.
type index struct {
	events   []Event
	policy   *Policy
	messages map[string]*message
	logs     map[logName]*log
	chans    map[string]*chronicle
	sessions []*session
	quiet    int // place of the last Quiet; -1: there is none
}

type logName struct{ channel, epoch string }

// message is everything about one ID.
type message struct {
	channel  string
	placed   bool // its position is known
	invoked  int  // place of the first PubInvoke
	last     int  // and of the last
	keyed    bool
	attempts int
	failed   int
	answered bool // acknowledged, or its outcome is not known
}

// log is one epoch of one channel.
type log struct {
	name    logName
	first   int               // place of the event that it was first heard of by
	ids     map[uint64]string // what stands where, by the first event that said so
	entries []entry           // the same in order of offsets, and who said otherwise
	acks    []ack             // in order of their places
	acked   []entry           // the same in order of their offsets
	kept    map[uint64]string
	end     int // place of HistEnd; -1: it was not read
}

// entry is a position and what an event says stands there.
type entry struct {
	offset uint64
	id     string
	place  int
}

// ack is an acknowledged position; high is the greatest offset of it and all
// before it.
type ack struct {
	entry
	high uint64
}

// chronicle is one channel: its epochs in the order that they were heard of.
type chronicle struct {
	epochs   []*log
	rank     map[string]int
	unplaced []int // where messages were begun that may be in the log, nobody knows where
}

// session is one client's following of one channel, through reconnects.
type session struct {
	client, channel string
	places          []int
}

func newIndex(events []Event, p *Policy) *index {
	x := &index{events: events, policy: p, messages: map[string]*message{}, logs: map[logName]*log{}, chans: map[string]*chronicle{}, quiet: -1}
	sessions := map[[2]string]*session{}
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case PubInvoke, PubOK, PubFail, PubUnknown:
			x.publication(i, e)
		case SubOK, Recv, Gap, Away, SubEnd, Grant, Revoke:
			name := [2]string{e.Client, e.Channel}
			s := sessions[name]
			if s == nil {
				s = &session{client: e.Client, channel: e.Channel}
				sessions[name] = s
				x.sessions = append(x.sessions, s)
			}
			s.places = append(s.places, i)
			if e.Kind == SubOK {
				x.log(i, e)
			}
			if e.Kind == Recv {
				l := x.log(i, e)
				l.heard(entry{e.Offset, e.ID, i})
			}
		case Hist:
			l := x.log(i, e)
			l.heard(entry{e.Offset, e.ID, i})
			l.kept[e.Offset] = e.ID
		case HistEnd:
			x.log(i, e).end = i
		case Quiet:
			x.quiet = i
		}
	}
	for _, l := range x.logs {
		for i := range l.acks {
			l.acked = append(l.acked, l.acks[i].entry)
		}
		slices.SortStableFunc(l.acked, byOffset)
		slices.SortStableFunc(l.entries, byOffset)
		for i := range l.entries {
			if m := x.messages[l.entries[i].id]; m != nil {
				m.placed = true
			}
		}
	}
	for _, m := range x.messages {
		if !m.placed && !m.refused() {
			if c := x.chans[m.channel]; c != nil {
				c.unplaced = append(c.unplaced, m.invoked)
			}
		}
	}
	return x
}

func (l *log) heard(e entry) {
	if id, known := l.ids[e.offset]; known && id == e.id {
		return
	} else if !known {
		l.ids[e.offset] = e.id
	}
	l.entries = append(l.entries, e)
}

func byOffset(a, b entry) int { return cmp.Compare(a.offset, b.offset) }

// after returns those of entries, which are in order of their offsets, that
// stand after offset.
func after(entries []entry, offset uint64) []entry {
	i, _ := slices.BinarySearchFunc(entries, offset, func(e entry, o uint64) int {
		if e.offset <= o {
			return -1
		}
		return 1
	})
	return entries[i:]
}

func (x *index) publication(i int, e *Event) {
	m := x.messages[e.ID]
	if m == nil {
		m = &message{channel: e.Channel, invoked: i}
		x.messages[e.ID] = m
	}
	switch e.Kind {
	case PubInvoke:
		m.attempts++
		m.last = i
		m.keyed = m.keyed || e.Key != ""
	case PubFail:
		m.failed++
	case PubUnknown:
		m.answered = true
	case PubOK:
		m.answered = true
		l := x.log(i, e)
		a := ack{entry{e.Offset, e.ID, i}, e.Offset}
		l.heard(a.entry)
		if n := len(l.acks); n > 0 {
			a.high = max(a.high, l.acks[n-1].high)
		}
		l.acks = append(l.acks, a)
	}
}

// log returns the log that e speaks of.
func (x *index) log(i int, e *Event) *log {
	name := logName{e.Channel, e.Epoch}
	if l := x.logs[name]; l != nil {
		return l
	}
	l := &log{name: name, first: i, ids: map[uint64]string{}, kept: map[uint64]string{}, end: -1}
	x.logs[name] = l
	c := x.chans[e.Channel]
	if c == nil {
		c = &chronicle{rank: map[string]int{}}
		x.chans[e.Channel] = c
	}
	c.rank[e.Epoch] = len(c.epochs)
	c.epochs = append(c.epochs, l)
	return l
}

// ackedBefore returns the greatest offset that was acknowledged before place.
func (l *log) ackedBefore(place int) (ack, bool) {
	n, _ := slices.BinarySearchFunc(l.acks, place, func(a ack, place int) int { return cmp.Compare(a.place, place) })
	if n == 0 {
		return ack{}, false
	}
	return l.acks[n-1], true
}

// refused reports that m cannot be in any log.
func (m *message) refused() bool { return !m.answered && m.attempts > 0 && m.failed == m.attempts }

// stand is where a session is, event by event.
type stand struct {
	on      bool // following, and connected as far as is known
	began   bool // it followed at some time
	epoch   string
	last    uint64          // up to here it was given, or told of, everything
	given   []uint64        // offsets of this epoch, rising
	strayed map[uint64]bool // and those that came out of order
}

// has reports whether the session was given offset in this epoch before.
func (s *stand) has(offset uint64) bool {
	if n := len(s.given); n == 0 || offset > s.given[n-1] {
		return false
	}
	_, ok := slices.BinarySearch(s.given, offset)
	return ok || s.strayed[offset]
}

// step takes the session over e.
func (s *stand) step(e *Event) {
	switch e.Kind {
	case SubOK:
		if e.Epoch != s.epoch {
			s.given, s.strayed = nil, nil
		}
		s.on, s.began, s.epoch, s.last = true, true, e.Epoch, e.Offset
	case Recv:
		if n := len(s.given); n == 0 || e.Offset > s.given[n-1] {
			s.given = append(s.given, e.Offset)
		} else if !s.has(e.Offset) {
			if s.strayed == nil {
				s.strayed = map[uint64]bool{}
			}
			s.strayed[e.Offset] = true
		}
		s.last = max(s.last, e.Offset)
	case Gap:
		s.last = max(s.last, e.To)
	case Away, SubEnd:
		s.on = false
	}
}

// follow walks a session: see is called with each event and where the session
// stood before it.
func (x *index) follow(s *session, see func(st *stand, place int, e *Event)) {
	var st stand
	for _, i := range s.places {
		see(&st, i, &x.events[i])
		st.step(&x.events[i])
	}
}
