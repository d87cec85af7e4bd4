package session

import (
	"context"
	"errors"
	"strconv"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// publish is one publication of a client on its way through the broker. With an
// immediate broker a hub uses one for all; otherwise each has its own.
type publish struct {
	hub     *hub
	session *Session
	id      []byte
	pub     broker.Publication
	receipt broker.Receipt
	err     error
	posted  bool // the answer has to be brought to the loop
}

// publish takes an event for a channel.
func (x *Session) publish(m *protocol.Message) {
	t, err := x.hub.server.node.Resolve(m.Channel)
	if err == nil {
		err = x.permit(channel.OpPublish, m.Channel, m.Type, t)
	}
	if err != nil {
		x.fail(m.ID, m.Channel, err)
		return
	}
	hook := x.hub.server.hooks.Load().Publish
	if hook == nil {
		x.append(m, t)
		return
	}
	m = m.Clone()
	c := x.client()
	x.await(func() error { return hook(x.hub.server.ctx, c, m) }, func(err error) {
		if err != nil {
			x.fail(m.ID, m.Channel, hookError(err))
			return
		}
		x.append(m, t)
	})
}

// append hands m to the node.
func (x *Session) append(m *protocol.Message, t node.Target) {
	h := x.hub
	dedupe, err := x.dedupe(m)
	if err != nil {
		x.fail(m.ID, m.Channel, err)
		return
	}
	p := &h.publishing
	if !h.server.node.Immediate() {
		p = &publish{hub: h, posted: true}
		m = m.Clone()
	}
	p.session, p.id = x, m.ID
	x.owed++
	p.pub = broker.Publication{Dedupe: dedupe}
	p.pub.Message = protocol.Message{Type: m.Type, Channel: m.Channel, Key: m.Key, Trace: m.Trace, Data: m.Data, Binary: m.Binary}
	if t.Declaration.ShowFrom {
		p.pub.Message.From = x.user()
	}
	h.server.node.Publish(t, &p.pub, p)
}

// dedupe returns the idempotency key, scoped to the user. Of somebody who is not
// signed in it is scoped to the random text that the client gave at the opening,
// and gives again when it comes back, or else to the connection: nobody can take
// another's key.
func (x *Session) dedupe(m *protocol.Message) (string, error) {
	if m.Dedupe == "" {
		return "", nil
	}
	if err := protocol.ValidDedupe(m.Dedupe); err != nil {
		return "", err
	}
	if x.identity == nil && x.called != "" {
		return "a " + x.called + " " + m.Dedupe, nil
	}
	if x.identity == nil {
		return "c " + x.ID() + " " + m.Dedupe, nil
	}
	return DedupeScope(x.user(), m.Dedupe), nil
}

// DedupeScope returns the idempotency key of a user's publication, so that one
// who retries by REST what was sent over a socket is understood.
func DedupeScope(user, key string) string {
	// With the length in front no two pairs of user and key are the same text.
	return strconv.Itoa(len(user)) + " " + user + " " + key
}

// Appended is the broker's answer.
func (p *publish) Appended(_ *broker.Publication, r broker.Receipt, err error) {
	p.receipt, p.err = r, err
	if p.posted {
		p.hub.loop.Post(p)
		return
	}
	p.answer()
}

// Run brings the answer to the client, on the loop.
func (p *publish) Run(*reactor.Loop) { p.answer() }

func (p *publish) answer() {
	x := p.session
	p.session = nil
	x.owed--
	if x.closed {
		return
	}
	m := &p.pub.Message
	if p.err != nil {
		x.fail(p.id, m.Channel, p.err)
		return
	}
	if p.id == nil {
		return
	}
	r := x.hub.reply(protocol.TypeAck, m.Channel, p.id)
	if pos := p.receipt.Position; pos.Offset > 0 {
		r.Epoch, r.Offset, r.Kept = pos.Epoch, pos.Offset, true
		// An ack's offset has no predecessor to speak of.
		r.Prev = pos.Offset - 1
	}
	x.link.Send(r)
}

// call takes an event without a channel: a request to the application.
func (x *Session) call(m *protocol.Message) {
	s := x.hub.server
	fn := s.registry.handler(m.Type)
	if fn == nil {
		x.fail(m.ID, "", protocol.Errorf(protocol.CodeNoBackend, "nothing answers the call %q; if it was meant as an event, name its channel", m.Type))
		return
	}
	if m.Binary {
		x.fail(m.ID, "", protocol.Errorf(protocol.CodeInvalidData, "a call takes JSON and not bytes"))
		return
	}
	if limit := s.Limits().PendingRequests; int(x.pending) >= limit {
		x.fail(m.ID, "", &protocol.Error{Code: protocol.CodeLimitExceeded, Retryable: true,
			Message: "too many calls of this connection wait for their answer (limits.connection.pending_calls)"})
		return
	}
	x.pending++
	m = m.Clone()
	c := &Call{Client: *x.client(), Event: m.Type, Data: m.Data}
	var result []byte
	s.background(x.hub.loop, func(ctx context.Context) (err error) {
		result, err = fn(ctx, c)
		return err
	}, func(err error) {
		x.pending--
		if !x.closed {
			x.orClose(err, func(err error) { x.answerCall(m, result, err) })
		}
	})
}

func (x *Session) answerCall(m *protocol.Message, result []byte, err error) {
	if err != nil {
		var e *protocol.Error
		if !errors.As(err, &e) {
			x.hub.server.log.Warn("a call failed", "event", m.Type, "error", err)
			e = protocol.Errorf(protocol.CodeBackendFailed, "the application failed to answer %q", m.Type)
		}
		x.fail(m.ID, "", e)
		return
	}
	if m.ID == nil {
		return
	}
	r := x.hub.reply(protocol.TypeAck, "", m.ID)
	r.Data = result
	x.link.Send(r)
}
