package session

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a-secret-of-at-least-thirty-two-bytes!"

// house is a session server over a real loop, node and broker. Only the links
// are the test's own, so that a socket can be full at any byte.
type house struct {
	t      testing.TB
	engine *reactor.Engine
	server *Server
	node   *node.Node
	loop   *reactor.Loop // the first
	opened atomic.Int64  // clients
}

type houseOptions struct {
	channels []*channel.Declaration
	policy   Policy
	broker   broker.Broker
	log      io.Writer
	quiet    time.Duration // after which rings are emptied
	loops    int           // over which clients are spread, one after the other. Default 1
}

func open(allow channel.Rule) channel.Allow {
	return channel.Allow{Subscribe: allow, Publish: allow}
}

func newHouse(t testing.TB, o houseOptions) *house {
	t.Helper()
	if o.channels == nil {
		o.channels = []*channel.Declaration{
			{Name: "kept", History: &channel.History{Messages: 10_000}, Allow: open(channel.Anyone), ShowFrom: true},
			{Name: "short", History: &channel.History{Messages: 10_000}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 8, Bytes: 1 << 20}},
			{Name: "trim", History: &channel.History{Messages: 10}, Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 4, Bytes: 1 << 20}},
			{Name: "live", Allow: open(channel.Anyone), Buffer: channel.Buffer{Messages: 8, Bytes: 1 << 20},
				Events: map[string]*channel.Event{"e": {Name: "e"}, "typing": {Name: "typing", Ephemeral: true}}},
			{Name: "board", State: &channel.State{}, Allow: open(channel.Anyone)},
			{Name: "secret", Allow: open(channel.SignedIn)},
			{Name: "closed"},
			{Name: "room:{room}", Allow: open(channel.Anyone)},
		}
	}
	table, err := channel.NewTable(o.channels)
	if err != nil {
		t.Fatal(err)
	}
	if o.log == nil {
		o.log = io.Discard
	}
	log := slog.New(slog.NewTextHandler(o.log, nil))
	engine, err := reactor.New(reactor.Options{Engine: "std", Loops: max(o.loops, 1), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Options{JWT: []auth.JWT{{Secret: []byte(secret), Algorithm: "HS256"}}, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if o.broker == nil {
		o.broker = memory.New(memory.Options{})
	}
	n := node.New(node.Options{Broker: o.broker, Table: table, Quiet: o.quiet, Logger: log})
	if o.policy.Limits == (Limits{}) {
		o.policy.Limits = Limits{MessagesPerSecond: 1_000_000, MessagesBurst: 1_000_000}
	}
	s := New(Options{Engine: engine, Node: n, Verifier: verifier, Policy: o.policy, Name: "test", Refusals: refusal.NewRecorder(log), Logger: log})
	ctx := context.Background()
	for _, start := range []func(context.Context) error{engine.Start, verifier.Start, n.Start} {
		if err := start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, stop := range []func(context.Context) error{s.Stop, n.Stop, verifier.Stop, engine.Stop} {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return &house{t: t, engine: engine, server: s, node: n, loop: engine.Loops()[0]}
}

// do runs fn on the first loop.
func (h *house) do(fn func()) { h.t.Helper(); h.on(h.loop, fn) }

// pick returns the loop for the next client.
func (h *house) pick() *reactor.Loop {
	loops := h.engine.Loops()
	return loops[int(h.opened.Add(1)-1)%len(loops)]
}

func (h *house) on(loop *reactor.Loop, fn func()) {
	h.t.Helper()
	done, returned := make(chan struct{}), false
	if !loop.Post(reactor.TaskFunc(func(*reactor.Loop) { defer close(done); fn(); returned = true })) {
		h.t.Fatal("the loop has stopped")
	}
	if <-done; !returned {
		h.t.Error("it panicked; the loop has logged where") // and gone on, as it should
	}
}

// settle waits until the loop has nothing left to do: jobs run between turns,
// and a sweep started by the last of them is done some turns later.
func (h *house) settle() {
	h.t.Helper()
	for range 50 {
		for _, loop := range h.engine.Loops() {
			h.on(loop, func() {})
		}
	}
}

// publish goes through the node, as the server itself does.
func (h *house) publish(name, typ, key, data string) broker.Receipt {
	h.t.Helper()
	o := make(outcome, 1)
	h.node.Publish(&node.Caller{Server: true}, &protocol.Message{Type: typ, Channel: name, Key: key, Data: []byte(data)}, o)
	got := <-o
	if got.err != nil {
		h.t.Fatal(got.err)
	}
	return got.r
}

type result struct {
	r   broker.Receipt
	err error
}

type outcome chan result

func (o outcome) Appended(r broker.Receipt, err error) { o <- result{r, err} }

// Await implements node.Publisher.
func (outcome) Await(work func(ctx context.Context) error, next func(err error)) {
	next(work(context.Background()))
}

// Spend implements node.Publisher.
func (outcome) Spend(int) {}

// client is a session with its link.
type client struct {
	h    *house
	x    *Session
	link *fakeLink
}

// fakeLink is a socket that takes room more bytes; -1: any number.
type fakeLink struct {
	loop    *reactor.Loop
	session *Session

	mu      sync.Mutex
	room    int
	stream  []byte // what the peer has been sent
	backlog []byte
	paused  bool
	block   bool // the peer does not read, though nothing is queued here
	single  bool // after each message the peer has to read before it takes another
	code    protocol.CloseCode
	more    chan struct{} // closed and replaced when something happens
	panics  bool
}

func (l *fakeLink) changed() {
	close(l.more)
	l.more = make(chan struct{})
}

func (l *fakeLink) Loop() *reactor.Loop { return l.loop }
func (l *fakeLink) Form() channel.Form  { return channel.FormText }

func (l *fakeLink) Offer(p []byte) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panics {
		panic("planted in Offer")
	}
	if len(l.backlog) > 0 {
		return 0
	}
	n := len(p)
	if l.room >= 0 {
		n = min(n, l.room)
		l.room -= n
	}
	l.stream = append(l.stream, p[:n]...)
	l.changed()
	return n
}

func (l *fakeLink) Share(rest []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backlog = append(l.backlog, rest...)
}

func (l *fakeLink) Send(e event.Event) {
	m := event.Encode(e)
	defer m.Release()
	buf := protocol.AppendJSON(make([]byte, wsframe.Headroom), &m.Message)
	frame := wsframe.Finish(buf, wsframe.Text, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.block = l.block || l.single
	if len(l.backlog) > 0 {
		l.backlog = append(l.backlog, frame...)
		return
	}
	l.stream = append(l.stream, frame...)
	l.changed()
}

func (l *fakeLink) Blocked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.block || len(l.backlog) > 0
}

func (l *fakeLink) Close(code protocol.CloseCode, _ string) {
	l.mu.Lock()
	already := l.code != 0
	l.code = code
	l.changed()
	l.mu.Unlock()
	// As a transport does: the session hears of it at the end of the callback.
	if !already {
		l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
			if l.session != nil {
				l.session.Closed(nil)
			}
		}))
	}
}

