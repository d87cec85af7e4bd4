package memory

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// The corners of bounds and windows, to the message and to the millisecond.

func put(b *Broker, name, key, dedupe string, d *channel.Declaration) outcome {
	var o outcome
	b.Open(name, d).Append(&broker.Publication{Dedupe: dedupe,
		Message: protocol.Message{Type: "e", Channel: name, Key: key, Data: []byte("1")}}, &o)
	return o
}

func (b *Broker) sweepAll() {
	for i := range b.shard {
		b.sweepShard(&b.shard[i])
	}
}

func TestStateKeys(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{StateKeys: 2, Now: clock.Now})
	board := &channel.Declaration{Name: "s", State: &channel.State{}, Buffer: channel.Buffer{Messages: 10, Bytes: 1 << 20}}
	for _, c := range []struct {
		key  string
		want protocol.Code
	}{{"a", ""}, {"b", ""}, {"c", protocol.CodeLimitExceeded}, {"a", ""}, {"", ""}} {
		if o := put(b, "s", c.key, "", board); code(o.err) != c.want {
			t.Errorf("key %q: %v, want %q", c.key, o.err, c.want)
		}
	}
	// Without an end of its own no key goes, however old.
	clock.Advance(1000 * time.Hour)
	b.sweepAll()
	page, err := b.Open("s", board).State(t.Context(), broker.StateRange{})
	if err != nil || len(page.Entries) != 2 || b.channels.Load() != 1 {
		t.Errorf("%d keys are left: %v", len(page.Entries), err)
	}
	// A message without a key is none of a state, and one with a key of a channel
	// that keeps its past is in no state either.
	kept := &channel.Declaration{Name: "h", History: &channel.History{Messages: 5}}
	put(b, "h", "a", "", kept)
	if page, err := b.Open("h", kept).State(t.Context(), broker.StateRange{}); err != nil || len(page.Entries) != 0 {
		t.Errorf("a channel without a state has %d keys: %v", len(page.Entries), err)
	}
}

func TestDedupeWindow(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{Now: clock.Now})
	kept := &channel.Declaration{Name: "c", History: &channel.History{Messages: 5}}
	put(b, "c", "", "k", kept)
	clock.Advance(broker.DedupeWindow - time.Millisecond)
	b.sweepAll()
	if o := put(b, "c", "", "k", kept); !o.r.Duplicate || o.r.Position.Offset != 1 {
		t.Errorf("within the window: %+v", o)
	}
	clock.Advance(time.Millisecond)
	if o := put(b, "c", "", "k", kept); o.r.Duplicate || o.r.Position.Offset != 2 {
		t.Errorf("at its end: %+v", o)
	}
	// The sweeper comes by for the first use, and leaves the second alone.
	b.sweepAll()
	if o := put(b, "c", "", "k", kept); !o.r.Duplicate || o.r.Position.Offset != 2 || b.dedupes.Load() != 1 {
		t.Errorf("the second use was forgotten with the first: %+v, %d keys", o, b.dedupes.Load())
	}
	put(b, "c", "", "other", kept)
	clock.Advance(broker.DedupeWindow)
	b.sweepAll()
	if n := b.dedupes.Load(); n != 0 {
		t.Errorf("%d keys are left when their window is over", n)
	}
}

func TestBytes(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{Now: clock.Now})
	all := &channel.Declaration{Name: "c", History: &channel.History{Messages: 100}}
	for range 3 {
		put(b, "c", "", "", all)
	}
	page, err := b.Open("c", all).Read(t.Context(), broker.Range{})
	if err != nil || len(page.Entries) != 3 {
		t.Fatal(len(page.Entries), err)
	}
	if text := string(page.Entries[1].JSON()); !strings.Contains(text, `"offset":2`) {
		t.Errorf("what is kept has no offset: %s", text)
	}
	size := page.Entries[0].Size()
	for bytes, want := range map[int]int{1: 1, 2*size - 1: 1, 2 * size: 2, 3 * size: 3} {
		for _, r := range []broker.Range{{Bytes: bytes}, {Bytes: bytes, Before: 4}} {
			page, err := b.Open("c", all).Read(t.Context(), r)
			if err != nil || len(page.Entries) != want || page.More != (want < 3) {
				t.Errorf("%+v: %d messages, more %v: %v; want %d", r, len(page.Entries), page.More, err, want)
			}
		}
	}
	for bytes, want := range map[int]int{1: 1, 2*size - 1: 1, 2 * size: 2, 3 * size: 3} {
		some := &channel.Declaration{Name: "d", History: &channel.History{Bytes: int64(bytes)}}
		b := New(Options{Now: clock.Now})
		for range 4 {
			put(b, "c", "", "", some)
		}
		page, err := b.Open("c", some).Read(t.Context(), broker.Range{})
		if err != nil || len(page.Entries) != want {
			t.Errorf("%d bytes are kept: %d messages of %d: %v; want %d", bytes, len(page.Entries), size, err, want)
		}
	}
}

