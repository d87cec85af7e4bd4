package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// patience is how long a test waits for what has to come.
const patience = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a delivery service over two loops, a node and a store. Only the sinks are
// the test's own.
type rig struct {
	*Service
	t     *testing.T
	store *store
	loops []*reactor.Loop
	peers []*peer
	log   *bytes.Buffer // to be read when all is over
	gaps  atomic.Uint64 // that peers were told
	fails bool          // something is to panic
}

// declarations are of rings that turn over soon.
func declarations() []*channel.Declaration {
	small := channel.Buffer{Messages: 8, Bytes: 1 << 20}
	return []*channel.Declaration{
		{Name: "live", Buffer: small},
		{Name: "log", History: &channel.History{Messages: 10_000}, Buffer: small},
		{Name: "trim", History: &channel.History{Messages: 10}, Buffer: channel.Buffer{Messages: 4, Bytes: 1 << 20}},
		{Name: "board", State: &channel.State{}, Buffer: small},
		{Name: "both", State: &channel.State{}, History: &channel.History{Messages: 10_000}, Buffer: small},
		{Name: "wide", History: &channel.History{Messages: 10_000}},
		{Name: "tall", State: &channel.State{}, Buffer: channel.Buffer{Messages: 10_000, Bytes: 16 << 20}},
		{Name: "spare{n}", History: &channel.History{Messages: 10}},
	}
}

// newRig makes a rig, and sees in the end that everything was let go of and that
// nobody heard more than the test has looked at.
func newRig(t *testing.T, s *store, reads func() int) *rig {
	t.Helper()
	table, err := channel.NewTable(declarations())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: s, log: new(bytes.Buffer)}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	engine, err := reactor.New(reactor.Options{Engine: "std", Loops: 2, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	r.loops = engine.Loops()
	n := node.New(node.Options{Broker: s, Table: table, Quiet: s.quiet, Logger: log})
	r.Service = New(Options{Node: n, Loops: r.loops, Reads: reads, Logger: log})
	if err := errors.Join(engine.Start(t.Context()), n.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			r.until("nobody is pulled for", r.rests)
		}
		for _, p := range r.peers {
			r.on(p.loop, func() {
				if got := p.heard(); len(got) > 0 && !p.sub.closed {
					t.Errorf("somebody also heard %q", got)
				}
				if p.sub.positions == nil && p.settled > 0 {
					t.Error("who keeps its own positions was told that it has everything")
				}
				p.sub.Close()
			})
		}
		if !t.Failed() {
			r.until("no channel is followed", func() bool { return r.node.Channels() == 0 && r.groups() == 0 })
		}
		ctx := context.Background()
		if err := errors.Join(engine.Stop(ctx), r.Stop(ctx), n.Stop(ctx)); err != nil {
			t.Error(err)
		}
		if n := r.Metrics().Gaps.Load(); n != r.gaps.Load() {
			t.Errorf("%d gaps are counted of %d", n, r.gaps.Load())
		}
		if strings.Contains(r.log.String(), "panicked") != r.fails {
			t.Errorf("the log says %s", r.log)
		}
	})
	return r
}

// rests reports whether no loop has anybody in line.
func (r *rig) rests() bool {
	running := false
	for _, l := range r.loops {
		r.on(l, func() {
			p := &r.Hub(l).pulls
			running = running || p.running || len(p.line) > 0
		})
	}
	return !running
}

// on runs fn on a loop.
func (r *rig) on(l *reactor.Loop, fn func()) {
	r.t.Helper()
	done := make(chan struct{})
	if !l.Post(reactor.TaskFunc(func(*reactor.Loop) { defer close(done); fn() })) {
		r.t.Fatal("the loop has stopped")
	}
	<-done
}

// groups counts them on all loops, with those of the watchers.
func (r *rig) groups() (n int) {
	for _, l := range r.loops {
		r.on(l, func() { n += r.Hub(l).Groups() })
	}
	return n
}

