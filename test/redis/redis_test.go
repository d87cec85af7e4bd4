// Package redis runs whole servers that share a real Redis, and breaks it.
package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"ringdown"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const conf = `
documents: public
listen: 127.0.0.1:0
auth: {anonymous: true}
broker: {redis: {%s, timeout: 2s}}
limits: {connection: {messages_per_second: 100000, messages_burst: 100000}}
channels:
  - {name: 'kept:{x}', history: {messages: 1000000}, allow: {subscribe: anyone, publish: anyone}}
  - {name: 'board:{x}', state: {}, allow: {subscribe: anyone, publish: anyone}}
  - {name: 'live:{x}', presence: true, allow: {subscribe: anyone, publish: anyone, presence: anyone}}
`

// serve starts a server on what redis says of the broker.
func serve(t *testing.T, redis string) *ringdown.Server {
	t.Helper()
	return serveAs(t, "anonymous: true", redis)
}

// serveAs starts a server with another auth.
func serveAs(t *testing.T, auth, redis string) *ringdown.Server {
	t.Helper()
	text := strings.Replace(fmt.Sprintf(conf, redis), "anonymous: true", auth, 1)
	s, err := ringdown.New(ringdown.Options{Config: []byte(text), DrainWindow: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// peer is a client.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, s *ringdown.Server) *peer {
	t.Helper()
	return dialWith(t, s, "")
}

func dialWith(t *testing.T, s *ringdown.Server, query string) *peer {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	p := &peer{t, conn}
	p.want(protocol.TypeWelcome)
	return p
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next message, which comes within a time or fails the test.
func (p *peer) read() protocol.Message {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	_, frame, err := p.conn.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var m protocol.Message
	if err := protocol.DecodeJSON(frame, &m); err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *peer) want(typ string) protocol.Message {
	p.t.Helper()
	m := p.read()
	if m.Type != typ {
		p.t.Fatalf("want %s, got %s", typ, protocol.AppendJSON(nil, &m))
	}
	return m
}

// until passes over everything up to a message of that type.
func (p *peer) until(typ string) protocol.Message {
	p.t.Helper()
	for {
		if m := p.read(); m.Type == typ {
			return m
		}
	}
}

// subscribe subscribes and returns the answer.
func (p *peer) subscribe(name string) protocol.Message {
	p.t.Helper()
	p.send(`{"type":"subscribe","channel":%q,"id":1}`, name)
	return p.want(protocol.TypeSubscribed)
}

// publish publishes until it is acknowledged, with one dedupe key.
func (p *peer) publish(name, data string) protocol.Position {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		p.send(`{"type":"e","channel":%q,"id":2,"dedupe":"key-%s","data":%q}`, name, data, data)
		m := p.read()
		switch m.Type {
		case protocol.TypeAck:
			return protocol.Position{Epoch: m.Epoch, Offset: m.Offset}
		case protocol.TypeError:
			if !strings.Contains(string(m.Data), `"retryable":true`) || time.Now().After(deadline) {
				p.t.Fatalf("published: %s", m.Data)
			}
			time.Sleep(100 * time.Millisecond)
		default:
			p.t.Fatalf("instead of an answer came %s", protocol.AppendJSON(nil, &m))
		}
	}
}

// TestTwoServersAreOne: clients of two servers share channels, states, positions
// and presence.
func TestTwoServersAreOne(t *testing.T) {
	r := redistest.Start(t)
	one, two := serve(t, "addresses: "+r.Address), serve(t, "addresses: "+r.Address)
	a, b, w := dial(t, one), dial(t, two), dial(t, one)
	begin := a.subscribe("kept:1")
	if other := b.subscribe("kept:1"); other.Epoch != begin.Epoch || other.Offset != begin.Offset {
		t.Fatalf("one begins at %s %d, the other at %s %d", begin.Epoch, begin.Offset, other.Epoch, other.Offset)
	}
	for i := range 20 {
		at := w.publish("kept:1", fmt.Sprint(i))
		for _, p := range []*peer{a, b} {
			if m := p.want("e"); m.Offset != at.Offset || m.Prev != at.Offset-1 || string(m.Data) != fmt.Sprintf("%q", fmt.Sprint(i)) {
				t.Fatalf("%d: got %s", i, protocol.AppendJSON(nil, &m))
			}
		}
	}
	// A position of one server is good on the other.
	c := dial(t, two)
	c.send(`{"type":"subscribe","channel":"kept:1","id":1,"since":{"epoch":%q,"offset":15}}`, begin.Epoch)
	if m := c.want(protocol.TypeSubscribed); string(m.Data) != `{"recovered":true,"head":20}` {
		t.Fatalf("since: %s", m.Data)
	}
	for offset := uint64(16); offset <= 20; offset++ {
		if m := c.want("e"); m.Offset != offset {
			t.Fatalf("want %d, got %d", offset, m.Offset)
		}
	}
	w.send(`{"type":"e","channel":"board:1","key":"k","id":2,"data":1}`)
	w.want(protocol.TypeAck)
	c.subscribe("board:1")
	if m := c.want(protocol.TypeState); !strings.Contains(string(m.Data), `"key":"k"`) {
		t.Fatalf("the state is %s", m.Data)
	}
	w.subscribe("live:1")
	c.subscribe("live:1")
	w.send(`{"type":"presence","channel":"live:1","id":3,"data":{"action":"enter"}}`)
	if m := c.until(protocol.TypePresence); !strings.Contains(string(m.Data), `"enter"`) {
		t.Fatalf("the others were told %s", m.Data)
	}
	c.send(`{"type":"presence","channel":"live:1","id":4,"data":{"action":"get"}}`)
	if m := c.until(protocol.TypePresence); !strings.Contains(string(m.Data), `"total":1`) {
		t.Fatalf("the members are %s", m.Data)
	}
}

// TestRestartEmpty (E02): every client is told, on every server, and whoever
// comes back with the old epoch is too.
func TestRestartEmpty(t *testing.T) {
	r := redistest.Start(t)
	one, two := serve(t, "addresses: "+r.Address), serve(t, "addresses: "+r.Address)
	a, b, w := dial(t, one), dial(t, two), dial(t, two)
	old := a.subscribe("kept:1").Epoch
	b.subscribe("kept:1")
	for i := range 3 {
		w.publish("kept:1", fmt.Sprint(i))
		a.want("e")
		b.want("e")
	}
	r.Kill()
	r.Run()
	at := w.publish("kept:1", "new")
	if at.Epoch == old {
		t.Fatal("the epoch is the same")
	}
	for _, p := range []*peer{a, b} {
		g := p.want(protocol.TypeGap)
		var d struct{ Reason string }
		if err := json.Unmarshal(g.Data, &d); err != nil || d.Reason != "epoch" || g.Epoch != at.Epoch || g.Offset != 0 {
			t.Fatalf("the gap says %s, epoch %q at %d", g.Data, g.Epoch, g.Offset)
		}
		if m := p.want("e"); m.Offset != at.Offset || string(m.Data) != `"new"` {
			t.Fatalf("then came %s", protocol.AppendJSON(nil, &m))
		}
	}
	c := dial(t, one)
	c.send(`{"type":"subscribe","channel":"kept:1","id":1,"since":{"epoch":%q,"offset":2}}`, old)
	if m := c.want(protocol.TypeSubscribed); string(m.Data) != `{"recovered":false,"reason":"epoch"}` {
		t.Fatalf("since: %s", m.Data)
	}
}

// TestReady: a server without its Redis says so, and starts none without it.
func TestReady(t *testing.T) {
	r := redistest.Start(t)
	s := serve(t, "addresses: "+r.Address)
	status := func() int {
		resp, err := http.Get("http://" + s.Addr().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	redistest.Await(t, 5*time.Second, "ready", func() bool { return status() == http.StatusOK })
	r.Kill()
	redistest.Await(t, 5*time.Second, "not ready", func() bool { return status() == http.StatusServiceUnavailable })
	http.DefaultClient.CloseIdleConnections()
	broken, err := ringdown.New(ringdown.Options{Config: fmt.Appendf(nil, conf, "addresses: "+r.Address), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Start(t.Context()); err == nil {
		t.Error("a server started without its Redis")
	}
}
