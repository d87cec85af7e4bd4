package session

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
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
	slow bool // as a store that is not in memory

	mu      sync.Mutex
	follows map[string]*rebornFollow
}

func newReborn(slow bool) *reborn {
	r := &reborn{slow: slow, follows: map[string]*rebornFollow{}}
	r.now.Store(memory.New(memory.Options{}))
	return r
}

func (r *reborn) Start(ctx context.Context, node string, feed broker.Feed) error {
	return r.now.Load().Start(ctx, node, feed)
}
func (r *reborn) Stop(ctx context.Context) error { return r.now.Load().Stop(ctx) }
func (r *reborn) Ready(context.Context) error    { return nil }
func (r *reborn) Immediate() bool                { return !r.slow }

// rebornLog is a log of whichever broker is there now. Followers are cut off from
// one that is lost, until they are brought to the next.
type rebornLog struct {
	*reborn
	name     string
	declared *channel.Declaration
}

func (r *reborn) Open(name string, d *channel.Declaration) broker.Log { return &rebornLog{r, name, d} }

func (l *rebornLog) at() broker.Log { return l.now.Load().Open(l.name, l.declared) }

func (l *rebornLog) Redeclare(*channel.Declaration)              {}
func (l *rebornLog) Append(p *broker.Publication, d broker.Done) { l.at().Append(p, d) }
func (l *rebornLog) Read(ctx context.Context, g broker.Range) (broker.Page, error) {
	return l.at().Read(ctx, g)
}
func (l *rebornLog) State(ctx context.Context, g broker.StateRange) (broker.StatePage, error) {
	return l.at().State(ctx, g)
}
func (l *rebornLog) Follow(f broker.Follower) broker.Subscription {
	s := &rebornFollow{Follower: f, Subscription: l.at().Follow(f), log: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.follows[l.name] = s
	return s
}

// rebornFollow is the follower of a log, which knows its position already when it
// is brought to another.
type rebornFollow struct {
	broker.Follower
	broker.Subscription
	log *rebornLog
	at  protocol.Position // where it was brought to
}

func (f *rebornFollow) Begin(p protocol.Position, _ error) { f.at = p }

// cut ends what comes, and join has it come again.
func (f *rebornFollow) cut()  { f.Subscription.Close() }
func (f *rebornFollow) join() { f.Subscription = f.log.at().Follow(f) }

func (r *reborn) following(name string) *rebornFollow {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.follows[name]
}

// lose begins anew with nothing, and tells the followers of some channels of it.
func (r *reborn) lose(t *testing.T, names ...string) (epoch string) {
	t.Helper()
	old := r.now.Load()
	fresh := memory.New(memory.Options{})
	if err := fresh.Start(t.Context(), "node", nil); err != nil {
		t.Fatal(err)
	}
	r.now.Store(fresh)
	if err := old.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f := r.following(name)
		f.join()
		epoch = f.at.Epoch
		f.Restart(f.at)
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
	b.following("kept").cut()
	for n := range 3 {
		h.publish("kept", "e", "", fmt.Sprint(n))
	}
	b.following("kept").join()
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
	var old string
	for n := range 3 {
		old = h.publish("kept", "e", "", fmt.Sprint(n)).Position.Epoch
	}
	c.await(3)
	b.lose(t) // and the feed says nothing
	page, err := b.Open("kept", &channel.Declaration{History: &channel.History{Messages: 100}}).Read(t.Context(), broker.Range{})
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
	time.Sleep(300 * time.Millisecond) // it is the waiting that is tested
	h.settle()
	for _, d := range asked {
		if got := d.messages(); len(got) > 0 {
			t.Fatalf("answered too soon: %s", show(got))
		}
	}
	b.following("kept").Restart(protocol.Position{Epoch: page.Epoch})
	if m := asked[page.Epoch].one(); m.Epoch != page.Epoch || string(m.Data) != `{"recovered":true,"head":0}` {
		t.Error(show([]protocol.Message{m}))
	}
	if m := asked[old].one(); m.Epoch != page.Epoch || string(m.Data) != `{"recovered":false,"reason":"epoch"}` {
		t.Error(show([]protocol.Message{m}))
	}
}
