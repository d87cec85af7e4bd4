package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/test/program"
)

const (
	secret = "a-secret-of-at-least-thirty-two-bytes!"
	key    = "a-key-of-sixteen-bytes-or-more"
)

// configuration has compression on, so that whoever offers it is spoken to in it.
const configuration = `
compression: true
auth:
  jwt: {secret: env:RINGDOWN_JWT_SECRET, algorithm: HS256}
  keys: [env:RINGDOWN_API_KEY]
heartbeat: {ping: 1s}
sse: {heartbeat: 1s}
store: {memory: true}
channels:
  - name: lab:{x}
    history: {messages: 1000, for: 1h}
    allow: {subscribe: signed_in, publish: signed_in}
`

// server is a process with a line to it that can be cut, and what a program asks
// of the test: POST /cut?channel=…&n=… and POST /drain.
type server struct {
	t       *testing.T
	addr    string
	said    program.Output
	process *program.Process
	line    *line
	control *httptest.Server
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, addr: program.FreeAddress(t)}
	file := filepath.Join(t.TempDir(), "ringdown.yaml")
	if err := os.WriteFile(file, []byte("listen: "+s.addr+configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	s.process, err = program.Start(&s.said, []string{"RINGDOWN_JWT_SECRET=" + secret, "RINGDOWN_API_KEY=" + key},
		"serve", "--config", file, "--drain-window", "200ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.process.Signal(syscall.SIGTERM)
		_ = s.process.Err()
	})
	if err := s.process.Await("http://" + s.addr + "/readyz"); err != nil {
		t.Fatalf("%v\n%s", err, s.said.String())
	}
	s.line = newLine(t, s.addr)
	s.control = httptest.NewServer(s.routes())
	t.Cleanup(s.control.Close)
	return s
}

// base is where the programs find the server.
func (s *server) base() string { return "http://" + s.line.addr() }

func (s *server) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("POST /cut", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		err := s.line.cut(func() (err error) {
			for i := 0; i < n && err == nil; i++ {
				err = s.publish(r.URL.Query().Get("channel"), fmt.Sprintf(`{"type":"missed","data":{"i":%d}}`, i))
			}
			return err
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	m.HandleFunc("POST /drain", func(http.ResponseWriter, *http.Request) { s.process.Signal(syscall.SIGTERM) })
	return m
}

// publish publishes by the server's own address, whatever becomes of the line.
func (s *server) publish(channel, text string) error {
	req, err := http.NewRequest("POST", "http://"+s.addr+"/v1/channels/"+channel+"/messages", strings.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("publishing on %s: %s", channel, resp.Status)
	}
	return nil
}

func token(t *testing.T) string {
	t.Helper()
	text, err := auth.Sign(auth.JWT{Secret: []byte(secret)}, map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
