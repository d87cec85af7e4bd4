package session

import (
	"bytes"
	"slices"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/protocol"
)

// Stream is a link whose peer keeps no positions of its own (Server-Sent Events,
// long-poll): with each message it can be told where it stands in all of its
// channels, and it comes back with that. Its frames are channel.FormLine.
type Stream interface {
	Link
	// Attach names the session, before it says anything.
	Attach(x *Session)
	// AppendEvent appends a message, whose JSON text stands on one line, in the
	// form in which the peer is given it. What Session.AppendPosition says during
	// the call is where the peer stands once it has the message.
	AppendEvent(dst, line []byte) []byte
	// Settled tells that the peer was given all that there is for now.
	Settled()
	// Heartbeat is after how much silence the link says something, which the
	// welcome tells. 0: it has no heartbeat.
	Heartbeat() time.Duration
}

// Follow is a channel that a stream begins with.
type Follow struct {
	Channel string
	Since   *cursor.Place // nil: from now on
	Last    int           // begin with so many messages of the past; not with Since
	Rate    float64       // deliveries a second; 0: all
}

// stream is what a session keeps for a Stream.
type stream struct {
	link   Stream
	begin  []request // at the welcome
	tracks []track
	named  int // so many tracks are of channels that it began with
}

// claimTime is how long the place that a peer came with is kept for a channel
// that it did not name: it may subscribe to it as its first act.
const claimTime = 30 * time.Second

// track is a channel whose position is told.
type track struct {
	key   cursor.Key
	epoch string        // of the subscription; empty: the channel keeps nothing
	since *cursor.Place // where the peer says it is, until the subscription begins
}

// newStream prepares a session to follow what it was opened with.
func newStream(l Stream, follow []Follow, places cursor.Cursor) *stream {
	st := &stream{link: l, begin: make([]request, len(follow)), tracks: make([]track, len(follow)), named: len(follow)}
	for i, f := range follow {
		st.begin[i] = request{channel: f.Channel, last: f.Last, rate: f.Rate, track: int16(i + 1)}
		st.begin[i].goOn(f.Since)
		st.tracks[i] = track{key: cursor.KeyOf(f.Channel), since: f.Since}
	}
	for k, at := range places {
		if !slices.ContainsFunc(st.tracks[:st.named], func(t track) bool { return t.key == k }) {
			st.tracks = append(st.tracks, track{key: k, since: &at})
		}
	}
	return st
}

// goOn makes a subscription go on from a place, if there is one.
func (r *request) goOn(at *cursor.Place) {
	if at == nil {
		return
	}
	r.since, r.last = &at.Position, 0
	if at.Within {
		r.given = &at.Given
	}
}

// claim lets a subscription of a stream that does not say where it begins go on
// where the peer's cursor has it.
func (x *Session) claim(r *request) {
	if x.stream == nil || r.track != 0 || r.since != nil || r.last > 0 {
		return
	}
	k := cursor.KeyOf(r.channel)
	for _, t := range x.stream.tracks {
		if t.key == k && t.since != nil {
			r.goOn(t.since)
		}
	}
}

// slot returns the place in tracks, counted from 1, for a subscription that was
// made later. There is one: they are bounded by what a cursor holds.
func (x *Session) slot(channel string) int16 {
	st := x.stream
	k := cursor.KeyOf(channel)
	if i := slices.IndexFunc(st.tracks, func(t track) bool { return t.key == k }); i >= 0 {
		return int16(i + 1)
	}
	if len(st.tracks) < cursor.MaxChannels {
		st.tracks = append(st.tracks, track{key: k})
		return int16(len(st.tracks))
	}
	// Of a subscription that has ended, or else a place that nobody came for.
	spare := -1
	for i, t := range st.tracks {
		if followed := slices.ContainsFunc(x.subs, func(s sub) bool { return int(s.track) == i+1 }); !followed && (spare < 0 || t.since == nil) {
			spare = i
		}
	}
	st.tracks[spare] = track{key: k}
	return int16(spare + 1)
}

// start subscribes to what the stream was opened for.
func (x *Session) start() {
	if x.stream != nil && x.stream.begin != nil {
		list := x.stream.begin
		x.stream.begin = nil
		x.subscribeAll(list)
	}
}

// AppendPosition appends a cursor that says where the peer of a Stream stands,
// or nothing if there is nothing to say: what it followed keeps no messages. A
// channel that was not begun with yet, or could not be, stands where the peer
// said.
func (x *Session) AppendPosition(dst []byte) []byte {
	return x.AppendPositionWith(dst, 0, cursor.Place{})
}

