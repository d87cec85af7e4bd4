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
func Exercise(t *testing.T, newDriver New) {
	for name, test := range map[string]func(*testing.T, *bench){
		"Offsets":          testOffsets,
		"FeedOrder":        testFeedOrder,
		"FeedIsFollowed":   testFeedIsFollowed,
		"TwoFollowers":     testTwoFollowers,
		"FollowChurn":      testFollowChurn,
		"Redeclare":        testRedeclare,
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
			test(t, start(t, newDriver))
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

// driver is what the suite asks for: logs, and a roster.
type driver interface {
	broker.Broker
	broker.Roster
}

// bench is a started driver and what it gave.
type bench struct {
	broker driver
	clock  *Clock

	mu      sync.Mutex
	subs    map[string]broker.Subscription
	fed     map[string][]fed
	lost    map[string][]string // ids of members
	control []string
	more    chan struct{} // closed and replaced at every entry
}

type fed struct {
	epoch string
	entry *channel.Entry
}

func start(t testing.TB, newDriver New) *bench {
	clock := NewClock()
	return startNode(t, newDriver(t, clock), clock, "node-1")
}

func startNode(t testing.TB, made broker.Broker, clock *Clock, name string) *bench {
	b := &bench{broker: made.(driver), clock: clock, subs: map[string]broker.Subscription{}, fed: map[string][]fed{}, lost: map[string][]string{}, more: newSignal()}
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

// follower takes what a log gives.
type follower struct {
	bench *bench
	name  string
	begun chan begun
}

type begun struct {
	at  protocol.Position
	err error
}

// Begin implements broker.Follower.
func (f *follower) Begin(at protocol.Position, err error) { f.begun <- begun{at, err} }

// Entry implements broker.Follower.
func (f *follower) Entry(epoch string, e *channel.Entry) {
	b := f.bench
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fed[f.name] = append(b.fed[f.name], fed{epoch, e})
	close(b.more)
	b.more = newSignal()
}

// Restart implements broker.Follower.
func (f *follower) Restart(protocol.Position) {}

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

func (d done) Appended(r broker.Receipt, err error) { d <- outcome{r, err} }

// message is a publication and the log that it is for.
type message struct {
	broker.Publication
	log string
	d   *channel.Declaration
}

// publication makes one of data that is unique to n.
func publication(d *channel.Declaration, name string, n int) *message {
	return &message{broker.Publication{Message: protocol.Message{
		Type: "e", Channel: name, Data: fmt.Appendf(nil, `{"n":%d}`, n)}}, name, d}
}

// append hands p to the driver, and spoils what it was given right after.
func (b *bench) append(p *message, d broker.Done) {
	mine := p.Publication
	mine.Message.Data = slices.Clone(p.Message.Data)
	b.broker.Open(p.log, p.d).Append(&mine, d)
	for i := range mine.Message.Data {
		mine.Message.Data[i] = '!'
	}
	mine = broker.Publication{}
}

// publish appends and waits for the outcome.
func (b *bench) publish(t testing.TB, p *message) outcome {
	d := make(done, 1)
	b.append(p, d)
	select {
	case o := <-d:
		return o
	case <-time.After(10 * time.Second):
		t.Fatal("Append never called Done")
		return outcome{}
	}
}

func (b *bench) accept(t testing.TB, p *message) broker.Receipt {
	t.Helper()
	o := b.publish(t, p)
	if o.err != nil {
		t.Fatal("Append:", o.err)
	}
	return o.receipt
}

func (b *bench) follow(t testing.TB, name string, d *channel.Declaration) protocol.Position {
	t.Helper()
	at, sub := b.subscribe(t, name, name, d)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[name] = sub
	return at
}

// subscribe follows a log, and notes what it is given under a name.
func (b *bench) subscribe(t testing.TB, name, as string, d *channel.Declaration) (protocol.Position, broker.Subscription) {
	t.Helper()
	f := &follower{b, as, make(chan begun, 1)}
	sub := b.broker.Open(name, d).Follow(f)
	select {
	case a := <-f.begun:
		if a.err != nil {
			t.Fatal("Follow:", a.err)
		}
		return a.at, sub
	case <-time.After(10 * time.Second):
		t.Fatal("Follow never answered")
		return protocol.Position{}, nil
	}
}

// unfollow ends what follow began.
func (b *bench) unfollow(name string) {
	b.mu.Lock()
	sub := b.subs[name]
	delete(b.subs, name)
	b.mu.Unlock()
	sub.Close()
}

func (b *bench) read(t testing.TB, name string, d *channel.Declaration, r broker.Range) broker.Page {
	t.Helper()
	p, err := b.broker.Open(name, d).Read(t.Context(), r)
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
