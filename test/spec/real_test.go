package spec

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// actor is an adapter in the time that there is, over loopback.
type actor struct {
	t      *testing.T
	in     io.WriteCloser
	events chan map[string]any
}

func act(t *testing.T, command []string, options map[string]any) *actor {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	// The last of two counts, also for who is started by env.
	cmd.Env = append(os.Environ(), "RINGDOWN_ADAPT=real")
	if command[0] == "env" && strings.HasPrefix(command[1], "RINGDOWN_ADAPT=") {
		cmd.Args[1] = "RINGDOWN_ADAPT=real"
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &actor{t, in, make(chan map[string]any, 1000)}
	go func() {
		defer close(a.events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e map[string]any
			if json.Unmarshal(lines.Bytes(), &e) == nil && e["event"] != nil {
				a.events <- e
			}
		}
	}()
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	options["backoffBase"], options["backoffCap"] = 50, 200
	a.say(map[string]any{"do": "start", "real": true, "options": options})
	return a
}

func (a *actor) say(c map[string]any) {
	a.t.Helper()
	text, err := json.Marshal(c)
	if err == nil {
		_, err = a.in.Write(append(text, '\n'))
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// until waits for an event with these fields, and answers every question for a token
// meanwhile with t1, t2, …
func (a *actor) until(asked *[]string, want map[string]any) map[string]any {
	a.t.Helper()
	var seen []string
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e, ok := <-a.events:
			if !ok {
				a.t.Fatalf("the adapter has ended; seen: %s", strings.Join(seen, "\n"))
			}
			seen = append(seen, fmt.Sprint(e))
			if e["event"] == "token" {
				*asked = append(*asked, e["reason"].(string))
				a.say(map[string]any{"do": "token", "give": fmt.Sprint("t", len(*asked))})
			}
			found := true
			for name, value := range want {
				found = found && e[name] == value
			}
			if found {
				return e
			}
		case <-deadline:
			a.t.Fatalf("no %v; seen:\n%s", want, strings.Join(seen, "\n"))
		}
	}
}

// scripted is a server that plays a part over Server-Sent Events.
type scripted struct {
	mu      sync.Mutex
	streams int
	posted  []map[string]any // messages that came by POST
	tokens  []string         // of the streams
	out     chan string      // to the newest stream
	refuse  int              // so many posts are answered with 401
	slow    bool             // what is sent comes byte by byte
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/messages") {
		s.post(w, r)
		return
	}
	s.mu.Lock()
	s.streams++
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	out := make(chan string, 100)
	s.out = out
	id := fmt.Sprint("c", s.streams)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	out <- fmt.Sprintf(`{"type":"welcome","data":{"connection":%q,"secret":"s","ping":25000,"dedupe_window":120000,"user":"ann"}}`, id)
	for {
		select {
		case m := <-out:
			text := "data: " + m + "\n\n"
			for i := 0; s.slow && i < len(text)-1; i++ {
				_, _ = io.WriteString(w, text[i:i+1])
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
			if s.slow {
				text = "\n"
			}
			_, _ = io.WriteString(w, text)
			w.(http.Flusher).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (s *scripted) post(w http.ResponseWriter, r *http.Request) {
	var m map[string]any
	if json.NewDecoder(r.Body).Decode(&m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posted = append(s.posted, m)
	if s.refuse > 0 {
		s.refuse--
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":"unauthorized","message":"the token has expired","detail":"the token has expired","retryable":false}`)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	answer := fmt.Sprintf(`{"type":"ack","id":%v,"channel":"c","epoch":"e","offset":1}`, m["id"])
	if m["type"] == "subscribe" {
		answer = fmt.Sprintf(`{"type":"subscribed","id":%v,"channel":"c","epoch":"e","offset":0}`, m["id"])
	}
	s.out <- answer
}

// For every client: what only real lines show.
func onReal(t *testing.T, test func(t *testing.T, command []string)) {
	for name, start := range adapters {
		t.Run(name, func(t *testing.T) {
			command := start(t)
			t.Parallel()
			test(t, command)
		})
	}
}

// TestTokenOverInAPost: what is said over a stream with a token that is over is not
// refused to the application: with a fresh token it is said again, once more and the same.
func TestTokenOverInAPost(t *testing.T) {
	onReal(t, func(t *testing.T, command []string) {
		s := &scripted{refuse: 1}
		server := httptest.NewServer(s)
		defer server.Close()
		defer server.CloseClientConnections()
		a := act(t, command, map[string]any{"url": server.URL, "token": "function", "transports": []string{"sse"}})
		var asked []string
		a.say(map[string]any{"do": "publish", "channel": "c", "type": "m", "data": 1, "as": "p"})
		e := a.until(&asked, map[string]any{"event": "result", "as": "p"})
		if e["error"] != nil {
			t.Errorf("published: %v", e)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(asked) != 2 || asked[1] != "refused" || s.tokens[1] != "Bearer t2" {
			t.Errorf("asked %v, came with %v", asked, s.tokens)
		}
		if len(s.posted) != 2 || s.posted[0]["dedupe"] == nil || s.posted[0]["dedupe"] != s.posted[1]["dedupe"] {
			t.Errorf("said %v", s.posted)
		}
	})
}

// TestSlowLine: what comes byte by byte is whole in the end, letters of several bytes too.
func TestSlowLine(t *testing.T) {
	onReal(t, func(t *testing.T, command []string) {
		s := &scripted{slow: true}
		server := httptest.NewServer(s)
		defer server.Close()
		defer server.CloseClientConnections()
		a := act(t, command, map[string]any{"url": server.URL, "token": "none", "transports": []string{"sse"}})
		var asked []string
		a.say(map[string]any{"do": "connect"})
		a.until(&asked, map[string]any{"event": "state", "state": "live"})
		a.say(map[string]any{"do": "subscribe", "channel": "c"})
		a.until(&asked, map[string]any{"event": "subscribed", "channel": "c"})
		s.mu.Lock()
		s.out <- `{"type":"m","channel":"c","offset":1,"data":"äö€\u2028🚚"}`
		s.mu.Unlock()
		e := a.until(&asked, map[string]any{"event": "message", "channel": "c"})
		if m, _ := e["message"].(map[string]any); m["data"] != "äö€\u2028🚚" {
			t.Errorf("the message is %v", e)
		}
	})
}

// TestHalfOpen: a server that takes connections and says nothing holds up nobody for
// longer than an opening may take, by any transport.
func TestHalfOpen(t *testing.T) {
	onReal(t, func(t *testing.T, command []string) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var open []net.Conn
		go func() {
			for {
				c, err := silent.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				open = append(open, c)
				mu.Unlock()
			}
		}()
		defer silent.Close()
		for _, by := range []string{"websocket", "sse", "poll"} {
			a := act(t, command, map[string]any{"url": "http://" + silent.Addr().String(), "token": "none", "transports": []string{by}, "openTimeout": 200})
			var asked []string
			a.say(map[string]any{"do": "connect"})
			for range 2 {
				a.until(&asked, map[string]any{"event": "state", "state": "waiting"})
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(open) < 6 {
			t.Errorf("%d connections were tried", len(open))
		}
		for _, c := range open {
			_ = c.Close()
		}
	})
}
