package session

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// reborn is a broker whose logs can be emptied, as a store is that was lost.
type reborn struct {
	broker.Alone
	now  atomic.Pointer[memory.Broker]
	feed broker.Feed
	slow bool // as a store that is not in memory
}

func newReborn(slow bool) *reborn {
	r := &reborn{slow: slow}
	r.now.Store(memory.New(memory.Options{}))
	return r
}

func (r *reborn) Start(ctx context.Context, node string, feed broker.Feed) error {
	r.feed = feed
	return r.now.Load().Start(ctx, node, feed)
}
func (r *reborn) Stop(ctx context.Context) error              { return r.now.Load().Stop(ctx) }
func (r *reborn) Append(p *broker.Publication, d broker.Done) { r.now.Load().Append(p, d) }
func (r *reborn) Unfollow(name string)                        { r.now.Load().Unfollow(name) }
func (r *reborn) Ready(context.Context) error                 { return nil }
func (r *reborn) Immediate() bool                             { return !r.slow }
func (r *reborn) Follow(name string, d *channel.Declaration, ready func(protocol.Position, error)) {
	r.now.Load().Follow(name, d, ready)
}
func (r *reborn) Read(ctx context.Context, name string, d *channel.Declaration, g broker.Range) (broker.Page, error) {
	return r.now.Load().Read(ctx, name, d, g)
}
func (r *reborn) State(ctx context.Context, name string, d *channel.Declaration, g broker.StateRange) (broker.StatePage, error) {
	return r.now.Load().State(ctx, name, d, g)
}

// lose begins anew with nothing, and tells the feed of it for some channels.
func (r *reborn) lose(t *testing.T, names ...string) (epoch string) {
	t.Helper()
	old := r.now.Load()
	fresh := memory.New(memory.Options{})
	if err := fresh.Start(t.Context(), "node", r.feed); err != nil {
		t.Fatal(err)
	}
	r.now.Store(fresh)
	if err := old.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		fresh.Follow(name, nil, func(p protocol.Position, _ error) {
			epoch = p.Epoch
			r.feed.(broker.Restarter).Restarted(name, p)
		})
	}
	return epoch
}

// wantEpoch checks the gap that tells of another epoch.
func wantEpoch(t *testing.T, m protocol.Message, from uint64, epoch string) {
	t.Helper()
	var d struct {
		From, To uint64
		Reason   string
	}
	if m.Type != protocol.TypeGap || json.Unmarshal(m.Data, &d) != nil {
		t.Fatalf("not a gap: %s", show([]protocol.Message{m}))
	}
	if d.Reason != "epoch" || d.From != from || d.To < d.From || m.Epoch != epoch || m.Offset != 0 || !m.Kept {
		t.Fatalf("the gap says %s, epoch %q, offset %d; want reason epoch from %d, epoch %q, offset 0", m.Data, m.Epoch, m.Offset, from, epoch)
	}
}

func TestEpochChanges(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("slow=%v", slow), func(t *testing.T) {
			b := newReborn(slow)
			h := newHouse(t, houseOptions{broker: b})
			c := h.subscribed("ann", "kept")
			resting := h.welcomed("bob")
			resting.send(`{"type":"subscribe","channel":"kept","id":1,"data":{"rate":50}}`)
			old := resting.one().Epoch
			h.publish("kept", "e", "", "1")
			h.publish("kept", "e", "", "2")
			if end := run(t, 0, c.await(2)); end != 2 {
				t.Fatalf("came to %d", end)
			}
			resting.await(2)

			epoch := b.lose(t, "kept")
			wantEpoch(t, c.one(), 3, epoch)
			wantEpoch(t, resting.one(), 3, epoch)
			h.publish("kept", "e", "", "3")
			if m := c.one(); m.Offset != 1 || m.Prev != 0 || string(m.Data) != "3" {
				t.Fatalf("the new epoch begins with %s", show([]protocol.Message{m}))
			}

			// Who comes back with the old epoch is told too, with the new one it goes on.
			for _, since := range []struct {
				epoch string
				want  string
			}{{old, `{"recovered":false,"reason":"epoch"}`}, {epoch, `{"recovered":true,"head":1}`}} {
				d := h.welcomed("eve")
				d.sendf(`{"type":"subscribe","channel":"kept","id":1,"since":{"epoch":%q,"offset":1}}`, since.epoch)
				if m := d.one(); string(m.Data) != since.want || m.Epoch != epoch {
					t.Fatalf("since %q: %s", since.epoch, show([]protocol.Message{m}))
				}
			}
		})
	}
}

