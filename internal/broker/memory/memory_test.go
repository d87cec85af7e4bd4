package memory

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fresh(_ testing.TB, c *brokertest.Clock) broker.Broker { return New(Options{Now: c.Now}) }

func TestContract(t *testing.T) { brokertest.Exercise(t, fresh) }

// memoryWalk: what is in memory goes with its driver.
var memoryWalk = brokertest.Walk{Seeds: 200, Steps: 250, Shared: func(t testing.TB, c *brokertest.Clock) func() broker.Broker {
	return func() broker.Broker { return fresh(t, c) }
}}

func TestModel(t *testing.T) { brokertest.ExerciseModel(t, memoryWalk) }

func FuzzModel(f *testing.F) { brokertest.FuzzModel(f, memoryWalk) }

func BenchmarkAppend(b *testing.B) { brokertest.Benchmark(b, fresh) }

type ignore struct{}

func (ignore) Begin(protocol.Position, error) {}
func (ignore) Entry(string, *channel.Entry)   {}
func (ignore) Restart(protocol.Position)      {}

// placed is told where a follower begins.
type placed chan protocol.Position

func (p placed) Begin(at protocol.Position, _ error) { p <- at }
func (placed) Entry(string, *channel.Entry)          {}
func (placed) Restart(protocol.Position)             {}

type outcome struct {
	r   broker.Receipt
	err error
}

func (o *outcome) Appended(r broker.Receipt, err error) { o.r, o.err = r, err }

func publish(b *Broker, name, dedupe string, d *channel.Declaration) outcome {
	var o outcome
	b.Open(name, d).Append(&broker.Publication{Dedupe: dedupe,
		Message: protocol.Message{Type: "e", Channel: name, Data: []byte("1")}}, &o)
	return o
}

func code(err error) protocol.Code {
	if err == nil {
		return ""
	}
	return protocol.AsError(err).Code
}

func TestLimits(t *testing.T) {
	kept := &channel.Declaration{Name: "c", History: &channel.History{Messages: 2}}
	b := New(Options{Channels: 2, DedupeKeys: 2})
	for _, name := range []string{"a", "b", "a"} {
		if o := publish(b, name, "", kept); o.err != nil {
			t.Fatal(o.err)
		}
	}
	if o := publish(b, "third", "", kept); code(o.err) != protocol.CodeLimitExceeded {
		t.Fatalf("the third channel: %v", o.err)
	}
	for n, want := range []protocol.Code{"", "", protocol.CodeUnavailable} {
		if o := publish(b, "a", fmt.Sprint("key", n), kept); code(o.err) != want {
			t.Fatalf("key %d: %v", n, o.err)
		}
	}
	// A key that is remembered is known, even though there is no room for new ones.
	if o := publish(b, "a", "key0", kept); o.err != nil || !o.r.Duplicate {
		t.Fatalf("a known key: %+v", o)
	}
}

// TestSweep: what is too old goes without anybody asking, and a channel of which
// nothing is kept counts no longer. Its offsets go on if it is used again.
func TestSweep(t *testing.T) {
	clock := brokertest.NewClock()
	b := New(Options{Now: clock.Now})
	brief := &channel.Declaration{Name: "c", History: &channel.History{For: time.Minute}}
	unkept := &channel.Declaration{Name: "u"}
	publish(b, "c", "key", brief)
	publish(b, "u", "key", unkept)
	clock.Advance(time.Hour)
	for i := range b.shard {
		b.sweepShard(&b.shard[i])
	}
	if n := b.dedupes.Load(); n != 0 {
		t.Errorf("%d dedupe keys are left", n)
	}
	if n := b.channels.Load(); n != 0 {
		t.Errorf("%d channels are left", n)
	}
	page, err := b.Open("c", brief).Read(t.Context(), broker.Range{})
	if err != nil || page.Head != 1 || page.Oldest != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	state, err := b.Open("c", brief).State(t.Context(), broker.StateRange{})
	if err != nil || state.Head != 1 || state.Forgotten != 1 {
		t.Errorf("%+v, %v", state, err)
	}
	at := make(placed, 1)
	defer b.Open("c", brief).Follow(at).Close()
	if p := <-at; p.Offset != 1 {
		t.Errorf("followed at %+v", p)
	}
	if o := publish(b, "c", "", brief); o.r.Position.Offset != 2 {
		t.Errorf("%+v", o)
	}
	clock.Advance(time.Hour)
	for i := range b.shard {
		b.sweepShard(&b.shard[i])
	}
	if n := b.channels.Load(); n != 1 {
		t.Errorf("%d channels are left, want the one that is followed", n)
	}
}

// TestAllocations is the budget of an inbound publish: the entry and its bytes.
func TestAllocations(t *testing.T) {
	b := New(Options{})
	d := &channel.Declaration{Name: "c", History: &channel.History{Messages: 100}}
	l := b.Open("c", d)
	l.Follow(ignore{})
	p := &broker.Publication{Message: protocol.Message{Type: "message", Channel: "c", Data: []byte(`{"text":"hello"}`)}}
	o := &outcome{}
	for range 1000 { // let the history's slice reach its size
		l.Append(p, o)
	}
	if n := testing.AllocsPerRun(1000, func() { l.Append(p, o) }); n > 2 {
		t.Errorf("an append allocates %v times, want at most 2", n)
	}
}
