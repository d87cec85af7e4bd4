package session

import (
	"context"
	"strings"
	"sync/atomic"

	"ringdown/internal/broker"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// publish is one publication of a client on its way through the broker. A hub uses
// the same ones again and again.
type publish struct {
	hub     *hub
	session *Session
	id      []byte // owned, as channel is once the answer has to be waited for
	channel string
	receipt broker.Receipt
	err     error
	state   atomic.Int32
}

// How a publication stands.
const (
	sent           int32 = iota
	answeredAtOnce       // before the broker's Append returned
	answerPosted         // Append returned without an answer: it will be posted
)

// publish takes an event for a channel.
func (x *Session) publish(m *protocol.Message) {
	h := x.hub
	p := h.publishing()
	p.session, p.id = x, append(p.id[:0], m.ID...)
	x.owed++
	h.server.node.Publish(x.caller(), m, p)
	if p.state.CompareAndSwap(sent, answerPosted) {
		p.channel = strings.Clone(m.Channel)
		return
	}
	p.channel = m.Channel
	p.answer()
}

// Await implements node.Publisher: the session waits, so that what it sends next comes
// behind this.
func (p *publish) Await(work func(ctx context.Context) error, next func(err error)) {
	x := p.session
	x.await(func() error { return work(x.hub.server.ctx) }, next)
}

// Spend implements node.Publisher. Judging in a few steps is part of what any message
// costs; more counts as so many more messages.
func (p *publish) Spend(steps int) { p.session.spendSteps(steps) }

// spendSteps takes the work of judging off the rate.
func (x *Session) spendSteps(steps int) {
	if n := steps / node.SmallSteps; n > 0 {
		perSecond, _ := x.messageRate()
		x.rate.spend(x.hub.loop.Now(), perSecond, n)
	}
}

// publishing returns a publication that nobody uses.
func (h *hub) publishing() *publish {
	if n := len(h.publishes); n > 0 {
		p := h.publishes[n-1]
		h.publishes = h.publishes[:n-1]
		return p
	}
	return &publish{hub: h}
}

// Appended is the broker's answer.
func (p *publish) Appended(r broker.Receipt, err error) {
	p.receipt, p.err = r, err
	if !p.state.CompareAndSwap(sent, answeredAtOnce) {
		p.hub.loop.Post(p)
	}
}

// Run brings the answer to the client, on the loop.
func (p *publish) Run(*reactor.Loop) { p.answer() }

func (p *publish) answer() {
	x, err := p.session, p.err
	x.owed--
	switch {
	case x.closed:
	case err != nil:
		x.deny("publish", p.id, p.channel, err)
	case len(p.id) > 0:
		p.hub.ack = event.Ack{ID: p.id, Channel: p.channel, Position: p.receipt.Position}
		x.link.Send(&p.hub.ack)
	}
	if len(p.hub.publishes) < mostPublishes {
		*p = publish{hub: p.hub, id: p.id[:0]}
		p.hub.publishes = append(p.hub.publishes, p)
	}
}

// mostPublishes is how many idle publications a hub keeps.
const mostPublishes = 64
