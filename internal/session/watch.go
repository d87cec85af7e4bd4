package session

import (
	"time"

	"ringdown/internal/node"
)

// Who subscribes to a channel and may see who is there also follows the log that
// tells of its members. That is a member of a group like any other, which the
// client neither sees nor counts: it comes and goes with the subscription.

// watch reports that the group is of such a log.
func (g *group) watch() bool {
	_, ok := node.PresenceOf(g.name)
	return ok
}

// watching returns where in subs the log of the channel's members is, or -1.
func (x *Session) watching(name string) int {
	for i := range x.subs {
		if of, ok := node.PresenceOf(x.subs[i].group.name); ok && of == name {
			return i
		}
	}
	return -1
}

// mayWatch reports whether x is to be told of a channel's members.
func (x *Session) mayWatch(name string, t node.Target) bool {
	return t.Declaration.Presence && x.mayPresence(name, t) == nil
}

// beginWatch goes on to tell x, that has subscribed, of a channel's members.
func (x *Session) beginWatch(name string, t node.Target) {
	if x.closed {
		return
	}
	i := x.watching(name)
	if !x.mayWatch(name, t) { // any more
		x.unwatch(name)
		return
	}
	if i < 0 {
		x.watchPresence(name, t)
		return
	}
	g := x.subs[i].group
	_, g.members[x.subs[i].member].cursor = g.channel.Position()
	x.holdWatch(name, false)
}

// watchPresence makes x a watcher of a channel that it is subscribed to, as soon
// as the log is followed.
func (x *Session) watchPresence(name string, t node.Target) {
	if !x.mayWatch(name, t) {
		return
	}
	log, target := node.PresenceLog(name)
	x.hub.group(log, target, func(g *group, err error) {
		switch {
		case x.closed || x.find(name) < 0 || x.watching(name) >= 0:
		case err != nil:
			x.deny("subscribe", nil, name, err)
		default:
			_, head := g.channel.Position()
			g.add(x, placement{cursor: head, state: live}, nil)
		}
	})
}

// holdWatch stops or goes on with what x, that has subscribed, is told of a
// channel's members.
func (x *Session) holdWatch(name string, hold bool) {
	i := x.watching(name)
	if i < 0 || x.find(name) < 0 || x.closed {
		return
	}
	m := &x.subs[i].group.members[x.subs[i].member]
	if hold {
		m.state = held
		return
	}
	m.state = lagging
	x.schedule()
}

// recheckPresence ends or begins what the rules now say of a subscribed channel.
func (x *Session) recheckPresence(name string, t node.Target) {
	err := x.mayPresence(name, t)
	if err == nil {
		x.watchPresence(name, t)
		return
	}
	if i := x.find(name); x.subs[i].present {
		x.depart(i, 0)
		x.deny("subscribe", nil, name, err)
	}
	x.unwatch(name)
}

func (x *Session) unwatch(name string) {
	if i := x.watching(name); i >= 0 {
		x.subs[i].group.remove(x, i)
	}
}

// drop ends the subscription x.subs[i] with all that hangs on it.
func (x *Session) drop(i int) {
	name := x.subs[i].group.name
	x.depart(i, 0)
	x.subs[i].group.remove(x, i)
	x.unwatch(name)
}

// depart takes the connection out of the members of x.subs[i], if it is in.
func (x *Session) depart(i int, grace time.Duration) {
	if x.subs[i].present {
		x.subs[i].present = false
		x.hub.server.node.Exit(x.subs[i].group.name, x.member(), grace, func(error) {})
	}
}

// rename tells those who watch which user the members are that this connection is.
func (x *Session) rename() {
	for i := range x.subs {
		if x.subs[i].present {
			x.hub.server.node.Rename(x.subs[i].group.name, x.member(), x.user(), func(error) {})
		}
	}
}

// departAll takes the connection out of everything that it is a member of.
func (x *Session) departAll(grace time.Duration) {
	for i := range x.subs {
		x.depart(i, grace)
	}
}

// subscriptions returns how many channels the client follows.
func (x *Session) subscriptions() int {
	n := 0
	for i := range x.subs {
		if !x.subs[i].group.watch() {
			n++
		}
	}
	return n
}

// presences returns how many channels the connection is a member of.
func (x *Session) presences() int {
	n := 0
	for i := range x.subs {
		if x.subs[i].present {
			n++
		}
	}
	return n
}
