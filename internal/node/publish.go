package node

import (
	"errors"
	"sync/atomic"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Metrics counts what a node did. Fields may be read at any time.
type Metrics struct {
	Published atomic.Uint64 // handed to the broker
	Refused   atomic.Uint64 // by a check here
	// BadControl counts messages of other nodes that could not be read or that
	// there was no room for.
	BadControl atomic.Uint64
	// PresenceTold counts changes of members that were handed to the broker, and
	// PresenceUntold those of them that it did not accept.
	PresenceTold, PresenceUntold atomic.Uint64
}

// Metrics returns the node's counters.
func (n *Node) Metrics() *Metrics { return &n.metrics }

// Publish checks p against its channel's declaration and hands it to the
// broker. p.Message must name channel, type and data; Publish fills in what the
// declaration says. done is called exactly once; when the node is Immediate,
// before Publish returns. The rules about who may publish are the caller's to
// ask before (Permit).
func (n *Node) Publish(t Target, p *broker.Publication, done broker.Done) {
	if err := check(t, p); err != nil {
		n.metrics.Refused.Add(1)
		done.Appended(broker.Receipt{}, err)
		return
	}
	n.metrics.Published.Add(1)
	n.open(p.Message.Channel, t).Append(p, done)
}

func check(t Target, p *broker.Publication) error {
	m := &p.Message
	d := t.Declaration
	if err := protocol.ValidEvent(m.Type); err != nil {
		return err
	}
	event, ok := d.Event(m.Type)
	if event == nil {
		if verb := protocol.Misspelt(m.Type); verb != "" {
			e := protocol.Errorf(protocol.CodeBadRequest, "channel %q declares no event %q; did you mean %s?", d.Name, m.Type, verb)
			e.DidYouMean = verb
			return e
		}
	}
	if !ok {
		return protocol.Errorf(protocol.CodeInvalidData, "channel %q declares no event %q; declare it under events in the configuration file", d.Name, m.Type)
	}
	if err := checkKey(d, m, event != nil && event.Ephemeral); err != nil {
		return err
	}
	if event == nil {
		return nil
	}
	p.Ephemeral = event.Ephemeral
	if event.Schema == nil {
		return nil
	}
	if d.State != nil && m.Key != "" && !m.Binary && string(m.Data) == "null" {
		return nil // it deletes the key, and has nothing for the schema to judge
	}
	if m.Binary {
		return protocol.Errorf(protocol.CodeInvalidData, "event %q has a schema, so its data is JSON and not bytes", m.Type)
	}
	data := m.Data
	if data == nil {
		data = []byte("null")
	}
	budget := event.Judging()
	err := event.Schema.Validate(data, &budget)
	switch {
	case errors.Is(err, channel.ErrBudget):
		return protocol.Errorf(protocol.CodeInvalidData, "data of %q takes more work to judge by its schema than one message may (limits.connection.schema_steps); send less at once", m.Type).WithLimit("limits.connection.schema_steps")
	case err != nil:
		return protocol.Errorf(protocol.CodeInvalidData, "data of %q does not fit its schema: %v", m.Type, err).WithReason("schema")
	}
	return nil
}

func checkKey(d *channel.Declaration, m *protocol.Message, ephemeral bool) error {
	if m.Key == "" {
		if d.State != nil && d.History == nil && !ephemeral {
			return protocol.Errorf(protocol.CodeBadRequest, "channel %q keeps the latest message of each key, and this one has no key; give it one, or declare the event ephemeral", d.Name).WithReason("key")
		}
		return nil
	}
	if d.State == nil {
		return protocol.Errorf(protocol.CodeBadRequest, "channel %q is not a state channel, so its messages take no key", d.Name)
	}
	return protocol.ValidKey(m.Key)
}