// TestFullForFollowers: a channel that there is no room for is not followed, and
// the follower is told.
func TestFullForFollowers(t *testing.T) {
	if one, other := New(Options{}), New(Options{}); one.epoch == other.epoch {
		t.Error("two starts have one epoch")
	}
	b := New(Options{Channels: 1})
	kept := &channel.Declaration{Name: "c", History: &channel.History{Messages: 5}}
	put(b, "a", "", "", kept)
	begun := make(begins, 1)
	b.Open("b", kept).Follow(begun).Close()
	if err := <-begun; code(err) != protocol.CodeLimitExceeded {
		t.Errorf("followed, or refused with %v", err)
	}
	if !b.Immediate() {
		t.Error("it answers at once, and says not")
	}
	// Whoever follows what keeps nothing leaves nothing behind.
	b = New(Options{})
	s := b.Open("u", &channel.Declaration{Name: "u"}).Follow(ignore{})
	if n := b.channels.Load(); n != 1 {
		t.Errorf("%d channels are followed", n)
	}
	if s.Close(); b.channels.Load() != 0 {
		t.Errorf("%d channels are left when nobody follows", b.channels.Load())
	}
}

type begins chan error

func (b begins) Begin(_ protocol.Position, err error) { b <- err }
func (begins) Entry(string, *channel.Entry)           {}
func (begins) Restart(protocol.Position)              {}

func TestSweeper(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{Now: clock.Now, Sweep: time.Millisecond})
	brief := &channel.Declaration{Name: "c", History: &channel.History{For: time.Minute}}
	put(b, "c", "", "", brief)
	clock.Advance(time.Hour)
	if err := b.Start(t.Context(), "n", nil); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(10 * time.Second); b.channels.Load() > 0; {
		select {
		case <-deadline:
			t.Fatal("nothing was swept")
		case <-time.After(time.Millisecond):
		}
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestKeysExpire: a state whose keys have all expired takes no room, though
// nobody asks for it.
func TestKeysExpire(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{Now: clock.Now})
	board := &channel.Declaration{Name: "s", State: &channel.State{For: time.Minute}, Buffer: channel.Buffer{Messages: 10, Bytes: 1 << 20}}
	put(b, "s", "a", "", board)
	clock.Advance(59 * time.Second)
	if b.sweepAll(); b.channels.Load() != 1 {
		t.Error("a state with a key was dropped")
	}
	clock.Advance(time.Hour)
	if b.sweepAll(); b.channels.Load() != 0 {
		t.Error("a state without a key is kept")
	}
}

// TestHandleOfWhatWasDropped: who has a channel open while it is swept away goes
// on in the one that everybody has then.
func TestHandleOfWhatWasDropped(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{Now: clock.Now})
	brief := &channel.Declaration{Name: "c", History: &channel.History{For: time.Minute}}
	h := b.Open("c", brief)
	message := func() *broker.Publication {
		return &broker.Publication{Message: protocol.Message{Type: "e", Channel: "c", Data: []byte("1")}}
	}
	var first, second outcome
	h.Append(message(), &first)
	clock.Advance(time.Hour)
	if b.sweepAll(); b.channels.Load() != 0 {
		t.Fatal("it is kept")
	}
	h.Append(message(), &second)
	if second.err != nil || second.r.Position.Offset != 2 {
		t.Errorf("%+v", second)
	}
	if o := put(b, "c", "", "", brief); o.r.Position.Offset != 3 {
		t.Errorf("another has a log of its own: %+v", o)
	}
	h.Append(message(), &second)
	if page, err := b.Open("c", brief).Read(t.Context(), broker.Range{}); err != nil || len(page.Entries) != 3 || second.r.Position.Offset != 4 {
		t.Errorf("%d messages, the last %+v: %v", len(page.Entries), second.r.Position, err)
	}
}

// TestDropped: a log is dropped once, when nothing is left of it, and whoever had it
// open goes on in the next of its name.
func TestDropped(t *testing.T) {
	b := New(Options{})
	unkept := &channel.Declaration{Name: "c"}
	var handles [3]broker.Log
	for i := range handles {
		handles[i] = b.Open("c", unkept)
		handles[i].Append(&broker.Publication{Message: protocol.Message{Type: "e", Channel: "c"}}, new(outcome))
	}
	s := b.shardOf("c")
	l := s.logs["c"]
	sub := handles[0].Follow(ignore{})
	b.drop(s, "c", l)
	if s.logs["c"] != l || b.channels.Load() != 1 {
		t.Fatal("a log that is followed was dropped")
	}
	sub.Close()
	b.drop(s, "c", l)
	if s.logs["c"] != nil || b.channels.Load() != 0 {
		t.Fatalf("%d channels are left of none", b.channels.Load())
	}
	for _, h := range handles {
		var o outcome
		if h.Append(&broker.Publication{Message: protocol.Message{Type: "e", Channel: "c"}}, &o); o.err != nil {
			t.Error(o.err)
		}
	}
	if b.channels.Load() != 1 {
		t.Errorf("%d channels of one name", b.channels.Load())
	}
}

// TestStopWaits for the sweeper.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sweeping, goOn := make(chan struct{}), make(chan struct{})
		hold := sync.OnceFunc(func() { close(sweeping); <-goOn })
		b := New(Options{Sweep: time.Second, Now: func() time.Time { hold(); return time.Time{} }})
		if err := b.Start(t.Context(), "node", nil); err != nil {
			t.Fatal(err)
		}
		<-sweeping
		stopped := make(chan struct{})
		go func() {
			_ = b.Stop(t.Context())
			close(stopped)
		}()
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("it stopped while it swept")
		default:
		}
		close(goOn)
		<-stopped
	})
}
