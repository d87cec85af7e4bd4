package memory

import (
	"context"
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
)

// planted is a driver with a bug in it.
type planted struct {
	*Broker
	read    func(broker.Page) broker.Page
	state   func(broker.StatePage) broker.StatePage
	receipt func(broker.Receipt) broker.Receipt
	twice   bool // the feed is given everything twice
	present bool // everybody who enters was in before
}

func (p *planted) Read(ctx context.Context, name string, d *channel.Declaration, r broker.Range) (broker.Page, error) {
	page, err := p.Broker.Read(ctx, name, d, r)
	if p.read != nil {
		page = p.read(page)
	}
	return page, err
}

func (p *planted) State(ctx context.Context, name string, d *channel.Declaration, r broker.StateRange) (broker.StatePage, error) {
	page, err := p.Broker.State(ctx, name, d, r)
	if p.state != nil {
		page = p.state(page)
	}
	return page, err
}

type doneFunc func(p *broker.Publication, r broker.Receipt, err error)

func (f doneFunc) Appended(p *broker.Publication, r broker.Receipt, err error) { f(p, r, err) }

func (p *planted) Append(pub *broker.Publication, d broker.Done) {
	if p.receipt == nil {
		p.Broker.Append(pub, d)
		return
	}
	p.Broker.Append(pub, doneFunc(func(pub *broker.Publication, r broker.Receipt, err error) {
		d.Appended(pub, p.receipt(r), err)
	}))
}

func (p *planted) Put(ctx context.Context, room string, m broker.Member) (bool, error) {
	entered, err := p.Broker.Put(ctx, room, m)
	return entered && !p.present, err
}

type stutter struct{ broker.Feed }

func (s stutter) Entry(name, epoch string, e *channel.Entry) {
	s.Feed.Entry(name, epoch, e)
	s.Feed.Entry(name, epoch, e)
}

func (p *planted) Start(ctx context.Context, node string, feed broker.Feed) error {
	if p.twice {
		feed = stutter{feed}
	}
	return p.Broker.Start(ctx, node, feed)
}

// TestModelFinds: the walks of the contract's model find bugs that drivers may have.
func TestModelFinds(t *testing.T) {
	for name, bug := range map[string]planted{
		"none":        {},
		"last read":   {read: func(p broker.Page) broker.Page { p.Entries = p.Entries[:max(0, len(p.Entries)-1)]; return p }},
		"more":        {read: func(p broker.Page) broker.Page { p.More = false; return p }},
		"oldest":      {read: func(p broker.Page) broker.Page { p.Oldest = 0; return p }},
		"head":        {state: func(p broker.StatePage) broker.StatePage { p.Head++; return p }},
		"first state": {state: func(p broker.StatePage) broker.StatePage { p.Entries = p.Entries[min(1, len(p.Entries)):]; return p }},
		"duplicate":   {receipt: func(r broker.Receipt) broker.Receipt { r.Duplicate = false; return r }},
		"offset":      {receipt: func(r broker.Receipt) broker.Receipt { r.Position.Offset = 1; return r }},
		"fed twice":   {twice: true},
		"present":     {present: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := brokertest.Walk{Steps: 250, Shared: func(_ testing.TB, c *brokertest.Clock) func() broker.Broker {
				return func() broker.Broker {
					b := bug
					b.Broker = New(Options{Now: c.Now})
					return &b
				}
			}}
			var err error
			for seed := 0; seed < 5 && err == nil; seed++ {
				err = w.Try(t, seed)
			}
			if found := err != nil; found != (name != "none") {
				t.Errorf("found: %v", err)
			}
		})
	}
}
