package session

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

func mustTable(t *testing.T, names ...string) *channel.Table {
	t.Helper()
	var ds []*channel.Declaration
	for _, n := range names {
		ds = append(ds, &channel.Declaration{Name: n})
	}
	tb, err := channel.NewTable(ds)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func TestListing(t *testing.T) {
	h := newHouse(t, houseOptions{})
	ctx := context.Background()
	users := map[string]string{}
	for _, user := range []string{"ann", "bob", "cid", "dan", "eve"} {
		c := h.subscribed(user, "kept")
		users[c.x.ID()] = user
	}
	seen := map[string]bool{}
	for cursor, pages := "", 0; ; pages++ {
		page, next, err := h.server.Connections(ctx, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			if users[i.ID] != i.User || seen[i.ID] || len(i.Subscriptions) != 1 || i.Subscriptions[0] != "kept" || i.RemoteAddr != "127.0.0.1:1" || i.Transport != "test" {
				t.Errorf("listed %+v", i)
			}
			seen[i.ID] = true
		}
		if next == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
		cursor = next
	}
	if len(seen) != 5 {
		t.Errorf("%d listed", len(seen))
	}
	if _, _, err := h.server.Connections(ctx, "nonsense", 2); protocol.AsError(err).Code != protocol.CodeBadRequest {
		t.Errorf("a bad cursor: %v", err)
	}
}

func TestDisconnect(t *testing.T) {
	h := newHouse(t, houseOptions{})
	ctx := context.Background()
	a, b1, b2 := h.welcomed("ann"), h.welcomed("bob"), h.welcomed("bob")
	id := a.x.ID()
	if i, err := h.server.Connection(ctx, id); err != nil || i.User != "ann" || time.Since(i.Opened) > time.Minute {
		t.Fatalf("%+v, %v", i, err)
	}
	if err := h.server.Disconnect(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got := a.closed(); got != protocol.CloseByOperator {
		t.Errorf("closed with %d", got)
	}
	h.settle()
	for _, gone := range []string{id, "", "x", "AAAAAAAAAAAAAAAAAAAAAA", "_____________________w"} {
		if err := h.server.Disconnect(ctx, gone); protocol.AsError(err).Code != protocol.CodeNotFound {
			t.Errorf("%q: %v", gone, err)
		}
		if _, err := h.server.Connection(ctx, gone); protocol.AsError(err).Code != protocol.CodeNotFound {
			t.Errorf("%q: %v", gone, err)
		}
	}
	if n, err := h.server.DisconnectUser(ctx, "bob"); n != 2 || err != nil {
		t.Errorf("%d of bob's, %v", n, err)
	}
	if b1.closed() != protocol.CloseByOperator || b2.closed() != protocol.CloseByOperator {
		t.Error("bob is still there")
	}
}

// TestDrain: everybody is told, served on, and closed at a time of its own
// inside the window; who is waiting for an answer gets it first.
func TestDrain(t *testing.T) {
	slow := &heldBroker{Broker: memory.New(memory.Options{}), release: make(chan struct{})}
	h := newHouse(t, houseOptions{broker: slow})
	c, waits := h.welcomed("ann"), h.welcomed("bob")
	waits.send(`{"type":"e","channel":"kept","id":1,"data":1}`)
	if err := admit(h.server, t.Context()); err != nil {
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- h.server.Drain(context.Background(), 8*time.Second) }()
	for _, c := range []*client{c, waits} {
		// 100 ms, and one for each of the two.
		if m := c.one(); m.Type != "reconnect" || string(m.Data) != `{"after":0,"within":102}` {
			t.Error(show([]protocol.Message{m}))
		}
	}
	err := protocol.AsError(admit(h.server, t.Context()))
	if err == nil || err.Code != protocol.CodeUnavailable || !err.Retryable || err.RetryAfter <= 0 {
		t.Errorf("while draining: %v", err)
	}
	if got := c.closed(); got != protocol.CloseDraining {
		t.Errorf("closed with %d", got)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained while somebody waited for an answer: %v", err)
	default:
	}
	close(slow.release)
	if m := waits.one(); m.Type != "ack" {
		t.Error(show([]protocol.Message{m}))
	}
	if got := waits.closed(); got != protocol.CloseDraining {
		t.Errorf("closed with %d", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	// Who comes in beside it does not stay.
	if got := h.open(Open{}).closed(); got != protocol.CloseDraining {
		t.Errorf("a late one was closed with %d", got)
	}
}

// heldBroker answers publications when it is released.
type heldBroker struct {
	*memory.Broker
	release chan struct{}
}

func (b *heldBroker) Immediate() bool { return false }

func (b *heldBroker) Open(name string, d *channel.Declaration) broker.Log {
	l := &brokertest.Log{Log: b.Broker.Open(name, d)}
	l.OnAppend = func(p *broker.Publication, d broker.Done) {
		mine := *p
		mine.Message = *p.Message.Clone()
		go func() {
			<-b.release
			l.Log.Append(&mine, d)
		}()
	}
	return l
}

// TestHandshakeRate: so many a second are let in, at even distances. Four
// seconds' worth wait their turn, and those behind them are told to come back, at
// different times.
func TestHandshakeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{engine: new(reactor.Engine)}
		s.SetPolicy(Policy{Limits: Limits{HandshakesPerSecond: 10}})
		begun := time.Now()
		var mu sync.Mutex
		var turns []time.Duration
		refused := map[time.Duration]bool{}
		for range 100 {
			go func() {
				err := admit(s, t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused[protocol.AsError(err).RetryAfter] = true
				} else {
					turns = append(turns, time.Since(begun))
				}
			}()
		}
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(turns) != 41 || len(refused) < 30 {
			t.Errorf("%d of 100 were let in, and there are %d different times to come back", len(turns), len(refused))
		}
		for n, at := range turns {
			if want := time.Duration(n) * 100 * time.Millisecond; at != want {
				t.Errorf("the one of number %d came in after %v, not %v", n, at, want)
			}
		}
	})
}

// TestTurnLost: who does not wait for its turn, and whose turn comes when the
// server is going down, is not let in.
func TestTurnLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{engine: new(reactor.Engine)}
		s.SetPolicy(Policy{Limits: Limits{HandshakesPerSecond: 1}})
		if err := admit(s, t.Context()); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := admit(s, short); err == nil {
			t.Error("let in, and nobody there")
		}
		time.AfterFunc(time.Second/2, func() { s.draining.Store(true) })
		if err := admit(s, t.Context()); err == nil {
			t.Error("let in while the server went down")
		}
	})
}