// idle waits until no loop has a job or a task left, as far as they have come by now.
func (r *rig) idle() {
	r.t.Helper()
	for range 30 {
		for _, l := range r.loops {
			r.on(l, func() {})
		}
	}
}

// until waits for something that takes its time.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("it does not come to pass that %s", what)
		}
	}
}

// publish appends messages: "1", "k=1" with a key, "k=null" to delete it, "~1"
// ephemeral. It returns the position of the last.
func (r *rig) publish(name string, texts ...string) (at protocol.Position) {
	r.t.Helper()
	d, _ := r.node.Table().Match(name)
	log := r.store.Open(name, d)
	for _, text := range texts {
		p := &broker.Publication{Message: protocol.Message{Type: "e", Channel: name}}
		text, p.Ephemeral = strings.CutPrefix(text, "~")
		key, data, keyed := strings.Cut(text, "=")
		if p.Message.Key = key; !keyed {
			p.Message.Key, data = "", key
		}
		p.Message.Data = []byte(data)
		log.Append(p, receipt(func(got broker.Receipt, err error) {
			if at = got.Position; err != nil {
				r.t.Error(err)
			}
		}))
	}
	return at
}

type receipt func(broker.Receipt, error)

func (d receipt) Appended(r broker.Receipt, err error) { d(r, err) }

// span is the texts from one number to another.
func span(from, to int) (texts []string) {
	for n := from; n <= to; n++ {
		texts = append(texts, fmt.Sprint(n))
	}
	return texts
}

// peer is a subscriber with its sink: a socket that takes room more bytes. What it
// is sent is a sequence of JSON values.
type peer struct {
	r        *rig
	sub      Subscriber
	loop     *reactor.Loop
	room     int    // -1: any number
	out      []byte // what has left
	queue    []byte // what waits for room
	at       map[string]uint64
	epoch    map[string]string // that a gap told of, of a channel
	broken   string            // the method that panics
	taker    bool              // what is queued leaves after all
	closes   bool              // it ends when it is written to
	asked    bool              // as subscribed says
	head     uint64            // the same
	offered  int               // times
	shared   int               // times
	settled  int
	finished int // openings that were told of their end
}

func (r *rig) peer(loop int) *peer {
	p := &peer{r: r, loop: r.loops[loop], room: -1, at: map[string]uint64{}, epoch: map[string]string{}}
	p.do(func() { p.sub.Init(r.Hub(p.loop), p) })
	r.peers = append(r.peers, p)
	return p
}

// following is a peer that has subscribed and heard of it.
func (r *rig) following(loop int, o *Opening) *peer {
	r.t.Helper()
	p := r.peer(loop)
	p.subscribe(o)
	r.until("it is subscribed", func() (yes bool) { p.do(func() { yes = len(p.sub.subs) > 0 && !p.sub.Busy() }); return yes })
	p.do(func() { p.heard() })
	return p
}

func (p *peer) do(fn func()) { p.r.t.Helper(); p.r.on(p.loop, fn) }

func (p *peer) subscribe(o *Opening) *Opening { p.do(func() { p.open(o) }); return o }

// open is subscribe for who is on the loop.
func (p *peer) open(o *Opening) {
	o.Target.Declaration, _ = p.r.node.Table().Match(o.Channel)
	p.sub.Subscribe(o, func(err error) {
		p.finished++
		if e := new(protocol.Error); errors.As(err, &e) {
			p.tell(o.Channel, fmt.Sprintf("refused(%s)", e.Code), nil)
		} else if err != nil {
			p.tell(o.Channel, fmt.Sprintf("refused(%v)", err), nil)
		}
	})
}

// read lets so many more bytes leave, and what was queued.
func (p *peer) read(room int) {
	p.do(func() {
		p.out, p.queue, p.room = append(p.out, p.queue...), nil, room
		p.sub.Drained()
	})
}

func (p *peer) Form() channel.Form { return channel.FormLine }

