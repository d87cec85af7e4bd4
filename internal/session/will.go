package session

import (
	"bytes"
	"context"
	"strings"

	"ringdown/internal/broker"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// newWill reads the will of a presence message of a channel, as the message that it is
// to be.
func newWill(name string, data []byte) (*protocol.Message, error) {
	m := &protocol.Message{Channel: name}
	err := protocol.Members("the will of presence", data, func(field string, value []byte) (err error) {
		switch field {
		case "type":
			m.Type, err = protocol.Text(field, value, len(value))
		case "key":
			m.Key, err = protocol.Text(field, value, len(value))
		case "data":
			m.Data = value
		}
		return err
	})
	if err == nil && m.Type == "" {
		err = protocol.Errorf(protocol.CodeBadRequest, "a will has the type of the event that it is, and perhaps its key and data")
	}
	return m, err
}

// willing judges the will of r as a publication of now, and lets m enter with it.
func (x *Session) willing(r *presenceRequest, m broker.Member) error {
	will, err := newWill(r.channel, r.will)
	if err != nil {
		return err
	}
	x.hub.server.node.Judge(x.caller(), will, &willing{x, r}, func(w *protocol.Message) {
		m.Will = &presence.Will{Type: strings.Clone(w.Type), Key: strings.Clone(w.Key), Data: bytes.Clone(w.Data)}
		fresh, err := x.mayEnter(r) // a hook may have taken its time
		if err != nil {
			x.deny("presence", r.id, r.channel, err)
			return
		}
		x.enterAs(r, m, fresh)
	})
	return nil
}

// willing is the publisher of a will that is judged.
type willing struct {
	x *Session
	r *presenceRequest
}

// Await implements node.Publisher.
func (w *willing) Await(work func(ctx context.Context) error, next func(err error)) {
	w.x.await(func() error { return work(w.x.hub.server.ctx) }, next)
}

// Spend implements node.Publisher.
func (w *willing) Spend(steps int) { w.x.spendSteps(steps) }

// Appended hears that the will was refused, and so is the presence message.
func (w *willing) Appended(_ broker.Receipt, err error) {
	w.x.deny("presence", w.r.id, w.r.channel, err)
}
