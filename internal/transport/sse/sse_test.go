package sse

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is the transport over a real node, served over HTTP/1.1 or HTTP/2.
type house struct {
	t       *testing.T
	web     *httptest.Server
	node    *node.Node
	server  *session.Server
	engine  *reactor.Engine
	handler *Handler
}

func newHouse(t *testing.T, http2 bool, o Options) *house {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	anyone := channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}
	table, err := channel.NewTable([]*channel.Declaration{{Name: "c", History: &channel.History{Messages: 10_000}, Allow: anyone, Buffer: channel.Buffer{Messages: 64, Bytes: 1 << 20}}})
	check(err)
	h := &house{t: t}
	h.engine, err = reactor.New(reactor.Options{Logger: log})
	check(err)
	verifier, err := auth.New(auth.Options{JWT: []auth.JWT{{Secret: []byte("a-secret-of-at-least-thirty-two-bytes!")}}, Logger: log})
	check(err)
	h.node = node.New(node.Options{Broker: memory.New(memory.Options{}), Table: table, Logger: log})
	h.server = session.New(session.Options{Engine: h.engine, Node: h.node, Verifier: verifier, Policy: session.Policy{Anonymous: true}, Name: "test", Logger: log})
	for _, start := range []func(context.Context) error{verifier.Start, h.engine.Start, h.node.Start} {
		check(start(t.Context()))
	}
	o.Logger = log
	if o.Origins, err = auth.ParseOrigins([]string{"https://shop.example"}); err != nil {
		t.Fatal(err)
	}
	h.handler = New(h.engine, h.server, o)
	h.web = httptest.NewUnstartedServer(h.handler)
	if http2 {
		h.web.EnableHTTP2 = true
		h.web.StartTLS()
	} else {
		h.web.Start()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.web.CloseClientConnections()
		for _, stop := range []func(context.Context) error{h.engine.Stop, h.server.Stop, h.node.Stop, verifier.Stop} {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		}
		h.web.Close()
	})
	return h
}

func (h *house) get(method, query string, header ...string) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.web.URL+"/?"+query, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := h.web.Client().Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// publish publishes data on c and waits until it is accepted.
func (h *house) publish(data string) {
	h.t.Helper()
	done := make(accepted, 1)
	h.node.Publish(&node.Caller{Server: true}, &protocol.Message{Type: "e", Channel: "c", Data: []byte(data)}, done)
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

// block reads up to an empty line.
func block(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v, after %q", err, b.String())
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func protocols(t *testing.T, test func(t *testing.T, http2 bool)) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) { test(t, http2) })
	}
}

// told reads the next event, without the heartbeats before it: on a busy machine
// one may come before anything else does.
func told(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	return strings.TrimLeft(block(t, in), ":\n")
}

// TestStream (A09) reads the bytes of a stream, line by line, and the heartbeat.
func TestStream(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		h := newHouse(t, http2, Options{Heartbeat: 200 * time.Millisecond})
		resp := h.get("GET", "channel=c", "Origin", "https://shop.example")
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
			"Access-Control-Allow-Origin": "https://shop.example", "Vary": "Origin", "Access-Control-Allow-Credentials": ""} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if resp.StatusCode != 200 || (resp.ProtoMajor == 2) != http2 {
			t.Fatalf("%d over %s", resp.StatusCode, resp.Proto)
		}
		in := bufio.NewReader(resp.Body)
		if b := told(t, in); !strings.HasPrefix(b, "retry: ") || !strings.Contains(b, "\ndata: {\"type\":\"welcome\"") || !strings.Contains(b, `"ping":200,`) {
			t.Errorf("%q", b)
		}
		if b := told(t, in); !strings.HasPrefix(b, "id: ") || strings.Count(b, "\n") != 2 || !strings.Contains(b, "\ndata: {\"type\":\"subscribed\"") {
			t.Errorf("%q", b)
		}
		h.publish("{\"a\":\r\n1}")
		b := told(t, in)
		if !strings.HasPrefix(b, "id: ") || strings.Count(b, "\n") != 2 || !strings.HasSuffix(b, "\"data\":{\"a\":  1}}\n") {
			t.Errorf("%q", b)
		}
		for range 3 {
			if line, err := in.ReadString('\n'); line != ":\n" {
				t.Errorf("not a heartbeat: %q %v", line, err)
			}
		}
	})
}

// TestSlowReader: a peer that does not read costs no memory for it, and is given
// everything once it reads.
func TestSlowReader(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		h := newHouse(t, http2, Options{})
		resp := h.get("GET", "channel=c")
		in := bufio.NewReader(resp.Body)
		for range 2 {
			block(t, in)
		}
		const total = 1500
		wide := `"` + strings.Repeat("x", 8000) + `"`
		for range total {
			h.publish(wide)
		}
		for n := 1; n <= total; n++ {
			_, text, _ := strings.Cut(block(t, in), "data: ")
			var m struct{ Offset int }
			if err := json.Unmarshal([]byte(text), &m); err != nil || m.Offset != n {
				t.Fatalf("message %d: %.80q %v", n, text, err)
			}
		}
	})
}

