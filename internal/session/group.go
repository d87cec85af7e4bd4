package session

import (
	"sync/atomic"

	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
)

// group is the subscribers of one channel on one loop. It is the loop's, but
// for dirty.
type group struct {
	hub     *hub
	name    string
	channel *node.Channel // nil until followed
	members []member
	waiting *[]func(g *group, err error) // until followed
	era     uint64                       // of the channel: what the members' cursors are of
	swept   channel.Cursor               // what live members have been given, or are being given
	sweep   *sweep                       // under way; nil: none
	pins    int32                        // subscriptions about to be made
	dirty   atomic.Bool                  // nudged since the channel was last looked at
}

// member is one subscription: a cursor, and what is needed to serve it without
// looking at anything else.
type member struct {
	link    Link
	session *Session
	cursor  channel.Cursor
	pacer   *pacer // nil: no rate was asked for
	task    *task  // catching and walking: how far it has come
	sub     int32  // place in session.subs
	form    channel.Form
	state   state
}

type state uint8

const (
	live state = iota
	resting
	lagging
	catching
	walking
	ahead
	held
)

// How much is done before the loop turns to others.
const (
	sweepStep  = 128      // members
	sweepBytes = 64 << 10 // of frames in one batch
	pullBytes  = 64 << 10
	keepBatch  = 256 << 10 // a larger buffer is given back
)

// Nudge says that the channel has something new. Any goroutine.
func (g *group) Nudge() {
	if g.dirty.CompareAndSwap(false, true) {
		g.hub.loop.Post(g)
	}
}

// Run answers a nudge, on the loop.
func (g *group) Run(l *reactor.Loop) {
	if g.sweep == nil && g.channel != nil {
		g.look()
	}
}

// followed is the node's answer.
func (g *group) followed(c *node.Channel, err error) {
	waiting := *g.waiting
	g.waiting = nil
	if err != nil {
		delete(g.hub.groups, g.name)
	} else {
		g.channel = c
		// A nudge that came before was not answered. What it was about is in the
		// position already; left standing, it would keep all later ones away.
		g.dirty.Store(false)
		_, g.swept = c.Position()
		g.era = c.Era()
	}
	// One who waited may have asked to leave again, and does so at once. That the others
	// have not come yet must not end the group, which they would then join for nothing.
	g.pins++
	for _, fn := range waiting {
		fn(g, err)
	}
	g.pins--
	if err == nil {
		g.leaveIfEmpty()
	}
}

// add makes a member and returns its place.
func (g *group) add(x *Session, p placement, pc *pacer) (at int) {
	at = len(g.members)
	x.subs = append(x.subs, sub{group: g, member: int32(at)})
	g.members = append(g.members, member{
		link: x.link, session: x, cursor: p.cursor, pacer: pc, task: p.task,
		sub: int32(len(x.subs) - 1), form: x.link.Form(), state: p.state,
	})
	g.channel.AddSubscribers(1)
	if g.sweep != nil {
		// The round has become longer by one, wherever in it the sweep is.
		g.sweep.left++
	}
	return at
}

// remove ends the membership that is x.subs[i].
func (g *group) remove(x *Session, i int) {
	at := int(x.subs[i].member)
	if p := g.members[at].pacer; p != nil {
		g.hub.loop.Disarm(&p.timer)
	}
	last := len(g.members) - 1
	g.move(last, at)
	g.members[last] = member{}
	g.members = g.members[:last]
	if g.sweep != nil {
		// Who took the place may have been still to come: once round again. It
		// costs little, for whoever has everything is passed over.
		g.sweep.left = last
	}

	end := len(x.subs) - 1
	if i != end {
		x.subs[i] = x.subs[end]
		x.subs[i].group.members[x.subs[i].member].sub = int32(i)
	}
	x.subs[end] = sub{}
	x.subs = x.subs[:end]
	g.channel.AddSubscribers(-1)
	g.leaveIfEmpty()
}

