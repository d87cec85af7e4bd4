// Package brokertest is the law of package broker as tests: every driver passes
// the same suite, and is measured by the same benchmark.
package brokertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// Clock is a time that a test moves. Drivers under test read it where they take
// a clock.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a whole second in the past.
func NewClock() *Clock { return &Clock{now: time.UnixMilli(1_700_000_000_000)} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// New makes a driver that reads the clock; it is not started. The log it begins
// with is empty.
type New func(t testing.TB, c *Clock) broker.Broker

// Exercise runs the suite.
func Exercise(t *testing.T, make New) {
	for name, test := range map[string]func(*testing.T, *bench){
		"Offsets":          testOffsets,
		"FeedOrder":        testFeedOrder,
		"FeedIsFollowed":   testFeedIsFollowed,
		"AcceptedBefore":   testAcceptedBefore,
		"ConcurrentOrder":  testConcurrentOrder,
		"Ephemeral":        testEphemeral,
		"Unkept":           testUnkept,
		"OwnsItsMemory":    testOwnsItsMemory,
		"Dedupe":           testDedupe,
		"DedupeExpires":    testDedupeExpires,
		"DedupeReused":     testDedupeReused,
		"DedupeConcurrent": testDedupeConcurrent,
		"Read":             testRead,
		"ReadLast":         testReadLast,
		"ReadBefore":       testReadBefore,
		"TrimByCount":      testTrimByCount,
		"TrimByAge":        testTrimByAge,
		"TrimByBytes":      testTrimByBytes,
		"State":            testState,
		"StateExpires":     testStateExpires,
		"StatePages":       testStatePages,
		"Rewritten":        testRewritten,
		"Roster":           testRoster,
		"Bus":              testBus,
		"FollowPosition":   testFollowPosition,
		"ClockJumps":       testClockJumps,
		"StopTwice":        testStopTwice,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, start(t, make))
		})
	}
}

// Declarations that the suite uses.
var (
	kept      = &channel.Declaration{Name: "kept", History: &channel.History{Messages: 100}}
	keptShort = &channel.Declaration{Name: "short", History: &channel.History{Messages: 5}}
	keptBrief = &channel.Declaration{Name: "brief", History: &channel.History{For: time.Minute}}
	keptSmall = &channel.Declaration{Name: "small", History: &channel.History{Bytes: 4096}}
	board     = &channel.Declaration{Name: "board", State: &channel.State{For: time.Minute}, Buffer: channel.Buffer{Messages: 4}}
	unkept    = &channel.Declaration{Name: "unkept"}
)

// bench is a started driver and what its feed was given.
type bench struct {
	broker broker.Broker
	clock  *Clock

	mu      sync.Mutex
	fed     map[string][]fed
	lost    map[string][]string // ids of members
	control []string
	more    chan struct{} // closed and replaced at every entry
}

type fed struct {
	epoch string
	entry *channel.Entry
}

func start(t testing.TB, make New) *bench {
	clock := NewClock()
	return startNode(t, make(t, clock), clock, "node-1")
}

func startNode(t testing.TB, made broker.Broker, clock *Clock, name string) *bench {
	b := &bench{broker: made, clock: clock, fed: map[string][]fed{}, lost: map[string][]string{}, more: newSignal()}
	if err := b.broker.Start(t.Context(), name, b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.broker.Stop(context.Background()); err != nil {
			t.Error("Stop:", err)
		}
	})
	return b
}

func newSignal() chan struct{} { return make(chan struct{}) }

// Entry implements broker.Feed.
func (b *bench) Entry(name, epoch string, e *channel.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fed[name] = append(b.fed[name], fed{epoch, e})
	close(b.more)
	b.more = newSignal()
}

// Lost implements broker.Feed.
func (b *bench) Lost(name string, members []broker.Member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range members {
		b.lost[name] = append(b.lost[name], m.ID)
	}
}

// Control implements broker.Feed.
func (b *bench) Control(from string, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.control = append(b.control, from+": "+string(payload))
}

// await waits until name was fed n entries.
func (b *bench) await(t testing.TB, name string, n int) []fed {
	t.Helper()
	got := b.arrived(name, n)
	if len(got) < n {
		t.Fatalf("the feed of %s has %d entries, want %d", name, len(got), n)
	}
	return got
}

// arrived returns what name was fed, once that is n entries or when these do not
// come.
func (b *bench) arrived(name string, n int) []fed {
	deadline := time.After(10 * time.Second)
	for {
		b.mu.Lock()
		got, more := slices.Clone(b.fed[name]), b.more
		b.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-deadline:
			return got
		}
	}
}

type outcome struct {
	receipt broker.Receipt
	err     error
}

type done chan outcome

func (d done) Appended(_ *broker.Publication, r broker.Receipt, err error) { d <- outcome{r, err} }

// publication makes one of data that is unique to n.
func publication(d *channel.Declaration, name string, n int) *broker.Publication {
	return &broker.Publication{Declaration: d, Message: protocol.Message{
		Type: "e", Channel: name, Data: fmt.Appendf(nil, `{"n":%d}`, n)}}
}

// publish appends and waits for the outcome.
func (b *bench) publish(t testing.TB, p *broker.Publication) outcome {
	d := make(done, 1)
	b.broker.Append(p, d)
	select {
	case o := <-d:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("Append never called Done")
		return outcome{}
	}
}

func (b *bench) accept(t testing.TB, p *broker.Publication) broker.Receipt {
	t.Helper()
	o := b.publish(t, p)
	if o.err != nil {
		t.Fatal("Append:", o.err)
	}
	return o.receipt
}

func (b *bench) follow(t testing.TB, name string, d *channel.Declaration) protocol.Position {
	t.Helper()
	type answer struct {
		p   protocol.Position
		err error
	}
	ready := make(chan answer, 1)
	b.broker.Follow(name, d, func(p protocol.Position, err error) { ready <- answer{p, err} })
	select {
	case a := <-ready:
		if a.err != nil {
			t.Fatal("Follow:", a.err)
		}
		return a.p
	case <-time.After(10 * time.Second):
		t.Fatal("Follow never answered")
		return protocol.Position{}
	}
}

func (b *bench) read(t testing.TB, name string, d *channel.Declaration, r broker.Range) broker.Page {
	t.Helper()
	p, err := b.broker.Read(t.Context(), name, d, r)
	if err != nil {
		t.Fatal("Read:", err)
	}
	return p
}

func offsets(entries []*channel.Entry) []uint64 {
	list := make([]uint64, len(entries))
	for i, e := range entries {
		list[i] = e.Offset
	}
	return list
}

// data returns the payload of an entry.
func data(t testing.TB, e *channel.Entry) string {
	t.Helper()
	var m protocol.Message
	if err := e.Message(&m); err != nil {
		t.Fatal(err)
	}
	return string(m.Data)
}
