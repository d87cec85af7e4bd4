package delivery

import (
	"sync/atomic"

	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
)

// group is the subscriptions of one loop that follow one log: a channel's, or that
// of the channel's members. It is the loop's, but for dirty.
type group struct {
	hub     *Hub
	of      *group        // whose channel's members the log tells of; nil: it is a channel's own
	watch   *group        // of those who are told of the channel's members; nil: nobody is
	channel *node.Channel // nil until followed
	opening *joining      // nil from then on
	members []member
	era     uint64         // of the channel: what the members' cursors are of
	epoch   string         // of that era: what the members are told that they are in
	swept   channel.Cursor // what live members have been given, or are being given
	sweep   *sweep         // under way; nil: none
	pins    int32          // who waits for it, or is about to be a member
	dirty   atomic.Bool    // nudged since the channel was last looked at
}

// joining is a group whose channel is not followed yet.
type joining struct {
	name    string // of the channel
	waiting []func(g *group, err error)
}

// member is what one subscription is in a group: a reader, and what is needed to
// serve it without looking at anything else.
type member struct {
	reader channel.Reader
	who    *Subscriber
	pacer  *pacer // nil: no rate was asked for
	sub    int32  // place among the subscriber's subscriptions
	track  int16  // place in the subscriber's positions, counted from 1; 0: none
}

// How much is done before the loop turns to others.
const (
	sweepStep  = 128       // members
	sweepBytes = 64 << 10  // of frames in one batch
	keepBatch  = 256 << 10 // a larger buffer is given back
)

// Nudge says that the channel has something new. Any goroutine.
func (g *group) Nudge() {
	if g.dirty.CompareAndSwap(false, true) {
		g.hub.loop.Post(g)
	}
}

// Run answers a nudge, on the loop.
func (g *group) Run(*reactor.Loop) {
	if g.sweep == nil && g.channel != nil {
		g.look()
	}
}

// name returns the name of the channel.
func (g *group) name() string {
	switch {
	case g.of != nil:
		return g.of.name()
	case g.channel != nil:
		return g.channel.Name
	}
	return g.opening.name
}

func (g *group) declaration() *channel.Declaration { return g.channel.Target().Declaration }

// add makes a member and returns its place.
func (g *group) add(m member) int32 {
	g.members = append(g.members, m)
	if g.sweep != nil {
		// The round has become longer by one, wherever in it the sweep is.
		g.sweep.left++
	}
	return int32(len(g.members) - 1)
}

// remove ends a membership. It may be the last one.
func (g *group) remove(at int32) {
	if p := g.members[at].pacer; p != nil {
		g.hub.loop.Disarm(&p.timer)
	}
	last := int32(len(g.members) - 1)
	if at != last {
		g.members[at] = g.members[last]
		*g.members[at].place(g) = at
	}
	g.members[last] = member{}
	g.members = g.members[:last]
	if g.sweep != nil {
		// Who took the place may have been still to come: once round again. It
		// costs little, for whoever has everything is passed over.
		g.sweep.left = int(last)
	}
	g.leaveIfEmpty()
}

// place is where the subscription keeps its place in g.
func (m *member) place(g *group) *int32 {
	if g.of != nil {
		return &m.who.subs[m.sub].watch
	}
	return &m.who.subs[m.sub].at
}

// look reads what is new and starts a sweep if there is anything.
func (g *group) look() {
	g.dirty.Store(false)
	if len(g.members) == 0 {
		return
	}
	s := g.hub.idleSweep()
	g.channel.Fill(&s.batch, g.swept, sweepBytes, false)
	if s.batch.From != g.swept {
		g.hub.keepSweep(s)
		g.overtaken()
		return
	}
	if s.batch.Len() == 0 {
		g.hub.keepSweep(s)
		return
	}
	s.group, s.at, s.left = g, 0, len(g.members)
	g.sweep, g.swept = s, s.batch.To
	g.hub.loop.AddJob(s)
}

// overtaken is for a ring that turned over between two sweeps: everybody lacks
// something, and each is told, or given it from the store, on its own.
func (g *group) overtaken() {
	before, d := g.era, g.declaration()
	g.stand()
	anew := g.era != before
	for i := range g.members {
		m := &g.members[i]
		g.serve(m, m.reader.Overtaken(g.swept, anew, d))
	}
}

// stand takes over where the channel stands.
func (g *group) stand() {
	at := g.channel.Standing()
	g.era, g.epoch, g.swept = at.Era, at.Epoch, at.Head
}

// fresh reports whether the members' marks are of the epoch that the channel is
// in now, and otherwise has them all told. A log may go on in another epoch: its
// store was emptied, or came back without what it had accepted. The ring then
// begins anew, so that every cursor of a sequence is overtaken by itself. Marks are
// another matter: an offset of the one epoch looks like one of the other. So
// whoever looks a mark up asks this afterwards.
func (g *group) fresh() bool {
	if g.channel.Standing().Era == g.era {
		return true
	}
	g.overtaken()
	return false
}

// serve does what a reader needs, but for offering it a batch.
func (g *group) serve(m *member, need channel.Need) {
	switch need {
	case channel.Pull:
		m.who.schedule()
	case channel.Paced:
		g.wake(m)
	case channel.Nothing, channel.Offer:
	}
}
