package attack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringdown/test/program"
)

// stopped is a server that is started again and again on one store, whose epoch
// only outlives an end that is in order.
type stopped struct {
	server
	file string
	run  *program.Process
	args []string
}

func newStopped(t *testing.T, args ...string) *stopped {
	t.Helper()
	s := &stopped{file: filepath.Join(t.TempDir(), "ringdown.yaml"), args: args}
	s.t, s.addr = t, program.FreeAddress(t)
	conf := strings.Replace(fmt.Sprintf(channels, true), "store: {memory: true}", fmt.Sprintf("store: {dir: %q, fsync: interval}", filepath.Join(t.TempDir(), "data")), 1)
	if err := os.WriteFile(s.file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

func (s *stopped) start() {
	s.t.Helper()
	p, err := program.Start(&s.log, []string{"JWT_SECRET=" + jwtSecret, "API_KEY=" + apiKey},
		append([]string{"serve", "--config", s.file, "--listen", s.addr}, s.args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.run, s.pid = p, p.PID()
	s.t.Cleanup(p.Kill)
	if err := p.Await("http://" + s.addr + "/readyz"); err != nil {
		s.t.Fatalf("%v\n%s", err, s.log.Tail())
	}
}

// ends waits for a process that was told to, which takes less than limit and is no
// failure.
func (s *stopped) ends(t *testing.T, limit time.Duration) {
	t.Helper()
	begun := time.Now()
	select {
	case <-s.run.Exited():
		if err := s.run.Err(); err != nil {
			t.Errorf("ended with %v\n%s", err, s.log.Tail())
		}
		t.Logf("ended after %v", time.Since(begun).Round(time.Millisecond))
	case <-time.After(limit):
		t.Fatalf("still there after %v\n%s", limit, s.log.Tail())
	}
}

// epoch publishes, and returns the epoch of the channel.
func (s *stopped) epoch(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/v1/channels/kept/messages", strings.NewReader(`{"type":"e","data":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Epoch string }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || a.Epoch == "" {
		t.Fatal(resp.Status, err)
	}
	return a.Epoch
}

// anonymous returns what somebody without a credential is answered, or the error.
func (s *stopped) anonymous(path string) string {
	resp, err := http.Get("http://" + s.addr + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// TestStopWithCrowd: whatever clients do, a server that is told to stop ends in
// time and in order, and what is in its store goes on in the same epoch.
func TestStopWithCrowd(t *testing.T) {
	post := "POST /v1/channels/kept/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nContent-Type: application/json\r\n"
	raw := func(text string) func(*stopped) {
		return func(s *stopped) { _, _ = io.WriteString(s.open(s.t), text) }
	}
	crowds := map[string]func(*stopped){
		"nobody":                         func(*stopped) {},
		"a connection that is kept":      raw("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"),
		"half a header":                  raw("GET /livez HTTP/1.1\r\nHost: a\r\n"),
		"half a body":                    raw(post + "Authorization: Bearer " + apiKey + "\r\n\r\n{\"type\""),
		"half a body, of nobody":         raw(post + "\r\n{\"type\""),
		"a stream":                       raw("GET /v1/sse?channel=kept HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a WebSocket that reads no more": func(s *stopped) { s.dial(s.t, "", true).subscribe("kept") },
	}
	s := newStopped(t)
	before := s.epoch(t)
	check := func(t *testing.T, gather ...func(*stopped)) {
		for _, g := range gather {
			g(s)
		}
		s.run.Signal(syscall.SIGTERM)
		s.ends(t, 12*time.Second)
		s.start()
		if now := s.epoch(t); now != before {
			t.Errorf("the epoch was %s and is %s: the end was not in order", before, now)
		}
	}
	for _, name := range []string{"nobody", "half a header", "half a body"} {
		t.Run(name, func(t *testing.T) { check(t, crowds[name]) })
	}
	t.Run("all at once", func(t *testing.T) {
		poll := make(chan string, 1)
		waiting := func(s *stopped) {
			var a struct{ Cursor string }
			if err := json.Unmarshal([]byte(s.anonymous("/v1/poll?channel=kept")), &a); err != nil {
				t.Fatal(err)
			}
			go func() { poll <- s.anonymous("/v1/poll?channel=kept&wait=60&cursor=" + url.QueryEscape(a.Cursor)) }()
			until(t, "the poll waits", 5*time.Second, func() bool { return strings.Contains(s.get("/metrics"), `connections{transport="poll"} 1`) })
		}
		all := []func(*stopped){waiting}
		for _, g := range crowds {
			all = append(all, g)
		}
		check(t, all...)
		if text := <-poll; !strings.Contains(text, "cursor") {
			t.Errorf("the poll was answered with %s", text)
		}
	})
}

// TestSecondSignal: who does not want to wait says so again.
func TestSecondSignal(t *testing.T) {
	s := newStopped(t, "--drain-notice", "1m", "--grace", "2m")
	before := s.epoch(t)
	s.dial(t, "", true).subscribe("kept")
	s.run.Signal(syscall.SIGTERM)
	until(t, "it stops", 5*time.Second, func() bool { return s.status(t, "/readyz") == http.StatusServiceUnavailable })
	s.run.Signal(syscall.SIGTERM)
	s.ends(t, 10*time.Second)
	s.start()
	if now := s.epoch(t); now != before {
		t.Errorf("the epoch was %s and is %s: the end was not in order", before, now)
	}
}
