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
	twice   bool // followers are given everything twice
	present bool // everybody who enters was in before
}

// plantedLog is a log of such a driver.
type plantedLog struct {
	broker.Log
	bug *planted
}

func (p *planted) Open(name string, d *channel.Declaration) broker.Log {
	return plantedLog{p.Broker.Open(name, d), p}
}

func (l plantedLog) Read(ctx context.Context, r broker.Range) (broker.Page, error) {
	page, err := l.Log.Read(ctx, r)
	if l.bug.read != nil {
		page = l.bug.read(page)
	}
	return page, err
}

func (l plantedLog) State(ctx context.Context, r broker.StateRange) (broker.StatePage, error) {
	page, err := l.Log.State(ctx, r)
	if l.bug.state != nil {
		page = l.bug.state(page)
	}
	return page, err
}

type doneFunc func(r broker.Receipt, err error)

func (f doneFunc) Appended(r broker.Receipt, err error) { f(r, err) }

func (l plantedLog) Append(pub *broker.Publication, d broker.Done) {
	if l.bug.receipt == nil {
		l.Log.Append(pub, d)
		return
	}
	l.Log.Append(pub, doneFunc(func(r broker.Receipt, err error) { d.Appended(l.bug.receipt(r), err) }))
}

type stutter struct{ broker.Follower }

func (s stutter) Entry(epoch string, e *channel.Entry) {
	s.Follower.Entry(epoch, e)
	s.Follower.Entry(epoch, e)
}

func (l plantedLog) Follow(f broker.Follower) broker.Subscription {
	if l.bug.twice {
		f = stutter{f}
	}
	return l.Log.Follow(f)
}

func (p *planted) Put(ctx context.Context, room string, m broker.Member) (bool, error) {
	entered, err := p.Broker.Put(ctx, room, m)
	return entered && !p.present, err
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