// AppendPositionWith is AppendPosition with one more place, if that has an epoch.
func (x *Session) AppendPositionWith(dst []byte, k cursor.Key, more cursor.Place) []byte {
	if x.stream == nil {
		return dst
	}
	w := &x.hub.cursor
	w.Begin()
	w.Add(k, more)
	for i := range x.subs {
		s := &x.subs[i]
		if s.track == 0 {
			continue
		}
		m := &s.group.members[s.member]
		at := cursor.Place{Position: protocol.Position{Epoch: x.stream.tracks[s.track-1].epoch, Offset: m.cursor.Mark}}
		if s.partial {
			if m.task == nil || m.task.after == 0 {
				continue // none of the state was given
			}
			at.Offset, at.Within, at.Given = m.task.until, true, m.task.after
		}
		w.Add(x.stream.tracks[s.track-1].key, at)
	}
	for i := range x.stream.tracks {
		if t := &x.stream.tracks[i]; t.since != nil && (i < x.stream.named || !x.olderThan(claimTime)) {
			w.Add(t.key, *t.since)
		}
	}
	if w.Empty() {
		return dst
	}
	return w.Append(dst)
}

// User returns whose session it is; "" is nobody signed in.
func (x *Session) User() string { return x.user() }

// Follows reports whether the session is subscribed to a channel.
func (x *Session) Follows(channel string) bool { return x.find(channel) >= 0 }

func (x *Session) olderThan(d time.Duration) bool {
	return clock(x.hub.loop.Now())-x.opened > d
}

// track begins to tell the position of the newest subscription.
func (x *Session) track(r *request, epoch string, partial bool) {
	if x.stream == nil {
		return
	}
	s := &x.subs[len(x.subs)-1]
	if r.track == 0 {
		r.track = x.slot(r.channel)
	}
	s.track, s.partial = r.track, partial
	x.stream.tracks[r.track-1].epoch, x.stream.tracks[r.track-1].since = epoch, nil
}

// beginTrack tells the position of a subscription in another epoch from now on.
func (x *Session) beginTrack(g *group, epoch string) {
	if x.stream == nil {
		return
	}
	if i := x.find(g.name); i >= 0 && x.subs[i].track > 0 {
		x.stream.tracks[x.subs[i].track-1].epoch = epoch
	}
}

// whole tells that a state was, or with false that it was not, given to the end.
func (x *Session) whole(name string, yes bool) {
	if x.stream != nil {
		if i := x.find(name); i >= 0 {
			x.subs[i].partial = !yes
		}
	}
}

// Busy reports that the session is not done with what there is: it waits for an
// answer, or a subscription lacks messages.
func (x *Session) Busy() bool {
	return x.suspended != nil || slices.ContainsFunc(x.subs, func(s sub) bool {
		st := s.group.members[s.member].state
		return st == lagging || st == catching || st == walking || st == held
	})
}

// settled tells a Stream that there is nothing more for now, if that is so.
func (x *Session) settled() {
	if x.stream != nil && x.welcomed && !x.closed && !x.Busy() {
		x.stream.link.Settled()
	}
}

// events is the memory in which a hub puts the messages of a stream together.
type events struct {
	text []byte
	ends []int
	at   []channel.Cursor
}

// offer gives a member what comes after its cursor in b, as much as its link
// takes, and moves the cursor. It reports whether that was all; if not, the
// member has to be pulled for, at the latest when its link has drained. A link
// that fails may have ended the member, and then all counts as given.
func (m *member) offer(b *channel.Batch) (all bool) {
	x := m.session
	if x.stream != nil {
		return m.offerEvents(b)
	}
	from, form := m.cursor, m.form
	frames := b.Bytes(form, from)
	// Moved before the write: a write that fails may end the member and put
	// another in its place.
	m.cursor = b.To
	if n := m.link.Offer(frames); n < len(frames) && !x.closed {
		next, rest := b.Split(form, from, n)
		m.lag(next, rest)
		return false
	}
	return true
}

// lag is for a member that was not given all of a batch: rest, which is to be
// kept by reference, is what is left of the message before at.
func (m *member) lag(at channel.Cursor, rest []byte) {
	x := m.session
	m.cursor = at
	if m.state == live {
		m.state = lagging
	}
	m.link.Share(rest)
	if !m.link.Blocked() {
		x.schedule() // the socket took it after all, and nothing would tell of that
	}
}

// offerEvents is offer for a stream: each message is put together with the
// position behind it, some of them at a time.
func (m *member) offerEvents(b *channel.Batch) (all bool) {
	x, to := m.session, b.To
	ev := &x.hub.events
	ev.text, ev.ends, ev.at = ev.text[:0], ev.ends[:0], ev.at[:0]
	all = true
	for e, at := range b.Entries(m.cursor) {
		if len(ev.text) >= pullBytes {
			all = false
			break
		}
		m.cursor = at
		ev.text = x.stream.link.AppendEvent(ev.text, e.Line())
		ev.ends, ev.at = append(ev.ends, len(ev.text)), append(ev.at, at)
	}
	if all {
		m.cursor = to // past what was left out at the end
	}
	n := m.link.Offer(ev.text)
	switch {
	case x.closed:
		return true
	case n < len(ev.text):
		i, _ := slices.BinarySearch(ev.ends, n+1)
		m.lag(ev.at[i], bytes.Clone(ev.text[n:ev.ends[i]]))
		all = false
	case !all:
		m.lag(m.cursor, nil)
	}
	if cap(ev.text) > keepBatch {
		ev.text = nil
	}
	return all
}