func (l *fakeLink) PauseRead()  { l.mu.Lock(); l.paused = true; l.mu.Unlock() }
func (l *fakeLink) ResumeRead() { l.mu.Lock(); l.paused = false; l.mu.Unlock() }

// connect opens a session as user; "" is nobody.
func (h *house) connect(user string) *client {
	o := Open{Transport: "test", RemoteAddr: netip.MustParseAddrPort("127.0.0.1:1")}
	if user != "" {
		o.Identity = &auth.Identity{User: user}
	}
	return h.open(o)
}

func (h *house) open(o Open) *client {
	c := &client{h: h, link: &fakeLink{loop: h.pick(), room: -1, more: make(chan struct{})}}
	c.do(func() {
		c.x = h.server.Open(c.link, o)
		c.link.session = c.x
	})
	h.t.Cleanup(func() { c.leave() })
	return c
}

// do runs fn on the client's loop.
func (c *client) do(fn func()) { c.h.t.Helper(); c.h.on(c.link.loop, fn) }

func (c *client) leave() { c.do(func() { c.x.Closed(nil) }) }

// send gives the session one message, in memory that is overwritten afterwards.
func (c *client) send(text string) {
	c.h.t.Helper()
	frame := []byte(text)
	c.do(func() {
		var m protocol.Message
		if err := protocol.DecodeJSON(frame, &m); err != nil {
			c.x.BadMessage(&m, err)
		} else {
			c.x.Message(&m)
		}
		for i := range frame {
			frame[i] = '#'
		}
	})
}

func (c *client) sendf(format string, args ...any) {
	c.h.t.Helper()
	c.send(fmt.Sprintf(format, args...))
}

// messages returns all that the peer was sent, and takes it.
func (c *client) messages() []protocol.Message { return c.take(-1) }

