package delivery

import (
	"slices"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/protocol"
)

// positions is what a subscriber keeps whose peer keeps no positions of its own.
type positions struct {
	tracks []track
	named  int       // so many tracks are of channels that it began with
	begun  time.Time // when
}

// track is a channel whose position is told.
type track struct {
	key   cursor.Key
	epoch string        // of the subscription; empty: the channel keeps nothing
	since *cursor.Place // where the peer says it is, until the subscription begins
}

// claimTime is how long the place that a peer came with is kept for a channel
// that it did not name: it may subscribe to it as its first act.
const claimTime = 30 * time.Second

func newPositions(first []string, places cursor.Cursor, now time.Time) *positions {
	p := &positions{tracks: make([]track, len(first)), named: len(first), begun: now}
	for i, name := range first {
		p.tracks[i] = track{key: cursor.KeyOf(name), since: places.Find(name)}
	}
	for k, at := range places {
		if !slices.ContainsFunc(p.tracks[:p.named], func(t track) bool { return t.key == k }) {
			p.tracks = append(p.tracks, track{key: k, since: &at})
		}
	}
	return p
}

// Place returns where the peer said that it is in a channel that is not subscribed
// to yet, nil if it did not.
func (s *Subscriber) Place(name string) *cursor.Place {
	if s.positions == nil {
		return nil
	}
	k := cursor.KeyOf(name)
	for _, t := range s.positions.tracks {
		if t.key == k && t.since != nil {
			return t.since
		}
	}
	return nil
}

// slot returns the place in tracks, counted from 1, for a subscription that was
// made later. There is one: they are bounded by what a cursor holds.
func (s *Subscriber) slot(name string) int16 {
	p := s.positions
	k := cursor.KeyOf(name)
	if i := slices.IndexFunc(p.tracks, func(t track) bool { return t.key == k }); i >= 0 {
		return int16(i + 1)
	}
	if len(p.tracks) < cursor.MaxChannels {
		p.tracks = append(p.tracks, track{key: k})
		return int16(len(p.tracks))
	}
	// Of a subscription that has ended, or else a place that nobody came for.
	spare := -1
	for i, t := range p.tracks {
		if followed := slices.ContainsFunc(s.subs, func(sub subscription) bool { return int(sub.member().track) == i+1 }); !followed && (spare < 0 || t.since == nil) {
			spare = i
		}
	}
	p.tracks[spare] = track{key: k}
	return int16(spare + 1)
}

// track begins to tell the position of subscription i.
func (s *Subscriber) track(i int, at int16, epoch string) {
	if s.positions == nil {
		return
	}
	if at == 0 {
		at = s.slot(s.subs[i].group.name())
	}
	s.subs[i].member().track = at
	s.positions.tracks[at-1].epoch, s.positions.tracks[at-1].since = epoch, nil
}

// retrack tells the position of a member's subscription in its channel's new epoch
// from now on.
func (s *Subscriber) retrack(m *member) {
	if s.positions != nil {
		s.positions.tracks[m.track-1].epoch = s.subs[m.sub].group.epoch
	}
}

// AppendPosition appends a cursor that says where the peer stands, or nothing if
// there is nothing to say: what it follows keeps no messages. A channel that was not
// begun with yet, or could not be, stands where the peer said.
func (s *Subscriber) AppendPosition(dst []byte) []byte {
	return s.AppendPositionWith(dst, 0, cursor.Place{})
}

// AppendPositionWith is AppendPosition with one more place, if that has an epoch.
func (s *Subscriber) AppendPositionWith(dst []byte, k cursor.Key, more cursor.Place) []byte {
	p := s.positions
	if p == nil {
		return dst
	}
	w := &s.hub.cursor
	w.Begin()
	w.Add(k, more)
	for i := range s.subs {
		m := s.subs[i].member()
		t := &p.tracks[m.track-1]
		if at, ok := placeOf(&m.reader, t.epoch); ok {
			w.Add(t.key, at)
		}
	}
	unnamed := s.hub.loop.Now().Sub(p.begun) <= claimTime
	for i := range p.tracks {
		if t := &p.tracks[i]; t.since != nil && (i < p.named || unnamed) {
			w.Add(t.key, *t.since)
		}
	}
	if w.Empty() {
		return dst
	}
	return w.Append(dst)
}

// placeOf returns where a reader stands; false: it was given nothing of its state yet.
func placeOf(r *channel.Reader, epoch string) (cursor.Place, bool) {
	at := cursor.Place{Position: protocol.Position{Epoch: epoch, Offset: r.Cursor.Mark}}
	if w := r.Walk; w != nil && w.Snapshot {
		at.Offset, at.Within, at.Given = w.Until, true, w.After
		return at, w.After > 0
	}
	return at, true
}