// TestRefused: what an EventSource is to give up at is a status.
func TestRefused(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		h := newHouse(t, http2, Options{})
		h.server.SetHooks(session.Hooks{Connect: func(_ context.Context, c *session.Client) error {
			if c.User == "" {
				return nil
			}
			return protocol.Errorf(protocol.CodeForbidden, "not you")
		}})
		ann, err := auth.Sign(auth.JWT{Secret: []byte("a-secret-of-at-least-thirty-two-bytes!")}, map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			method, query, name, value string
			status                     int
		}{
			{"GET", "token=bad", "Accept", "text/event-stream", 401},
			{"GET", "ticket=bad", "Accept", "text/event-stream", 401},
			{"GET", "token=" + ann, "Accept", "text/event-stream", 403},
			{"GET", "channel=c", "Origin", "https://evil.example", 403},
			{"GET", "channel=c", "Origin", "null", 403},
			{"GET", "channel=c", "Last-Event-ID", "nonsense", 400},
			{"GET", "channel=c&cursor=nonsense", "Accept", "*/*", 400},
			{"GET", "channel=c&last=x", "Accept", "*/*", 400},
			{"GET", "channel=c&rate=0", "Accept", "*/*", 400},
			{"GET", strings.Repeat("channel=c&", 129), "Accept", "*/*", 429},
			{"POST", "channel=c", "Accept", "*/*", 400},
			{"PUT", "channel=c", "Accept", "*/*", 405},
			{"HEAD", "channel=c", "Accept", "*/*", 405},
		} {
			resp := h.get(c.method, c.query, c.name, c.value)
			if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %.30s %s: %d %v", c.method, c.query, c.value, resp.StatusCode, resp.Header)
			}
			if c.name == "Origin" && resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("the origin %s may read the answer", c.value)
			}
		}
		resp := h.get("OPTIONS", "", "Origin", "https://shop.example")
		if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Methods") != "GET, POST" || !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Last-Event-ID") {
			t.Errorf("the preflight: %d %v", resp.StatusCode, resp.Header)
		}

		// Who is to come back: an EventSource would not after a status.
		h.server.Refuse()
		if resp := h.get("GET", "channel=c"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a server that goes down: %d %v", resp.StatusCode, resp.Header)
		}
		resp = h.get("GET", "channel=c", "Accept", "text/event-stream")
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(text), "retry: ") || !strings.Contains(string(text), `"reconnect"`) {
			t.Errorf("to an EventSource: %d %q %v", resp.StatusCode, text, err)
		}
	})
}

// TestNoise: what comes behind the request means nothing, and is borne with to a
// limit.
func TestNoise(t *testing.T) {
	h := newHouse(t, false, Options{})
	c, err := net.Dial("tcp", h.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /?channel=c HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for range 5 { // the head, welcome, what ends its chunk, subscribed, the same
		for line := ""; line != "\n" && line != "\r\n"; {
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	go func() {
		for err == nil {
			_, err = c.Write(make([]byte, 1024))
		}
	}()
	if rest, _ := io.ReadAll(in); len(rest) != 0 {
		t.Errorf("%q", rest)
	}
	for h.server.Sessions() > 0 {
		time.Sleep(time.Millisecond)
	}
}

// TestGone: the session ends with its stream, whoever ends it.
func TestGone(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		h := newHouse(t, http2, Options{})
		resp := h.get("GET", "channel=c")
		in := bufio.NewReader(resp.Body)
		for range 2 {
			block(t, in)
		}
		resp.Body.Close()
		for h.server.Sessions() > 0 {
			time.Sleep(time.Millisecond)
		}
		resp = h.get("GET", "channel=c&token=")
		in = bufio.NewReader(resp.Body)
		for range 2 {
			block(t, in)
		}
		list, _, err := h.server.Connections(t.Context(), "", 10)
		if err != nil || len(list) != 1 || list[0].Transport != "sse" {
			t.Fatal(list, err)
		}
		if err := h.server.Disconnect(t.Context(), list[0].ID); err != nil {
			t.Fatal(err)
		}
		if b := block(t, in); !strings.HasPrefix(b, `data: {"type":"error"`) || !strings.Contains(b, `"close":4005`) {
			t.Errorf("%q", b)
		}
		if rest, err := io.ReadAll(in); err != nil || len(rest) != 0 {
			t.Errorf("%q %v", rest, err)
		}
	})
}
