package delivery

import (
	"ringdown/internal/channel"
	"ringdown/internal/reactor"
)

// pacer is the rate of one subscription.
type pacer struct {
	pace  channel.Pace
	timer reactor.Timer
	armed bool
	who   *Subscriber
	group *group
}

// pacedBytes bounds one delivery of a paced subscription on a state channel. It
// is as much as a ring holds by default, so that a key is in a delivery once.
const pacedBytes = channel.DefaultBufferBytes

// conflates reports whether a member has a rate and each key so often. It rests
// after each delivery, also when there is more: a second one right behind it
// could bring the same keys again.
func (g *group) conflates(m *member) bool {
	return m.pacer != nil && g.declaration().State != nil
}

// wake pulls for a resting member if its pace allows, and otherwise when it will.
func (g *group) wake(m *member) {
	p := m.pacer
	if p.armed {
		return
	}
	wait, ok := p.pace.Take(g.hub.loop.Now())
	if !ok {
		p.armed = true
		g.hub.loop.Arm(&p.timer, wait, p)
		return
	}
	m.reader.Phase = channel.Lagging
	m.who.schedule()
}

// Fire is the end of a pace's wait. The timer is disarmed when the member goes.
func (p *pacer) Fire(*reactor.Loop) {
	p.armed = false
	m := &p.group.members[p.who.subs[p.who.inGroup(p.group)].at]
	if m.reader.Phase == channel.Resting && p.group.channel.Behind(m.reader.Cursor) {
		p.group.wake(m)
	}
}
