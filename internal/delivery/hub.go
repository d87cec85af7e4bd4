package delivery

import (
	"runtime/debug"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
)

// Hub is the delivery of one event loop, and is touched on that loop only.
type Hub struct {
	service *Service
	loop    *reactor.Loop
	groups  map[string]*group // by channel

	// Memory that one delivery after the other uses.
	batch  channel.Batch
	sweeps []*sweep // idle ones
	events events
	cursor cursor.Writer

	pulls pulls
	again again
}

func newHub(s *Service, l *reactor.Loop) *Hub {
	h := &Hub{service: s, loop: l, groups: make(map[string]*group)}
	h.pulls.hub, h.again.hub = h, h
	return h
}

// Groups returns how many channels are followed here.
func (h *Hub) Groups() int { return len(h.groups) }

// join calls ready, on the loop, with the group of a channel, made if need be, once
// it follows the channel: at once if it does already. The group is pinned, for who
// joined to unpin.
func (h *Hub) join(name string, t node.Target, ready func(g *group, err error)) {
	g := h.groups[name]
	if g == nil {
		g = &group{hub: h, opening: &joining{name: strings.Clone(name)}}
		h.groups[g.name()] = g
	}
	g.await(g.name(), t, ready)
}

// joinMembers is join for the group of those who are told of the members of g's
// channel. g has to be pinned, or to have members.
func (g *group) joinMembers(ready func(w *group, err error)) {
	if g.watch == nil {
		g.watch = &group{hub: g.hub, of: g, opening: &joining{}}
	}
	log, t := node.PresenceLog(g.name())
	g.watch.await(log, t, ready)
}

// await calls ready when the group follows its log, and begins to follow it for the
// first who wants to know.
func (g *group) await(log string, t node.Target, ready func(g *group, err error)) {
	g.pins++
	if g.channel != nil {
		ready(g, nil)
		return
	}
	first := len(g.opening.waiting) == 0
	g.opening.waiting = append(g.opening.waiting, ready)
	if !first {
		return
	}
	h := g.hub
	h.service.node.Follow(log, t, g, func(c *node.Channel, err error) {
		h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { g.followed(c, err) }))
	})
}

// followed is the node's answer.
func (g *group) followed(c *node.Channel, err error) {
	waiting := g.opening.waiting
	if err != nil {
		g.forget()
	} else {
		g.channel, g.opening = c, nil
		// A nudge that came before was not answered. What it was about is in the
		// position already; left standing, it would keep all later ones away.
		g.dirty.Store(false)
		g.stand()
	}
	for _, ready := range waiting {
		ready(g, err)
	}
}

// unpin ends what join began. The group goes when nobody is in it and nobody means
// to come: who is about to subscribe would else join for nothing.
func (g *group) unpin() {
	g.pins--
	g.leaveIfEmpty()
}

func (g *group) leaveIfEmpty() {
	if len(g.members) > 0 || g.pins > 0 || g.channel == nil {
		return
	}
	g.forget()
	g.channel.Leave(g)
}

// forget takes the group out of where it is found.
func (g *group) forget() {
	switch {
	case g.of != nil && g.of.watch == g:
		g.of.watch = nil
	case g.of == nil && g.hub.groups[g.name()] == g:
		delete(g.hub.groups, g.name())
	}
}

// panicked ends the subscriber whose delivery panicked.
func (h *Hub) panicked(s *Subscriber, cause any) {
	if s != nil {
		s.sink.Failed(cause)
		return
	}
	h.service.log.Error("delivering panicked", "panic", cause, "stack", string(debug.Stack()))
}
