package ringdown_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"ringdown"
)

const devKeys = `
origins: [https://shop.example]
auth: {keys: [env:KEY]}
store: {memory: true}
channels: [{name: secret, history: {messages: 10}, allow: {subscribe: none, publish: none}}]
`

const devKey = "a-key-of-sixteen-bytes-or-more"

// asked sends a request and returns its status and body.
func asked(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// first opens a WebSocket and returns the type of the first message and of the
// answer to a subscribe, or the status that the handshake was refused with.
func first(t *testing.T, s *ringdown.Server, query, channel string, header ...string) string {
	t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	o := &websocket.DialOptions{HTTPHeader: h, Host: h.Get("Host")}
	conn, resp, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws"+query, o)
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		return resp.Status[:3]
	}
	defer conn.CloseNow()
	p := &peer{t, conn}
	if m := p.read(); m.Type != "welcome" {
		return m.Type
	}
	p.send(`{"type":"subscribe","channel":"` + channel + `","id":1}`)
	return p.read().Type
}

// TestDevIsForThisMachine: pages of other sites and other names are not let in,
// and what the configuration declares holds.
func TestDevIsForThisMachine(t *testing.T) {
	var log bytes.Buffer
	s := start(t, ringdown.Options{Dev: true, Config: []byte(devKeys), Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	base := "http://" + s.Addr().String()
	_, port, _ := strings.Cut(s.Addr().String(), ":")
	bearer := "Bearer " + devKey
	for _, c := range []struct {
		method, path, body string
		header             []string
		want               int
	}{
		{"GET", "/v1/connections", "", nil, 401},
		{"GET", "/v1/connections", "", []string{"Authorization", bearer}, 200},
		{"POST", "/v1/channels/secret/messages", `{"type":"m"}`, nil, 401},
		{"POST", "/v1/channels/secret/messages", `{"type":"m"}`, []string{"Authorization", bearer}, 201},
		{"GET", "/v1/channels/secret/messages", "", []string{"Origin", "https://evil.example", "Authorization", bearer}, 403},
		{"GET", "/v1/channels/secret/messages", "", []string{"Origin", "null", "Authorization", bearer}, 403},
		{"GET", "/v1/channels/secret/messages", "", []string{"Origin", "https://shop.example", "Authorization", bearer}, 200},
		{"GET", "/v1/channels/secret/messages", "", []string{"Origin", "http://localhost:3000", "Authorization", bearer}, 200},
		{"GET", "/livez", "", []string{"Host", "evil.example:" + port}, 403},
		{"GET", "/", "", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"GET", "/livez", "", []string{"Host", "localhost:" + port}, 200},
		{"GET", "/livez", "", []string{"Host", "[::1]:" + port}, 200},
	} {
		if got, body, _ := asked(t, c.method, base+c.path, c.body, c.header...); got != c.want {
			t.Errorf("%s %s %v: %d, want %d\n%s", c.method, c.path, c.header, got, c.want, body)
		}
	}
	for _, c := range []struct {
		query, channel string
		header         []string
		want           string
	}{
		{"", "anything", nil, "subscribed"},
		{"", "secret", nil, "error"},
		{"", "secret", []string{"Authorization", bearer}, "subscribed"}, // no rule is asked about a server key
		{"?token=" + devKey, "secret", nil, "error"},                    // which does not belong in an address
		{"?token=ann", "anything", nil, "subscribed"},
		{"", "anything", []string{"Origin", "https://evil.example"}, "403"},
		{"", "anything", []string{"Origin", "null"}, "403"},
		{"", "anything", []string{"Origin", "http://127.0.0.1:9999"}, "subscribed"},
		{"", "anything", []string{"Host", "evil.example:" + port, "Origin", "http://evil.example:" + port}, "403"},
	} {
		if got := first(t, s, c.query, c.channel, c.header...); got != c.want {
			t.Errorf("%s %s %v: %s, want %s", c.query, c.channel, c.header, got, c.want)
		}
	}
	if !strings.Contains(log.String(), "reason=host") || strings.Contains(log.String(), devKey) {
		t.Errorf("the log:\n%s", &log)
	}
}

// TestDevKeyIsNoName: what looks like a key, or like a signed token, is nobody's
// name in dev mode.
func TestDevKeyIsNoName(t *testing.T) {
	s := start(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0"})
	base := "http://" + s.Addr().String()
	for query, want := range map[string]string{
		"?token=" + devKey: "error", "?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl": "error",
		"?token=ann": "subscribed", "?token=somebody@shop.example": "subscribed",
	} {
		if got := first(t, s, query, "a"); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	if got := first(t, s, "", "a", "Authorization", "Bearer "+devKey); got != "subscribed" {
		t.Errorf("a program with a key: %s", got)
	}
	status, body, _ := asked(t, "POST", base+"/v1/channels/a/messages", `{"type":"m"}`, "Authorization", "Bearer "+devKey)
	if status != 201 {
		t.Errorf("%d %s", status, body)
	}
	if _, body, _ = asked(t, "GET", base+"/v1/channels/a/messages", ""); strings.Contains(body, devKey) {
		t.Errorf("the key is told: %s", body)
	}
}

// TestDevChannels: below state: there are states, and presence everywhere.
func TestDevChannels(t *testing.T) {
	s := start(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0"})
	base := "http://" + s.Addr().String()
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v1/channels/state:trucks/messages", `{"type":"position","key":"7","data":[1,2]}`, 201},
		{"GET", "/v1/channels/state:trucks/state", "", 200},
		{"GET", "/v1/channels/state:a:b:c/state", "", 200},
		{"GET", "/v1/channels/state:trucks/presence", "", 200},
		{"GET", "/v1/channels/any:thing:at:all/presence", "", 200},
	} {
		if got, body, _ := asked(t, c.method, base+c.path, c.body); got != c.want {
			t.Errorf("%s %s: %d %s", c.method, c.path, got, body)
		}
	}
}

// TestDevPages: the page at /, and the files of a folder beside the API.
func TestDevPages(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"orders.html": "<p>orders", "index.html": "<p>index", ".env": "SECRET=1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "out.txt")); err != nil {
		t.Fatal(err)
	}
	s := start(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0", DevFiles: dir})
	base := "http://" + s.Addr().String()
	status, body, header := asked(t, "GET", base+"/", "")
	if status != 200 || !strings.Contains(body, "<h1>Ringdown") || !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'") {
		t.Errorf("%d %v\n%s", status, header, body)
	}
	for path, want := range map[string]string{
		"/dev/app.js": "socket", "/dev/style.css": "color-scheme", "/dev/icon.svg": "<svg",
		"/orders.html": "<p>orders", "/index.html": "<p>index",
	} {
		if status, body, _ := asked(t, "GET", base+path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/.env", "/out.txt", "/nothing.html", "/dev/nothing", "/..%2fetc/passwd"} {
		if status, body, _ := asked(t, "GET", base+path, ""); status < 400 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, _ := asked(t, "POST", base+"/orders.html", "{}"); status < 400 {
		t.Errorf("a POST to a file: %d", status)
	}
	plain := start(t, ringdown.Options{})
	if status, body, _ := asked(t, "GET", "http://"+plain.Addr().String()+"/", ""); status != 200 || strings.Contains(body, "/dev/app.js") {
		t.Errorf("without dev mode: %d %s", status, body)
	}
	if _, body, _ := asked(t, "GET", base+"/v1/openapi.json", ""); !json.Valid([]byte(body)) {
		t.Error("the API is hidden")
	}
}