// next waits for one message, and leaves what comes behind it.
func (c *client) next() protocol.Message {
	c.h.t.Helper()
	for range 1000 {
		if got := c.take(1); len(got) == 1 {
			return got[0]
		}
		c.h.settle()
	}
	c.h.t.Fatal("no message came")
	panic("unreachable")
}

// patient is next for what may take seconds.
func (c *client) patient() protocol.Message {
	c.h.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		c.link.mu.Lock()
		more := c.link.more
		c.link.mu.Unlock()
		if got := c.take(1); len(got) == 1 {
			return got[0]
		}
		select {
		case <-more:
		case <-deadline:
			c.h.t.Fatal("no message came")
		}
	}
}

func (c *client) take(most int) []protocol.Message {
	c.h.t.Helper()
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	var list []protocol.Message
	for len(c.link.stream) > 0 && len(list) != most {
		h, n, err := wsframe.ParseHeader(c.link.stream)
		if err != nil {
			c.h.t.Fatal(err)
		}
		if n == 0 || int64(len(c.link.stream)-n) < h.Length {
			break // cut by a full socket
		}
		var m protocol.Message
		if err := protocol.DecodeJSON(c.link.stream[n:n+int(h.Length)], &m); err != nil {
			c.h.t.Fatal(err)
		}
		list = append(list, *m.Clone())
		c.link.stream = c.link.stream[n+int(h.Length):]
	}
	return list
}

// await returns the next n messages.
func (c *client) await(n int) []protocol.Message {
	c.h.t.Helper()
	var got []protocol.Message
	deadline := time.After(10 * time.Second)
	for {
		c.link.mu.Lock()
		more := c.link.more
		c.link.mu.Unlock()
		if got = append(got, c.messages()...); len(got) >= n {
			if len(got) > n {
				c.h.t.Fatalf("want %d messages, got %s", n, show(got))
			}
			return got
		}
		select {
		case <-more:
		case <-deadline:
			c.h.t.Fatalf("want %d messages, got %s", n, show(got))
		}
	}
}

func (c *client) one() protocol.Message { c.h.t.Helper(); return c.await(1)[0] }

// fill says how many more bytes the socket takes.
func (c *client) fill(room int) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.room = room
}

// drain lets the peer read: what was queued goes, and room more bytes may.
func (c *client) drain(room int) {
	c.do(func() {
		c.link.mu.Lock()
		c.link.stream = append(c.link.stream, c.link.backlog...)
		c.link.backlog = nil
		c.link.room = room
		c.link.changed()
		c.link.mu.Unlock()
		c.x.Drained()
	})
}

// closed waits for the link to be closed and returns the code.
func (c *client) closed() protocol.CloseCode {
	c.h.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		c.link.mu.Lock()
		code, more := c.link.code, c.link.more
		c.link.mu.Unlock()
		if code != 0 {
			return code
		}
		select {
		case <-more:
		case <-deadline:
			c.h.t.Fatal("the link was not closed")
		}
	}
}

func show(list []protocol.Message) string {
	out := ""
	for i := range list {
		line := string(protocol.AppendJSON(nil, &list[i]))
		out += "\n  " + line[:min(len(line), 300)]
	}
	return out
}

// welcomed connects and takes the welcome away.
func (h *house) welcomed(user string) *client {
	h.t.Helper()
	c := h.connect(user)
	if m := c.one(); m.Type != protocol.TypeWelcome {
		h.t.Fatalf("no welcome but %s", show([]protocol.Message{m}))
	}
	return c
}

// subscribed connects, subscribes and takes the answers away.
func (h *house) subscribed(user, name string) *client {
	h.t.Helper()
	c := h.welcomed(user)
	c.sendf(`{"type":"subscribe","channel":%q,"id":1}`, name)
	if m := c.next(); m.Type != protocol.TypeSubscribed {
		h.t.Fatalf("not subscribed: %s", show([]protocol.Message{m}))
	}
	if t, err := h.node.Resolve(name); err == nil && t.Declaration.State != nil {
		if m := c.next(); m.Type != protocol.TypeState {
			h.t.Fatalf("no state: %s", show([]protocol.Message{m}))
		}
	}
	return c
}

// code returns the code of an error message.
func code(t testing.TB, m protocol.Message) protocol.Code {
	t.Helper()
	if m.Type != protocol.TypeError {
		t.Fatalf("not an error: %s", show([]protocol.Message{m}))
	}
	var e struct{ Code, Message string }
	if err := json.Unmarshal(m.Data, &e); err != nil || e.Message == "" {
		t.Fatalf("error without a message: %s", m.Data)
	}
	return protocol.Code(e.Code)
}
