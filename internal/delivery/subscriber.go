package delivery

import (
	"iter"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
)

// Subscriber is whoever is given what channels have: a connection with its
// subscriptions. It belongs to the loop of its hub. Init comes first.
type Subscriber struct {
	hub       *Hub
	sink      Sink
	subs      []subscription
	positions *positions // nil: the peer keeps its own
	turn      int32      // subscription that is pulled for first
	form      channel.Form
	pulling   bool // in line with hub.pulls
	closed    bool
}

// subscription is where its member is, and the one of who is told of the channel's
// members.
type subscription struct {
	group *group
	at    int32 // place in group
	watch int32 // place in group.watch, or one of those below
}

// member returns what the group knows of it, until somebody joins or leaves.
func (s *subscription) member() *member { return &s.group.members[s.at] }

const (
	unwatched int32 = -1 - iota
	toWatch         // from when the log of members is followed
)

// Init makes s a subscriber of h that is written to by sink.
func (s *Subscriber) Init(h *Hub, sink Sink) {
	s.hub, s.sink, s.form = h, sink, sink.Form()
}

// KeepPositions has s tell its sink positions: of what is subscribed to with a
// Track, which is the place of its name in first, counted from 1; and of the others
// in places too, for as long as their peer may still mean to subscribe to them.
func (s *Subscriber) KeepPositions(first []string, places cursor.Cursor, now time.Time) {
	s.positions = newPositions(first, places, now)
}

// Find returns the place of a subscription among all, -1 for none. It is good until
// the next one begins or ends.
func (s *Subscriber) Find(name string) int {
	for i := range s.subs {
		if s.subs[i].group.name() == name {
			return i
		}
	}
	return -1
}

// Len returns how many subscriptions there are.
func (s *Subscriber) Len() int { return len(s.subs) }

// Channel returns the name of the channel of subscription i.
func (s *Subscriber) Channel(i int) string { return s.subs[i].group.name() }

// Kept reports whether the channel of subscription i kept messages when it began.
func (s *Subscriber) Kept(i int) bool { return s.subs[i].group.channel.Kept() }

// Channels yields the names of the channels.
func (s *Subscriber) Channels() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.subs {
			if !yield(s.subs[i].group.name()) {
				return
			}
		}
	}
}

// Unsubscribe ends subscription i. The last one takes its place.
func (s *Subscriber) Unsubscribe(i int) {
	s.unwatch(i)
	g, at := s.subs[i].group, s.subs[i].at
	if end := len(s.subs) - 1; i != end {
		moved := s.subs[end]
		s.subs[i] = moved
		moved.group.members[moved.at].sub = int32(i)
		if moved.watch >= 0 {
			moved.group.watch.members[moved.watch].sub = int32(i)
		}
	}
	s.subs[len(s.subs)-1] = subscription{}
	s.subs = s.subs[:len(s.subs)-1]
	g.channel.AddSubscribers(-1)
	g.remove(at)
}

// Close ends all subscriptions, and those that are being made.
func (s *Subscriber) Close() {
	s.closed = true
	for len(s.subs) > 0 {
		s.Unsubscribe(len(s.subs) - 1)
	}
}

// inGroup returns the place of the subscription that is in g, -1 for none.
func (s *Subscriber) inGroup(g *group) int {
	for i := range s.subs {
		if s.subs[i].group == g {
			return i
		}
	}
	return -1
}

// Drained tells that the sink is no longer blocked.
func (s *Subscriber) Drained() {
	if s.any(func(p channel.Phase) bool {
		return p == channel.Lagging || p == channel.Catching || p == channel.Walking
	}) {
		s.schedule()
	}
}

// Busy reports that a subscription lacks what there is to be given.
func (s *Subscriber) Busy() bool {
	return s.any(func(p channel.Phase) bool {
		return p == channel.Lagging || p == channel.Catching || p == channel.Walking || p == channel.Held
	})
}

// any reports whether a reader of s is in such a phase.
func (s *Subscriber) any(is func(p channel.Phase) bool) bool {
	for i := range s.subs {
		sub := &s.subs[i]
		if is(sub.member().reader.Phase) || sub.watch >= 0 && is(sub.group.watch.members[sub.watch].reader.Phase) {
			return true
		}
	}
	return false
}

// settled tells the sink that there is nothing more for now, if that is so.
func (s *Subscriber) settled() {
	if s.positions != nil && !s.closed && !s.Busy() {
		s.sink.Settled()
	}
}
