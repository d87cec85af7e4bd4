package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is the transport over a real node.
type house struct {
	t      *testing.T
	web    *httptest.Server
	node   *node.Node
	server *session.Server
	polls  *Handler
}

func newHouse(t *testing.T, o Options) *house {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	anyone := channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}
	table, err := channel.NewTable([]*channel.Declaration{
		{Name: "c", History: &channel.History{Messages: 10_000}, Allow: anyone, Buffer: channel.Buffer{Messages: 64, Bytes: 1 << 20}},
		{Name: "live", Allow: anyone}, {Name: "closed"},
		{Name: "room", Presence: true, Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone, Presence: channel.Anyone}},
		{Name: "board", State: &channel.State{}, Allow: anyone},
	})
	check(err)
	engine, err := reactor.New(reactor.Options{Logger: log})
	check(err)
	verifier, err := auth.New(auth.Options{Logger: log})
	check(err)
	h := &house{t: t, node: node.New(node.Options{Broker: memory.New(memory.Options{}), Table: table, Logger: log})}
	h.server = session.New(session.Options{Engine: engine, Node: h.node, Verifier: verifier, Policy: session.Policy{Anonymous: true, PresenceGrace: 100 * time.Millisecond}, Name: "test", Refusals: refusal.NewRecorder(log), Logger: log})
	for _, start := range []func(context.Context) error{verifier.Start, engine.Start, h.node.Start} {
		check(start(t.Context()))
	}
	h.polls = New(engine, h.server, o)
	h.web = httptest.NewServer(h.polls)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.web.Close()
		for _, stop := range []func(context.Context) error{engine.Stop, h.server.Stop, h.node.Stop, verifier.Stop} {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

type page struct {
	Messages []struct {
		Type, Channel, Key string
		Offset             int
		Data               json.RawMessage
	}
	Cursor string
}

// poll makes one request and wants its answer.
func (h *house) poll(query string) page {
	h.t.Helper()
	resp, err := h.web.Client().Get(h.web.URL + "/?" + query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var p page
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil || resp.StatusCode != 200 || p.Cursor == "" {
		h.t.Fatalf("%s: %d %s %v", query, resp.StatusCode, text, err)
	}
	return p
}

func (h *house) publish(name, data string) {
	h.t.Helper()
	h.put(protocol.Message{Type: "e", Channel: name, Data: []byte(data)})
}

func (h *house) put(m protocol.Message) {
	h.t.Helper()
	done := make(accepted, 1)
	h.node.Publish(&node.Caller{Server: true}, &m, done)
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

type accepted chan error

func (a accepted) Appended(_ broker.Receipt, err error) { a <- err }

// Await implements node.Publisher.
func (accepted) Await(work func(ctx context.Context) error, next func(err error)) {
	next(work(context.Background()))
}

// Spend implements node.Publisher.
func (accepted) Spend(int) {}

// waiting returns when n requests wait.
func (h *house) waiting(n int) {
	for h.server.Sessions() != n {
		time.Sleep(time.Millisecond)
	}
}

// TestOverlap is A10: requests overlap, answers are lost and asked for again, and
// every chain of cursors has every message once.
func TestOverlap(t *testing.T) {
	h := newHouse(t, Options{})
	start := h.poll("channel=c").Cursor
	const total, readers = 500, 4
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; n <= total; n++ {
			h.publish("c", fmt.Sprint(n))
		}
	})
	for reader := range readers {
		wg.Go(func() {
			at := start
			for next := 1; next <= total; {
				query := "channel=c&wait=5&cursor=" + url.QueryEscape(at)
				if next%3 == reader%3 {
					h.lose(query)
				}
				p := h.poll(query)
				for _, m := range p.Messages {
					if m.Type != "e" || m.Offset != next {
						t.Errorf("reader %d: %+v instead of %d", reader, m, next)
						return
					}
					next++
				}
				at = p.Cursor
			}
		})
	}
	wg.Wait()
}

// lose makes a request and goes before its answer has come.
func (h *house) lose(query string) {
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", h.web.URL+"/?"+query, nil)
	if err != nil {
		h.t.Error(err)
		return
	}
	if resp, err := h.web.Client().Do(req); err == nil {
		resp.Body.Close()
	}
}

// TestGone: a client that goes ends its session at once.
func TestGone(t *testing.T) {
	h := newHouse(t, Options{})
	at := h.poll("channel=c").Cursor
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", h.web.URL+"/?channel=c&wait=60&cursor="+at, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := h.web.Client().Do(req); err == nil {
			resp.Body.Close()
			t.Error("it was answered")
		}
	}()
	h.waiting(1)
	cancel()
	<-done
	h.waiting(0)
}

// TestBounds: an answer is of bounded size, and the rest comes with the next.
func TestBounds(t *testing.T) {
	h := newHouse(t, Options{})
	at := h.poll("channel=c").Cursor
	wide := `"` + strings.Repeat("x", 4000) + `"`
	const total = 500
	for range total {
		h.publish("c", wide)
	}
	answers := 0
	for next := 1; next <= total; answers++ {
		p := h.poll("channel=c&wait=0&cursor=" + at)
		size := 0
		for _, m := range p.Messages {
			if size += len(m.Data); m.Offset != next {
				t.Fatalf("%d instead of %d", m.Offset, next)
			}
			next++
		}
		if size > mostAnswered+(200<<10) {
			t.Errorf("%d bytes in one answer", size)
		}
		at = p.Cursor
	}
	if answers < 3 {
		t.Errorf("%d answers", answers)
	}
}

