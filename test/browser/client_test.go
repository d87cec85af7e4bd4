package browser

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringdown/test/program"
)

const jwtSecret = "a-secret-of-at-least-thirty-two-bytes!"

const clientConfig = `
auth:
  jwt: {secret: ` + jwtSecret + `, algorithm: HS256, leeway: 1s}
  keys: [` + apiKey + `]
origins: [loopback]
heartbeat: {ping: 2s, timeout: 1s}
channels:
  - name: chat:{room}
    history: {messages: 10000}
    allow: {subscribe: signed_in, publish: signed_in}
`

// clientPage imports the client that the server serves, as a page without a build does.
const clientPage = `<!doctype html><title>client</title><link rel="icon" href="data:,">
<script type="module">
import {Ringdown} from '/v1/client.js'
window.got = []
window.gaps = []
window.lines = []
window.states = []
window.ringdown = new Ringdown(location.origin, {
  token: async () => (await fetch('/token')).text(),
  backoffBase: 200, bufferedTimeout: 1500, openTimeout: 4000, watch: 1000, silence: 1000, probeTimeout: 1000,
})
ringdown.on('state', (e) => {
  states.push(e.state + ' ' + e.reason)
  if (e.state === 'live') lines.push(e.transport)
})
const chat = ringdown.channel('chat:1')
chat.when('gap', ({reason}) => gaps.push(reason))
chat.on('message', (n) => got.push(n))
</script>`

// site is what a page sees: its own files, a route that makes tokens, and the server
// behind a proxy that can be made worse.
type site struct {
	*httptest.Server
	t       *testing.T
	to      string
	process *program.Process
	start   func()
	out     program.Output
	life    atomic.Int64 // of the tokens, in seconds
	tokens  atomic.Int64 // that were made
	blocked atomic.Bool  // no WebSocket comes through
	buffers atomic.Bool  // no stream comes through before its end
	down    atomic.Bool  // nothing comes through
	said    int

	mu    sync.Mutex
	lines map[*tracked]bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	addr := program.FreeAddress(t)
	config := filepath.Join(dir, "ringdown.yaml")
	if err := os.WriteFile(config, []byte(clientConfig+"store: {dir: "+dir+"/data}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, to: "http://" + addr, lines: map[*tracked]bool{}}
	s.life.Store(600)
	s.start = func() {
		p, err := program.Start(&s.out, nil, "serve", "--config", config, "--listen", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Await(s.to + "/livez"); err != nil {
			t.Fatalf("%v\n%s", err, s.out.String())
		}
		s.process = p
	}
	s.start()
	t.Cleanup(func() { s.process.Kill() })
	target, err := url.Parse(s.to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ErrorLog:      nil,
		ModifyResponse: func(r *http.Response) error {
			if s.buffers.Load() && strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
				// It reads all there is before it hands on the first byte.
				_, err := io.Copy(io.Discard, r.Body)
				return err
			}
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, clientPage)
	})
	mux.HandleFunc("GET /tab", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, tabPage)
	})
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, _ *http.Request) {
		s.tokens.Add(1)
		now := time.Now()
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "ann", "exp": now.Add(time.Duration(s.life.Load()) * time.Second).Unix()})
		text, err := token.SignedString([]byte(jwtSecret))
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, text)
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.down.Load() && !strings.HasPrefix(r.URL.Path, "/v1/client/"):
			w.WriteHeader(http.StatusBadGateway)
		case s.blocked.Load() && r.Header.Get("Upgrade") != "":
			w.WriteHeader(http.StatusForbidden)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
	s.Server = httptest.NewUnstartedServer(mux)
	s.Listener = &tracking{s.Listener, s}
	s.Server.Start()
	t.Cleanup(func() { s.cut(); s.Server.Close() })
	return s
}

// cut breaks every line through the proxy.
func (s *site) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.lines {
		_ = c.Conn.Close()
	}
}

// say publishes the next number, by REST and past the proxy.
func (s *site) say() {
	s.t.Helper()
	s.said++
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.to+"/v1/channels/chat:1/messages", bytes.NewReader(fmt.Appendf(nil, `{"type":"message","data":%d}`, s.said)))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		s.t.Fatalf("publishing: %s", resp.Status)
	}
}

// heard waits until the page has all that was said, each once and in order.
func (s *site) heard(w *window) {
	s.t.Helper()
	w.wait(fmt.Sprintf(`got.length >= %d`, s.said))
	var want strings.Builder
	for n := 1; n <= s.said; n++ {
		fmt.Fprintf(&want, ",%d", n)
	}
	if got := w.eval(`got.join()`); got != strings.TrimPrefix(want.String(), ",") {
		s.t.Errorf("the page was given %s", got)
	}
	if gaps := w.eval(`gaps.join()`); gaps != "" {
		s.t.Errorf("gaps were told: %s", gaps)
	}
}

// live opens the page and waits until it hears.
func (s *site) live() *window {
	s.t.Helper()
	w := newWindow(s.t)
	w.open(s.URL + "/")
	w.wait(`ringdown.state === 'live'`)
	w.eval(`ringdown.channel('chat:1').publish('message', 0)`) // behind the subscribe, so what is heard of it says that this is through
	w.wait(`got.length === 1`)
	w.eval(`got.length = 0`)
	return w
}

// What a client meets in a browser; each ends with every message once.
func TestClient(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(t *testing.T, s *site, w *window){
		"network cut": func(t *testing.T, s *site, w *window) {
			s.down.Store(true)
			s.cut()
			w.wait(`ringdown.state === 'waiting'`)
			s.say()
			s.down.Store(false)
		},
		"page frozen and thawed": func(t *testing.T, s *site, w *window) {
			w.freeze()
			for range 5 { // the server's heartbeat gives the page up meanwhile
				s.say()
				time.Sleep(time.Second)
			}
			w.thaw()
			w.wait(`lines.length >= 2`)
		},
		"server killed and restarted": func(t *testing.T, s *site, w *window) {
			w.eval(`states.length = 0`)
			s.process.Kill()
			w.wait(`states.some((s) => s.startsWith('waiting'))`)
			s.start()
			s.say()
		},
		"token expired while away": func(t *testing.T, s *site, w *window) {
			before := s.tokens.Load()
			s.down.Store(true)
			s.cut()
			s.say()
			time.Sleep(4 * time.Second) // longer than the first token lives
			s.down.Store(false)
			w.wait(`lines.length >= 2`)
			if s.tokens.Load() == before {
				t.Error("nobody asked for a fresh token")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if name == "token expired while away" {
				s.life.Store(3)
			}
			w := s.live()
			s.say()
			happens(t, s, w)
			s.say()
			s.heard(w)
			if user := w.eval(`ringdown.user`); user != "ann" {
				t.Errorf("the page is %s now", user)
			}
		})
	}
}

// A proxy lets no WebSocket through, or holds streams back as well: the client goes
// around, and takes the WebSocket when it comes through.
func TestClientGoesAround(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]string{"WebSocket blocked": "sse", "and streams buffered": "poll"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.blocked.Store(true)
			s.buffers.Store(way == "poll")
			w := s.live()
			if lines := w.eval(`lines.join()`); lines != way {
				t.Errorf("the page came by %s", lines)
			}
			s.say()
			s.heard(w)
			s.blocked.Store(false)
			w.eval(`window.dispatchEvent(new Event('focus'))`) // somebody is back: it is tried at once
			w.wait(`lines.at(-1) === 'websocket'`)
			s.say()
			s.heard(w)
		})
	}
}