// TestTurnGivenBack: who leaves before its turn keeps nobody waiting, however many
// they are.
func TestTurnGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{engine: new(reactor.Engine)}
		s.SetPolicy(Policy{Limits: Limits{HandshakesPerSecond: 10}})
		if err := admit(s, t.Context()); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for range 1000 {
			if err := admit(s, gone); err == nil {
				t.Fatal("let in, and nobody there")
			}
		}
		begun := time.Now()
		if err := admit(s, t.Context()); err != nil || time.Since(begun) > 100*time.Millisecond {
			t.Errorf("the next is let in after %v, %v", time.Since(begun), err)
		}
	})
}

// TestLimitsIgnoreTheWallClock sets the clock back an hour, and ahead, as an
// operator or a time server does: nobody waits for it to come round again, and
// nobody has more for it.
func TestLimitsIgnoreTheWallClock(t *testing.T) {
	now := time.Now()
	for _, moved := range []time.Duration{-time.Hour, time.Hour, -30 * 365 * 24 * time.Hour} {
		later := setWall(t, now, moved)
		var gate turnstile
		if wait, ok := gate.take(now, 1, 4*time.Second); !ok || wait != 0 {
			t.Fatalf("the first: %v, %v", wait, ok)
		}
		if wait, ok := gate.take(later, 1, 4*time.Second); !ok || wait != time.Second {
			t.Errorf("a newcomer after the clock moved by %v: %v, %v", moved, wait, ok)
		}
		var m meter
		if _, ok := m.take(now, 1, 1); !ok {
			t.Fatal("the first message is refused")
		}
		if wait, ok := m.take(later, 1, 1); ok || wait != time.Second {
			t.Errorf("a message after the clock moved by %v: %v, %v", moved, wait, ok)
		}
		if _, ok := m.take(later.Add(time.Second), 1, 1); !ok {
			t.Errorf("a second later, after the clock moved by %v, it is refused", moved)
		}
		pace, _ := channel.NewPace(1)
		pace.Take(now)
		if wait, ok := pace.Take(later); ok || wait != time.Second {
			t.Errorf("a delivery after the clock moved by %v: %v, %v", moved, wait, ok)
		}
	}
}

