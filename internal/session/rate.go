package session

import (
	"ringdown/internal/channel"
	"ringdown/internal/reactor"
)

// pacer is the rate of one subscription.
type pacer struct {
	pace    channel.Pace
	timer   reactor.Timer
	armed   bool
	session *Session
	name    string
}

// pacedBytes bounds one delivery of a paced subscription on a state channel. It
// is as much as a ring holds by default, so that a key is in a delivery once.
const pacedBytes = channel.DefaultBufferBytes

// wakePaced pulls for a resting member if its pace allows, and otherwise when it
// will.
func (x *Session) wakePaced(g *group, m *member) {
	p := m.pacer
	if p.armed {
		return
	}
	wait, ok := p.pace.Take(x.hub.loop.Now())
	if !ok {
		p.armed = true
		x.hub.loop.Arm(&p.timer, wait, p)
		return
	}
	m.state = lagging
	x.schedule()
}

// Fire is the end of a pace's wait.
func (p *pacer) Fire(*reactor.Loop) {
	p.armed = false
	x := p.session
	i := x.find(p.name)
	if x.closed || i < 0 {
		return
	}
	g := x.subs[i].group
	m := &g.members[x.subs[i].member]
	if m.state == resting && g.channel.Behind(m.cursor) {
		x.wakePaced(g, m)
	}
}
