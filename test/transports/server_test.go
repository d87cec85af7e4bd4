package transports

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown"
	"ringdown/internal/auth"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { http.DefaultClient.CloseIdleConnections() }))
}

// patience is how long anything may take on a busy machine.
const patience = time.Minute

const (
	secret = "a-secret-of-at-least-thirty-two-bytes!"
	key    = "a-key-of-sixteen-bytes-or-more"
	conf   = `
listen: 127.0.0.1:0
auth:
  jwt: {secret: env:SECRET, algorithm: HS256}
  keys: [env:KEY]
limits: {connection: {messages_per_second: 10000, messages_burst: 10000}}
channels:
  - name: orders
    history: {messages: 10000}
    buffer: {messages: 64}
    allow: {subscribe: signed_in, publish: none}
  - name: second
    history: {messages: 1000}
    allow: {subscribe: anyone, publish: none}
  - name: short
    history: {messages: 5}
    buffer: {messages: 16}
    allow: {subscribe: anyone, publish: anyone}
  - name: board
    state: {}
    allow: {subscribe: anyone, publish: anyone}
  - name: room:{room}
    presence: true
    allow: {subscribe: signed_in, publish: none, presence: signed_in}
  - name: chat:{room}
    history: {messages: 100}
    allow: {subscribe: signed_in, publish: signed_in}
  - name: plain
    allow: {subscribe: anyone, publish: anyone}
  - name: secret
    history: {messages: 10}
    allow: {subscribe: 'user == "bob"', publish: none}
`
)

// world is a server and somebody who publishes from elsewhere.
type world struct {
	t    *testing.T
	s    *ringdown.Server
	conf string
	base string
}

func newWorld(t *testing.T) *world { return newWorldOf(t, conf) }

func newWorldOf(t *testing.T, conf string) *world {
	t.Helper()
	w := &world{t: t, conf: conf}
	w.start("")
	w.base = "http://" + w.s.Addr().String()
	t.Cleanup(func() { w.stop() })
	return w
}

// start starts the server, at an address or where the configuration says.
func (w *world) start(address string) {
	w.t.Helper()
	s, err := ringdown.New(ringdown.Options{
		Config: []byte(w.conf), Listen: address, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), DrainWindow: 10 * time.Millisecond,
		Env: func(name string) (string, bool) {
			v, ok := map[string]string{"SECRET": secret, "KEY": key}[name]
			return v, ok
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.HandleCall("double", func(_ context.Context, c *ringdown.Call) (any, error) {
		var n int
		err := json.Unmarshal(c.Data, &n)
		return 2 * n, err
	})
	if err := s.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

// followed waits until a channel has so many subscribers.
func (w *world) followed(channel string, n float64) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		got := 0.0
		list, _ := w.do("GET", "/v1/channels?prefix="+url.QueryEscape(channel), key, "", 200)["channels"].([]any)
		for _, c := range list {
			if c := c.(map[string]any); c["channel"] == channel {
				got = c["subscribers"].(float64)
			}
		}
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s has %v subscribers, want %v", channel, got, n)
		}
	}
}

// another waits until one connection of a transport is open, which is not the one that
// was there before, and returns its id: a poll that was answered is closed a moment later.
func (w *world) another(transport, before string) (id string) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var found []string
		list, _ := w.do("GET", "/v1/connections", key, "", 200)["connections"].([]any)
		for _, c := range list {
			if c := c.(map[string]any); c["transport"] == transport {
				found = append(found, c["connection"].(string))
			}
		}
		if len(found) == 1 && found[0] != before {
			return found[0]
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: %v, and not another than %s", transport, found, before)
		}
	}
}

func (w *world) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	http.DefaultClient.CloseIdleConnections() // one that was opened for nothing would be waited for
	if err := w.s.Stop(ctx); err != nil {
		w.t.Error(err)
	}
}

// do makes a request and wants a status.
func (w *world) do(method, path, credential, body string, want int) map[string]any {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+credential)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != want {
		w.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	var v map[string]any
	_ = json.Unmarshal(text, &v)
	return v
}

func (w *world) publish(channel, body string) {
	w.t.Helper()
	w.do("POST", "/v1/channels/"+url.PathEscape(channel)+"/messages", key, body, 201)
}

// token is ann's, for so long.
func token(t *testing.T, life time.Duration) string { return tokenOf(t, "ann", life) }

func tokenOf(t *testing.T, user string, life time.Duration) string {
	t.Helper()
	text, err := auth.Sign(auth.JWT{Secret: []byte(secret)}, map[string]any{"sub": user, "exp": time.Now().Add(life).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