// TestEpochChangesForTheSlow: whoever lags, in the ring or in the store, is told
// as well, and is given nothing of the one epoch as if it were of the other.
func TestEpochChangesForTheSlow(t *testing.T) {
	for _, slow := range []bool{false, true} {
		for _, name := range []string{"kept", "short"} {
			t.Run(fmt.Sprintf("%s slow=%v", name, slow), func(t *testing.T) {
				b := newReborn(slow)
				h := newHouse(t, houseOptions{broker: b})
				c := h.subscribed("ann", name)
				c.fill(10)
				for n := range 40 { // more than the ring of short holds
					h.publish(name, "e", "", fmt.Sprint(n))
					if n == 0 {
						h.settle() // the first is cut, before the ring has turned over
					}
				}
				h.settle()
				epoch := b.lose(t, name)
				for n := range 30 {
					h.publish(name, "e", "", fmt.Sprint("1", n))
				}
				c.drain(-1)
				// The rest of the message that was cut, and then the new epoch from its
				// beginning, all of it.
				got := c.await(1 + 1 + 30)
				if got[0].Offset != 1 {
					t.Fatalf("first came %s", show(got[:1]))
				}
				wantEpoch(t, got[1], 2, epoch)
				if end := run(t, 0, got[2:]); end != 30 {
					t.Fatalf("came to %d", end)
				}
			})
		}
	}
}

func TestEpochChangesOfAState(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("slow=%v", slow), func(t *testing.T) {
			b := newReborn(slow)
			h := newHouse(t, houseOptions{broker: b})
			h.publish("board", "e", "a", "1")
			c := h.subscribed("ann", "board")
			epoch := b.lose(t, "board")
			got := c.await(2)
			wantEpoch(t, got[0], 2, epoch)
			if string(got[1].Data) != `{"items":[],"more":false}` {
				t.Fatalf("the state is %s", got[1].Data)
			}
			h.publish("board", "e", "b", "2")
			if m := c.one(); m.Key != "b" || m.Offset != 1 {
				t.Fatalf("then came %s", show([]protocol.Message{m}))
			}
		})
	}
}

// TestHole: a feed that leaves messages out has them read from the store, or
// told as trimmed.
func TestHole(t *testing.T) {
	b := newReborn(true)
	h := newHouse(t, houseOptions{broker: b})
	c := h.subscribed("ann", "kept")
	h.publish("kept", "e", "", "1")
	c.one()
	b.now.Load().Unfollow("kept") // the feed is cut
	for n := range 3 {
		h.publish("kept", "e", "", fmt.Sprint(n))
	}
	t1, err := h.node.Resolve("kept")
	if err != nil {
		t.Fatal(err)
	}
	b.now.Load().Follow("kept", t1.Declaration, func(protocol.Position, error) {})
	h.publish("kept", "e", "", "5")
	if end := run(t, 1, c.await(4)); end != 5 {
		t.Fatalf("came to %d", end)
	}
}

// TestFeedIsBehind: the store is in an epoch that this node has not heard of yet.
// Who comes with a position is not answered from the epoch that has ended, which
// it has been in perhaps, but when the feed has come as far.
func TestFeedIsBehind(t *testing.T) {
	b := newReborn(true)
	h := newHouse(t, houseOptions{broker: b})
	c := h.subscribed("ann", "kept")
	for n := range 3 {
		h.publish("kept", "e", "", fmt.Sprint(n))
	}
	c.await(3)
	old, _ := h.server.hubs[0].groups["kept"].channel.Position()
	b.lose(t) // and the feed says nothing
	page, err := b.Read(t.Context(), "kept", nil, broker.Range{})
	if err != nil || page.Epoch == old {
		t.Fatalf("epoch %q after %q: %v", page.Epoch, old, err)
	}
	asked := map[string]*client{}
	for _, epoch := range []string{old, page.Epoch} {
		d := h.welcomed("bob")
		d.sendf(`{"type":"subscribe","channel":"kept","id":1,"since":{"epoch":%q,"offset":0}}`, epoch)
		if epoch == old {
			// The ring still has what comes after: nothing is known to be wrong.
			if m := d.next(); string(m.Data) != `{"recovered":true,"head":3}` {
				t.Fatal(show([]protocol.Message{m}))
			}
			d.await(3)
			d = h.welcomed("bob")
			d.sendf(`{"type":"subscribe","channel":"kept","id":1,"since":{"epoch":"another","offset":0}}`)
		}
		asked[epoch] = d
	}
	time.Sleep(3 * laterTick) // it is the waiting that is tested
	h.settle()
	for _, d := range asked {
		if got := d.messages(); len(got) > 0 {
			t.Fatalf("answered too soon: %s", show(got))
		}
	}
	b.feed.(broker.Restarter).Restarted("kept", protocol.Position{Epoch: page.Epoch})
	if m := asked[page.Epoch].one(); m.Epoch != page.Epoch || string(m.Data) != `{"recovered":true,"head":0}` {
		t.Error(show([]protocol.Message{m}))
	}
	if m := asked[old].one(); m.Epoch != page.Epoch || string(m.Data) != `{"recovered":false,"reason":"epoch"}` {
		t.Error(show([]protocol.Message{m}))
	}
}