func (p *peer) Offer(frames []byte) int {
	p.crack("Offer")
	if p.offered++; p.closes {
		p.sub.Close()
		return 0
	}
	if len(p.queue) > 0 {
		return 0
	}
	n := len(frames)
	if p.room >= 0 {
		n = min(n, p.room)
		p.room -= n
	}
	p.out = append(p.out, frames[:n]...)
	return n
}

func (p *peer) Share(rest []byte) {
	if p.shared++; p.taker {
		p.out = append(p.out, rest...)
		return
	}
	p.queue = append(p.queue, rest...)
}

func (p *peer) Blocked() bool { return len(p.queue) > 0 }

func (p *peer) Settled() { p.settled++ }

func (p *peer) Failed(any) {
	if p.sub.closed {
		p.r.t.Error("it fails after its end")
	}
	p.sub.Close()
}

func (p *peer) AppendEvent(dst, line []byte) []byte {
	p.crack("AppendEvent")
	dst = append(append(dst, line...), `{"cursor":"`...)
	return append(p.sub.AppendPosition(dst), `"}`...)
}

func (p *peer) crack(method string) {
	if p.sub.closed {
		p.r.t.Errorf("%s is called of one that is closed", method)
	}
	if p.broken == method {
		panic("planted in " + method)
	}
}

// Send tells of an event in a word.
func (p *peer) Send(e event.Event) {
	if _, ok := e.(*event.Gap); ok {
		p.r.gaps.Add(1)
	}
	p.crack("Send")
	switch e := e.(type) {
	case *event.Subscribed:
		p.asked, p.head = e.Asked, e.Head
		word := "subscribed"
		if e.Kept {
			word += fmt.Sprintf("@%d", e.Position.Offset)
		}
		if e.Lost != "" {
			word += "(" + e.Lost + ")"
		}
		if e.Barred {
			word += "barred"
		}
		p.tell(e.Channel, word, &e.Position.Offset)
	case *event.Gap:
		lost := fmt.Sprintf("%d-%d", e.Lost.From, e.Lost.To)
		if e.Lost.Missed > 0 {
			lost = fmt.Sprint(e.Lost.Missed)
		}
		at := e.Lost.To
		if e.Lost.Epoch {
			if at = e.Lost.Origin; e.Epoch == "" || e.Epoch == p.epoch[e.Channel] {
				p.r.t.Errorf("the gap says the epoch %q, and it was told of %q", e.Epoch, p.epoch[e.Channel])
			}
			p.epoch[e.Channel] = e.Epoch
		}
		p.tell(e.Channel, fmt.Sprintf("%s(%s)", e.Reason, lost), &at)
	case *event.State:
		list := make([]string, len(e.Entries))
		for i, entry := range e.Entries {
			var m protocol.Message
			if err := entry.Message(&m); err != nil || entry.Deleted {
				p.r.t.Errorf("%+v: %v", entry, err)
			}
			list[i] = m.Key + "=" + string(m.Data)
		}
		p.tell(e.Channel, "state("+strings.Join(list, " ")+more(e.More), nil)
	case *event.Members:
		list := make([]string, len(e.Page.Members))
		for i, m := range e.Page.Members {
			list[i] = m.ID
		}
		p.tell(e.Channel, "members("+strings.Join(list, " ")+more(e.Page.More), nil)
	default:
		p.r.t.Errorf("it is sent %T", e)
	}
}

func more(yes bool) string {
	if yes {
		return ".."
	}
	return ")"
}

// tell sends a word of the test's own; at is where the reader is after it, nil if it
// says nothing of that.
func (p *peer) tell(of, word string, at *uint64) {
	text, _ := json.Marshal(heard{Told: word, Channel: of, At: at}) // it has nothing that could not be
	if p.sub.positions != nil {
		text = append(p.sub.AppendPosition(append(text, `{"cursor":"`...)), `"}`...)
	}
	if len(p.queue) > 0 {
		p.queue = append(p.queue, text...)
		return
	}
	p.out = append(p.out, text...)
}