// setWall returns the same moment as seen by a wall clock that was moved: the
// monotonic reading stays. The package time has no way to say that; a Time keeps
// its seconds in the first word, from bit 30 on.
func setWall(t *testing.T, at time.Time, by time.Duration) time.Time {
	t.Helper()
	moved := at
	word := (*uint64)(unsafe.Pointer(&moved))
	*word += uint64(int64(by/time.Second)) << 30
	if moved.Sub(at) != 0 || moved.UnixNano()-at.UnixNano() != int64(by) {
		t.Skip("a time.Time is made in another way than this test knows")
	}
	return moved
}

// TestPanicInAWalk: one connection that fails does not keep the answer about all
// others from who asked.
func TestPanicInAWalk(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	visited := 0
	done := make(chan struct{})
	h.do(func() {
		h.loop.AddJob(&walk{hub: c.x.hub, done: func() { close(done) }, visit: func(x *Session) {
			if visited++; x == c.x {
				panic("planted in a visit")
			}
		}})
	})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the walk did not end")
	}
	if got := c.closed(); got != protocol.CloseInternal {
		t.Errorf("closed with %d", got)
	}
}

func TestAdmit(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{Connections: 2}}})
	for n, want := range []bool{true, true, false} {
		if got := admit(h.server, t.Context()) == nil; got != want {
			t.Errorf("with %d connections: admitted %v", n, got)
		}
		h.welcomed("ann")
	}
	h.server.SetPolicy(Policy{})
	front := &front{streams: 4}
	h.server.opts.Front = front
	if err := admit(h.server, t.Context()); err != nil {
		t.Errorf("3 of 4: %v", err)
	}
	// A handshake that is under way takes its place, until it is over.
	arrived, err := h.server.Admit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := admit(h.server, t.Context()); err == nil {
		t.Error("two handshakes were let in for one place")
	}
	arrived()
	if err := admit(h.server, t.Context()); err != nil {
		t.Errorf("the place of a handshake that is over: %v", err)
	}
	// Those that need no turn are counted too, while they are asked about.
	for range 2 {
		if err := h.server.Accepting(); err != nil {
			t.Errorf("3 of 4: %v", err)
		}
	}
	front.streams = 3
	if h.server.Accepting() == nil {
		t.Error("a fourth for three places")
	}
	if err := protocol.AsError(admit(h.server, t.Context())); err == nil || err.Limit != "limits.node.sockets" {
		t.Errorf("admitted with no room left: %v", err)
	}
	front.streams, front.refuse = 10, protocol.Errorf(protocol.CodeRateLimited, "too often")
	if err := admit(h.server, t.Context()); err != front.refuse {
		t.Errorf("the address had no handshakes left: %v", err)
	}
}

// front is a Front.
type front struct {
	streams int
	refuse  error
}

func (f *front) Streams() int                    { return f.streams }
func (f *front) Handshake(context.Context) error { return f.refuse }

// admit is a handshake that is over at once.
func admit(s *Server, ctx context.Context) error {
	arrived, err := s.Admit(ctx)
	if err == nil {
		arrived()
	}
	return err
}

// TestTurn is over when every loop has answered, and not before.
func TestTurn(t *testing.T) {
	h := newHouse(t, houseOptions{loops: 2})
	if err := h.server.Turn(t.Context()); err != nil {
		t.Error(err)
	}
	held := make(chan struct{})
	h.engine.Loops()[1].Post(reactor.TaskFunc(func(*reactor.Loop) { <-held }))
	defer close(held)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.server.Turn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("it did not wait for the second loop: %v", err)
	}
}