// TestLargeState: a state that is larger than an answer comes in several, each
// going on where the one before it ended, also when it is written to meanwhile;
// and then a request waits.
func TestLargeState(t *testing.T) {
	h := newHouse(t, Options{})
	const keys = 1500
	wide := strings.Repeat("x", 1000)
	for n := range keys {
		h.set(n, `"`+wide+`"`)
	}
	seen, at, answers := map[string]string{}, "", 0
	for more := true; more; answers++ {
		if answers > 10 {
			t.Fatalf("%d answers, and %d keys of %d", answers, len(seen), keys)
		}
		p := h.poll("channel=board&wait=25&cursor=" + at)
		at = p.Cursor
		for _, m := range p.Messages {
			switch m.Type {
			case "state":
				var d struct {
					Items []struct{ Key, Data string }
					More  bool
				}
				if err := json.Unmarshal(m.Data, &d); err != nil {
					t.Fatal(err)
				}
				for _, item := range d.Items {
					if _, twice := seen[item.Key]; twice {
						t.Errorf("%s comes twice", item.Key)
					}
					seen[item.Key] = item.Data
				}
				more = d.More
			case "e": // not before the state has ended
				if seen[m.Key] = string(m.Data); more {
					t.Error("a change before the state was whole")
				}
			case "subscribed":
				if answers > 0 {
					t.Errorf("%+v", m)
				}
			default:
				t.Errorf("%+v", m)
			}
		}
		if answers == 0 {
			h.set(3, `"new"`)         // given already
			h.set(keys-3, `"newest"`) // to come
		}
	}
	for len(seen) == keys && seen["k3"] != `"new"` { // behind the state, perhaps with it
		p := h.poll("channel=board&wait=25&cursor=" + at)
		at = p.Cursor
		for _, m := range p.Messages {
			seen[m.Key] = string(m.Data)
		}
	}
	if len(seen) != keys || seen[fmt.Sprint("k", keys-3)] != `"newest"` {
		t.Errorf("%d keys, %q", len(seen), seen[fmt.Sprint("k", keys-3)])
	}
	begun := time.Now()
	if p := h.poll("channel=board&wait=0.2&cursor=" + at); len(p.Messages) != 0 || time.Since(begun) < 200*time.Millisecond {
		t.Errorf("%d messages after %v", len(p.Messages), time.Since(begun))
	}
}

// set writes a key of the board.
func (h *house) set(n int, data string) {
	h.t.Helper()
	h.put(protocol.Message{Type: "e", Channel: "board", Key: fmt.Sprint("k", n), Data: []byte(data)})
}

// TestWaits: without anything to say a request waits as long as it says, on a
// channel without positions too, and what comes meanwhile ends it.
func TestWaits(t *testing.T) {
	h := newHouse(t, Options{})
	p := h.poll("channel=live")
	if len(p.Messages) != 1 || p.Messages[0].Type != "subscribed" || p.Cursor != cursor.None {
		t.Fatalf("%+v", p)
	}
	begun := time.Now()
	if p := h.poll("channel=live&channel=c&wait=0.3&cursor=" + h.poll("channel=live&channel=c").Cursor); len(p.Messages) != 0 || time.Since(begun) < 300*time.Millisecond {
		t.Errorf("%+v after %v", p, time.Since(begun))
	}
	got := make(chan page)
	go func() { got <- h.poll("channel=live&wait=60&cursor=" + cursor.None) }()
	h.waiting(1)
	for {
		h.publish("live", "1") // until it follows
		select {
		case p := <-got:
			if len(p.Messages) == 0 || p.Messages[0].Type != "e" {
				t.Errorf("%+v", p)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestRefusedChannel: a request that only has errors to tell does not come back
// at once, so that nobody asks in a circle.
func TestRefusedChannel(t *testing.T) {
	h := newHouse(t, Options{})
	p := h.poll("channel=closed&channel=c")
	if len(p.Messages) != 2 {
		t.Fatalf("%+v", p)
	}
	begun := time.Now()
	if p = h.poll("channel=closed&channel=c&wait=60&cursor=" + p.Cursor); len(p.Messages) != 1 || p.Messages[0].Type != "error" || time.Since(begun) < errorPause {
		t.Errorf("%+v after %v", p, time.Since(begun))
	}
}

// TestRefusedOnce: a refusal that the session has recorded is not recorded again by
// the request that brings it to the client.
func TestRefusedOnce(t *testing.T) {
	h := newHouse(t, Options{})
	h.server.SetHooks(session.Hooks{Connect: func(context.Context, *session.Client) error {
		return protocol.Errorf(protocol.CodeForbidden, "not today")
	}})
	resp, err := h.web.Client().Get(h.web.URL + "/?channel=c")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 403 || !strings.Contains(string(text), "not today") {
		t.Errorf("%d %s %v", resp.StatusCode, text, err)
	}
	n := uint64(0)
	for _, count := range h.server.Refusals().Counts() {
		n += count
	}
	if n != 1 {
		t.Errorf("%d refusals are counted of one", n)
	}
}