// heard is one value of what a peer is sent.
type heard struct {
	Told    string          `json:"told,omitempty"`
	At      *uint64         `json:"at,omitempty"` // where the reader is after what was told
	Channel string          `json:"channel,omitempty"`
	Offset  uint64          `json:"offset,omitempty"`
	Prev    uint64          `json:"prev,omitempty"`
	Key     string          `json:"key,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Cursor  *string         `json:"cursor,omitempty"`
}

// heard takes what has left as words: what was told, or the data of a message, with
// its key if it has one. Where positions are told, that of the channel stands behind
// each after an @. It sees that the log is told in order, with nothing left out.
func (p *peer) heard() (words []string) {
	dec := json.NewDecoder(bytes.NewReader(p.out))
	taken := int64(0)
	for of := ""; ; {
		var m heard
		if err := dec.Decode(&m); err != nil {
			break // cut by a full socket
		}
		switch {
		case m.Cursor != nil:
			c, err := cursor.Parse(*m.Cursor)
			if err != nil {
				p.r.t.Errorf("%v: %q", err, *m.Cursor)
			}
			if at := c.Find(of); at != nil {
				word := fmt.Sprintf("@%d", at.Offset)
				if at.Within {
					word += fmt.Sprintf("/%d", at.Given)
				}
				words[len(words)-1] += word
			}
			taken = dec.InputOffset()
			continue
		case m.Told != "":
			if words = append(words, m.Told); m.At != nil {
				p.at[m.Channel] = *m.At
			}
		default:
			word := string(m.Data)
			if m.Key != "" {
				word = m.Key + "=" + word
			}
			words = append(words, word)
			if at := p.at[m.Channel]; m.Offset > 0 {
				if m.Prev == 0 {
					m.Prev = m.Offset - 1 // as the protocol leaves it out
				}
				if d, _ := p.r.node.Table().Match(m.Channel); m.Offset <= at || d.State == nil && m.Prev != at {
					p.r.t.Errorf("%s: message %d after %d comes after %d", m.Channel, m.Offset, m.Prev, at)
				}
				p.at[m.Channel] = m.Offset
			}
		}
		if of = m.Channel; p.sub.positions == nil {
			taken = dec.InputOffset()
		}
	}
	p.out = p.out[taken:]
	return words
}

// wants waits until the peer has heard this and nothing else.
func (p *peer) wants(format string, args ...any) {
	p.r.t.Helper()
	want := fmt.Sprintf(format, args...)
	var got []string
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		p.do(func() { got = append(got, p.heard()...) })
		switch text := strings.Join(got, " "); {
		case text == want:
			return
		case len(text) > len(want) || time.Now().After(deadline):
			p.r.t.Fatalf("heard %.2000s\nwant  %.2000s", text, want)
		}
	}
}

func words(texts []string) string { return strings.Join(texts, " ") }

// store is a broker in memory that can be late and fail, lag behind with what it
// tells its followers, and lose everything.
type store struct {
	broker.Alone
	now  atomic.Pointer[memory.Broker]
	late bool // its answers come from another goroutine
	// After how long the node empties a ring; 0 is its default.
	quiet time.Duration
	// Asked before each read, with the name of the log, and before members are read;
	// an error fails it. And asked again before the answer is given.
	reading, answering atomic.Pointer[func(name string) error]
	refused            atomic.Bool  // nobody can follow
	claims             atomic.Int32 // of clients who were further

	mu    sync.Mutex
	held  bool // what followers are owed waits
	lossy bool // or is lost
	owed  []func()
	taps  map[string]*tap
}

func newStore(late bool) *store {
	s := &store{late: late, taps: map[string]*tap{}}
	s.now.Store(memory.New(memory.Options{}))
	return s
}

func (s *store) Start(ctx context.Context, name string, feed broker.Feed) error {
	return s.now.Load().Start(ctx, name, feed)
}
func (s *store) Stop(ctx context.Context) error { return s.now.Load().Stop(ctx) }
func (s *store) Ready(context.Context) error    { return nil }
func (s *store) Immediate() bool                { return !s.late }

func consult(ask *atomic.Pointer[func(name string) error], name string) error {
	if fn := ask.Load(); fn != nil {
		return (*fn)(name)
	}
	return nil
}

// onRead sets what is asked before a read, and onAnswer what is asked after it.
func (s *store) onRead(ask func(name string) error)   { s.reading.Store(&ask) }
func (s *store) onAnswer(ask func(name string) error) { s.answering.Store(&ask) }

// answer is a read of something, as the test wants it.
func answer[P any](s *store, name string, page func() (P, error)) (p P, err error) {
	if err = consult(&s.reading, name); err != nil {
		return p, err
	}
	if p, err = page(); err == nil {
		err = consult(&s.answering, name)
	}
	return p, err
}

func (s *store) Members(ctx context.Context, name string, r broker.MemberRange) (broker.MemberPage, error) {
	return answer(s, name, func() (broker.MemberPage, error) { return s.Alone.Members(ctx, name, r) })
}

// shelf is a log of whatever the store has now.
type shelf struct {
	*store
	name string
	d    *channel.Declaration
}

func (s *store) Open(name string, d *channel.Declaration) broker.Log { return &shelf{s, name, d} }

func (l *shelf) log() broker.Log { return l.now.Load().Open(l.name, l.d) }

func (l *shelf) Claimed(protocol.Position)                   { l.claims.Add(1) }
func (l *shelf) Redeclare(*channel.Declaration)              {}
func (l *shelf) Append(p *broker.Publication, d broker.Done) { l.log().Append(p, d) }

func (l *shelf) Read(ctx context.Context, r broker.Range) (broker.Page, error) {
	return answer(l.store, l.name, func() (broker.Page, error) { return l.log().Read(ctx, r) })
}

func (l *shelf) State(ctx context.Context, r broker.StateRange) (broker.StatePage, error) {
	return answer(l.store, l.name, func() (broker.StatePage, error) { return l.log().State(ctx, r) })
}

func (l *shelf) Follow(f broker.Follower) broker.Subscription {
	t := &tap{Follower: f, shelf: l}
	l.mu.Lock()
	l.taps[l.name] = t
	l.mu.Unlock()
	t.Subscription = l.log().Follow(t)
	return t
}

// tap is where a follower hangs on a log.
type tap struct {
	broker.Follower
	broker.Subscription
	shelf *shelf
	begun bool
}

func (t *tap) put(fn func()) {
	s := t.shelf.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		s.owed = append(s.owed, fn)
	} else if !s.lossy {
		fn()
	}
}

var errPlanted = errors.New("planted")

// Begin is told again where the log begins anew.
func (t *tap) Begin(p protocol.Position, _ error) {
	if again := t.begun; again {
		t.put(func() { t.Restart(p) })
		return
	}
	t.begun = true
	t.put(func() {
		if t.shelf.refused.Load() {
			t.Follower.Begin(protocol.Position{}, errPlanted)
		} else {
			t.Follower.Begin(p, nil)
		}
	})
}

func (t *tap) Entry(epoch string, e *channel.Entry) { t.put(func() { t.Follower.Entry(epoch, e) }) }

// hold keeps from followers what they are owed, or gives it to them.
func (s *store) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = on
	for _, fn := range s.owed {
		fn()
	}
	s.owed = nil
}

// lose has followers told nothing more, or told again.
func (s *store) lose(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lossy = on
}

// renew loses all that was kept. What comes is of another epoch.
func (s *store) renew(t *testing.T) {
	t.Helper()
	fresh := memory.New(memory.Options{})
	if err := fresh.Start(t.Context(), "node", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.now.Swap(fresh).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	taps := make([]*tap, 0, len(s.taps))
	for _, tap := range s.taps {
		taps = append(taps, tap)
	}
	s.mu.Unlock()
	for _, tap := range taps {
		tap.Subscription.Close()
		tap.Subscription = tap.shelf.log().Follow(tap)
	}
}
