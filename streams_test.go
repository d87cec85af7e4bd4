package ringdown_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/internal/auth"
)

// events reads a stream of Server-Sent Events.
type events struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
}

func stream(t *testing.T, s *ringdown.Server, query string, header ...string) *events {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.Addr().String()+"/v1/sse?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &events{t, resp, bufio.NewReader(resp.Body)}
}

// next returns the next message, and its id.
func (e *events) next() (m map[string]any, id string) {
	e.t.Helper()
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			e.t.Fatalf("the stream ended: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				e.t.Fatal(err)
			}
		} else if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = text
		}
		if line == "" && m != nil {
			return m, id
		}
	}
}

func token(t *testing.T, user string) string {
	t.Helper()
	text, err := auth.Sign(auth.JWT{Secret: []byte(secret)}, map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tryStreams tries the operations of the document that are about streams.
func tryStreams(r *rest, s *ringdown.Server) {
	t := r.t
	e := stream(t, s, "channel=lab:x&last=2")
	r.seen["GET /v1/sse"] = true
	if e.resp.StatusCode != 200 || e.resp.Header.Get("Content-Type") != "text/event-stream" || e.resp.Header.Get("X-Accel-Buffering") != "no" ||
		e.resp.Header.Get("Cache-Control") != "no-store, no-transform" {
		t.Fatalf("%d %v", e.resp.StatusCode, e.resp.Header)
	}
	welcome, _ := e.next()
	id, secret := welcome["data"].(map[string]any)["connection"].(string), welcome["data"].(map[string]any)["secret"].(string)
	if m, _ := e.next(); m["type"] != "subscribed" {
		t.Error(m)
	}
	const post = "/v1/connections/{connection}/messages"
	for _, c := range []struct {
		id, credential, body string
		status               int
	}{
		{id, "", `{"type":"ping","id":1}`, 401},
		{id, key, `{"type":"ping","id":2}`, 202},
		{id, token(t, "ann"), `{"type":"ping"}`, 404},
		{id[:len(id)-4] + "____", key, `{"type":"ping"}`, 404},
		{"x", key, `{"type":"ping"}`, 404},
		{"AAAAAAAA" + id[8:], key, `{"type":"ping"}`, 404},
		{id, key, `{"type":7}`, 400},
		{id, key, `{"type":"e","channel":"lab:x","data":"` + strings.Repeat("x", 65_536) + `"}`, 413},
		{id, "no-key-at-all", `{"type":"ping"}`, 401},
	} {
		if code, got := r.call("POST", post, c.credential, c.body, "{connection}", c.id); code != c.status {
			t.Errorf("%s on %s: %d %v", c.body, c.id, code, got)
		}
	}
	for _, c := range []struct {
		id, credential, secret string
		status                 int
	}{
		{id, "", secret, 202},
		{id, "no-key-at-all", secret, 202}, // the secret is enough
		{id, "", secret[1:], 404},
		{id, token(t, "ann"), secret[1:] + "A", 404},
		{"x", "", secret, 404},
	} {
		if code, got := r.call("POST", post, c.credential, `{"type":"ping"}`, "{connection}", c.id, "Ringdown-Stream", c.secret); code != c.status {
			t.Errorf("%s with the secret %s: %d %v", c.id, c.secret, code, got)
		}
	}
	for m, _ := e.next(); ; m, _ = e.next() {
		if m["type"] == "pong" && m["id"] == 2.0 {
			break
		}
	}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	_, text, err := conn.Read(t.Context())
	if err != nil || json.Unmarshal(text, &welcome) != nil {
		t.Fatal(err)
	}
	id = welcome["data"].(map[string]any)["connection"].(string)
	if code, got := r.call("POST", post, key, `{"type":"ping"}`, "{connection}", id); code != 400 {
		t.Errorf("on behalf of a WebSocket: %d %v", code, got)
	}

	code, got := r.call("GET", "/v1/poll?channel=lab:x&last=1", "", "")
	if list, _ := got["messages"].([]any); code != 200 || len(list) != 2 {
		t.Errorf("poll: %d %v", code, got)
	}
	if code, got := r.call("POST", "/v1/poll", "", `{"channels":[{"channel":"lab:x","last":1}]}`); code != 200 {
		t.Errorf("poll with a body: %d %v", code, got)
	}
	resp, err := http.Post(r.base+"/v1/sse", "application/json", strings.NewReader(`{"channels":[{"channel":"lab:x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if r.seen["POST /v1/sse"] = true; resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("a stream with a body: %d %v", resp.StatusCode, resp.Header)
	}
	for _, query := range []string{"", "channel=a&wait=61", "channel=a&wait=-1", "channel=a&wait=NaN", "channel=a&cursor=!", "channel=a&last=0", "channel=%zz", "channel=a&rate=1"} {
		if code, got := r.call("GET", "/v1/poll?"+query, "", ""); code != 400 {
			t.Errorf("poll %s: %d %v", query, code, got)
		}
	}

	code, got = r.call("POST", "/v1/tickets", token(t, "ann"), "")
	if ticket, _ := got["ticket"].(string); code != 201 || ticket == "" {
		t.Errorf("ticket: %d %v", code, got)
	}
	for credential, want := range map[string]int{"": 401, key: 403, "nonsense": 401} {
		if code, got := r.call("POST", "/v1/tickets", credential, ""); code != want {
			t.Errorf("a ticket for %q: %d %v", credential, code, got)
		}
	}
}

// TestTickets is C03 from outside: of many uses at once, over all transports,
// one succeeds.
func TestTickets(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(conf + "origins: [https://shop.example, https://other.example]\n")})
	r := newRest(t, s)
	use := func(path, ticket, origin string) bool {
		address := "http://" + s.Addr().String() + path + "ticket=" + ticket
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if strings.HasPrefix(path, "/v1/ws") {
			c, _, err := websocket.Dial(t.Context(), address, &websocket.DialOptions{HTTPHeader: header})
			if err != nil {
				t.Error(err)
				return false
			}
			defer c.CloseNow()
			_, text, err := c.Read(t.Context())
			return err == nil && strings.Contains(string(text), `"user":"ann"`)
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
		if err != nil {
			t.Error(err)
			return false
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return false
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 && resp.StatusCode != 401 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
		return resp.StatusCode == 200
	}
	paths := []string{"/v1/ws?", "/v1/sse?channel=lab:x&", "/v1/poll?channel=lab:x&"}
	for range 10 {
		_, got := r.call("POST", "/v1/tickets", token(t, "ann"), "", "Origin", "https://shop.example")
		ticket := got["ticket"].(string)
		if use(paths[0], ticket, "https://other.example") {
			t.Error("a page of another origin used it")
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		good := 0
		for i := range 6 {
			wg.Go(func() {
				if use(paths[i%3], ticket, "https://shop.example") {
					mu.Lock()
					good++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if good != 1 || use(paths[1], ticket, "") {
			t.Fatalf("%d of 6 succeeded", good)
		}
	}
}