func (g *group) move(from, to int) {
	if from == to {
		return
	}
	g.members[to] = g.members[from]
	m := &g.members[to]
	m.session.subs[m.sub].member = int32(to)
}

func (g *group) leaveIfEmpty() {
	if len(g.members) == 0 && g.waiting == nil && g.pins == 0 && g.hub.groups[g.name] == g {
		delete(g.hub.groups, g.name)
		g.channel.Leave(g)
	}
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
	_, g.swept = g.channel.Position()
	era := g.channel.Era()
	changed := era != g.era
	g.era = era
	for i := range g.members {
		m := &g.members[i]
		if changed {
			g.outdate(m)
		}
		switch m.state {
		case live:
			if m.cursor.Seq < g.swept.Seq {
				m.state = lagging
				m.session.schedule()
			}
		case resting:
			m.session.wakePaced(g, m)
		case ahead:
			g.arrive(m, g.swept)
		case lagging, catching, walking, held:
		}
	}
}

// arrive is for a member that stands ahead of the ring: when the feed has come
// as far, it goes on there.
func (g *group) arrive(m *member, head channel.Cursor) {
	if head.Mark >= m.cursor.Mark {
		g.seek(m, m.cursor.Mark)
		m.session.schedule()
	}
}

// sweep is a job that goes round the members of a group and gives each what it
// lacks of one batch. What comes meanwhile is added to the batch, so that who is
// still to be visited gets it in the same write, and who was visited gets it in
// the next round.
type sweep struct {
	group *group
	batch channel.Batch
	at    int // the next member
	left  int // members to visit until everybody has the batch
}

func (h *hub) idleSweep() *sweep {
	if n := len(h.sweeps); n > 0 {
		s := h.sweeps[n-1]
		h.sweeps = h.sweeps[:n-1]
		return s
	}
	return new(sweep)
}

func (h *hub) keepSweep(s *sweep) {
	s.batch.Release(keepBatch)
	s.group = nil
	if len(h.sweeps) < 64 {
		h.sweeps = append(h.sweeps, s)
	}
}

// Step serves the next members. A member that panics is closed and passed over.
func (s *sweep) Step(*reactor.Loop) (more bool) {
	g := s.group
	var current *Session
	defer func() {
		if cause := recover(); cause != nil {
			g.hub.panicked(current, cause)
			more = true
		}
	}()
	if g.dirty.Load() {
		g.dirty.Store(false)
		if g.channel.Extend(&s.batch, sweepBytes) {
			g.swept, s.left = s.batch.To, len(g.members)
		} else {
			g.dirty.Store(true) // for the look at the end
		}
	}
	given := 0
	for n := 0; n < sweepStep && s.left > 0 && len(g.members) > 0; n++ {
		if s.at >= len(g.members) {
			s.at = 0
		}
		m := &g.members[s.at]
		s.at++
		s.left--
		current = m.session
		given += s.serve(m)
	}
	g.hub.server.metrics.Deliveries.Add(uint64(given))
	if s.left > 0 && len(g.members) > 0 {
		return true
	}
	g.sweep = nil
	g.hub.keepSweep(s)
	g.look() // what did not fit into this batch
	return false
}

// serve gives the batch to one member and returns how many messages it took.
func (s *sweep) serve(m *member) int {
	switch m.state {
	case resting:
		m.session.wakePaced(s.group, m)
		return 0
	case ahead:
		s.group.arrive(m, s.batch.To)
		return 0
	case live:
	default:
		return 0
	}
	from := m.cursor
	if from.Seq >= s.batch.To.Seq {
		return 0
	}
	if from.Seq < s.batch.From.Seq {
		// It was passed over in the round before, which must not happen; it is
		// given what it lacks, and not the rest alone.
		m.state = lagging
		m.session.schedule()
		return 0
	}
	if m.link.Blocked() {
		m.state = lagging
		return 0
	}
	m.offer(&s.batch)
	return s.batch.Count(from)
}
