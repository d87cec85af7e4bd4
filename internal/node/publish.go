package node

import (
	"context"
	"errors"
	"math"
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
	// Wills counts those that were to be published, and WillsRefused those of them that
	// were not.
	Wills, WillsRefused atomic.Uint64
}

// Metrics returns the node's counters.
func (n *Node) Metrics() *Metrics { return &n.metrics }

// Hook is asked about a message that the rules allow, and may change its data. A
// *protocol.Error refuses; any other error is a failure of the application.
type Hook func(ctx context.Context, c *Caller, m *protocol.Message) error

// SetPublishHook sets what Publish asks about the messages of users; nil: nothing.
func (n *Node) SetPublishHook(fn Hook) {
	if fn == nil {
		n.hook.Store(nil)
		return
	}
	n.hook.Store(&fn)
}

// Publisher is whoever publishes a message: it waits for the outcome and pays for
// the work.
type Publisher interface {
	broker.Done
	// Await runs work, which may block, where that holds up nobody but the publisher,
	// and then next with its error, unless the publisher is gone by then. Whatever it
	// sends meanwhile waits.
	Await(work func(ctx context.Context) error, next func(err error))
	// Spend charges the publisher with what judging the message took.
	Spend(steps int)
}

// SmallSteps is how many steps of checking data against a schema are done on the
// goroutine that calls Publish: a fraction of a millisecond. When they do not
// suffice, the data is checked in Await.
const SmallSteps = 8_000

// passing is a message on its way through the checks.
type passing struct {
	caller *Caller
	target Target
	event  *channel.Event // nil: the channel takes any
	m      *protocol.Message
	dedupe string
	p      Publisher
	judged func(m *protocol.Message) // nil: it is to be published
}

// Publish is the only way to publish a message, whoever does it and by which door.
// It finds the channel, asks its rule, checks the message against the declaration,
// asks the hook, checks the data against the schema, and gives the message to the
// broker. It reads m's type, channel, key, data, dedupe and trace, and does not keep
// m. p hears the outcome exactly once, perhaps before Publish returns.
func (n *Node) Publish(c *Caller, m *protocol.Message, p Publisher) {
	n.pass(passing{caller: c, m: m, p: p})
}

// Judge is Publish up to the broker, for a message that is to be published later. If
// Publish would refuse m, p hears so. Otherwise judged is called with the message as it
// would be published, which it does not keep, in place of p.Appended.
func (n *Node) Judge(c *Caller, m *protocol.Message, p Publisher, judged func(m *protocol.Message)) {
	n.pass(passing{caller: c, m: m, p: p, judged: judged})
}

func (n *Node) pass(g passing) {
	if err := n.admit(&g); err != nil {
		n.refuse(g.p, err)
		return
	}
	hook := n.hook.Load()
	if g.caller.Server {
		hook = nil
	}
	if hook == nil {
		steps, err := judge(g.target.Declaration, g.event, g.m, SmallSteps)
		if !errors.Is(err, channel.ErrBudget) {
			n.finish(&g, steps, err)
			return
		}
	}
	g.caller, g.m = g.caller.clone(), g.m.Clone() // the frame and the caller are used again meanwhile
	n.passLater(g, hook)
}

// passLater is the rest of pass where that may block. It is a function of its own so
// that pass does not allocate the variables that are captured here.
func (n *Node) passLater(g passing, hook *Hook) {
	steps := 0
	g.p.Await(func(ctx context.Context) (err error) {
		if hook != nil {
			if err := (*hook)(ctx, g.caller, g.m); err != nil {
				return err
			}
		}
		steps, err = judge(g.target.Declaration, g.event, g.m, math.MaxInt)
		return err
	}, func(err error) { n.finish(&g, steps, err) })
}

// admit makes those checks that cost little and ask nobody else.
func (n *Node) admit(g *passing) (err error) {
	if err = protocol.ValidEvent(g.m.Type); err != nil {
		return err
	}
	if g.target, err = n.Resolve(g.m.Channel); err != nil {
		return err
	}
	if err = g.caller.Permit(g.target, g.m.Channel, channel.OpPublish, g.m.Type); err != nil {
		return err
	}
	if g.event, err = fits(g.target.Declaration, g.m); err != nil {
		return err
	}
	g.dedupe, err = g.caller.dedupe(g.m.Dedupe)
	return err
}

// finish gives the message to the broker or to whom it was judged for, or refuses it
// with err.
func (n *Node) finish(g *passing, steps int, err error) {
	g.p.Spend(steps)
	switch {
	case err != nil:
		n.refuse(g.p, err)
		return
	case g.judged != nil:
		g.judged(g.m)
		return
	}
	m := g.m
	pub := n.publications.Get().(*broker.Publication)
	*pub = broker.Publication{Dedupe: g.dedupe, Ephemeral: g.event != nil && g.event.Ephemeral,
		Message: protocol.Message{Type: m.Type, Channel: m.Channel, Key: m.Key, Trace: m.Trace, Data: m.Data, Binary: m.Binary}}
	if g.target.Declaration.ShowFrom {
		pub.Message.From = g.caller.User
	}
	n.metrics.Published.Add(1)
	n.open(m.Channel, g.target).Append(pub, g.p)
	*pub = broker.Publication{}
	n.publications.Put(pub)
}

func (n *Node) refuse(p Publisher, err error) {
	n.metrics.Refused.Add(1)
	p.Appended(broker.Receipt{}, err)
}

// fits checks everything but the data of a message against the declaration, and
// returns the declared event, nil on a channel that takes any.
func fits(d *channel.Declaration, m *protocol.Message) (*channel.Event, error) {
	event, ok := d.Event(m.Type)
	if event == nil {
		if verb := protocol.Misspelt(m.Type); verb != "" {
			e := protocol.Errorf(protocol.CodeBadRequest, "channel %q declares no event %q; did you mean %s?", d.Name, m.Type, verb)
			e.DidYouMean = verb
			return nil, e
		}
	}
	if !ok {
		return nil, protocol.Errorf(protocol.CodeInvalidData, "channel %q declares no event %q; declare it under events in the configuration file", d.Name, m.Type).WithReason("event")
	}
	return event, checkKey(d, m, event != nil && event.Ephemeral)
}

// judge checks the data against the event's schema, in at most so many steps and no
// more than the event may take, and returns how many it took. When most do not
// suffice it fails with channel.ErrBudget; with math.MaxInt that is a refusal.
func judge(d *channel.Declaration, event *channel.Event, m *protocol.Message, most int) (steps int, err error) {
	if event == nil || event.Schema == nil {
		return 0, nil
	}
	if d.State != nil && m.Key != "" && !m.Binary && string(m.Data) == "null" {
		return 0, nil // it deletes the key, and has no data for the schema
	}
	if m.Binary {
		return 0, protocol.Errorf(protocol.CodeInvalidData, "event %q has a schema, so its data is JSON and not bytes", m.Type).WithReason("schema")
	}
	data := m.Data
	if data == nil {
		data = []byte("null")
	}
	budget := event.Judging(most)
	err = event.Schema.Validate(data, &budget)
	switch {
	case err == nil:
	case !errors.Is(err, channel.ErrBudget):
		err = protocol.Errorf(protocol.CodeInvalidData, "data of %q does not fit its schema: %v", m.Type, err).WithReason("schema")
	case most == math.MaxInt:
		err = protocol.Errorf(protocol.CodeInvalidData, "data of %q takes more work to judge by its schema than one message may (limits.connection.schema_steps); send less at once", m.Type).WithLimit("limits.connection.schema_steps")
	}
	return budget.Spent(), err
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
