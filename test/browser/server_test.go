package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"ringdown/test/program"
)

const apiKey = "browser-test-key-0123456789"

// server is the demo as a process of its own, which can be killed and started
// again on the same port and data.
type server struct {
	t    *testing.T
	addr string
	data string
	more []string // arguments
	out  program.Output
	run  *program.Process // nil: killed
}

// newServer starts a demo with a few trucks, or what the arguments say: most
// tests are about something else.
func newServer(t *testing.T, more ...string) *server {
	t.Helper()
	if len(more) == 0 {
		more = []string{"--trucks", "5"}
	}
	s := &server{t: t, addr: program.FreeAddress(t), data: t.TempDir(), more: more}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", s.out.String())
		}
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	p, err := program.Start(&s.out, []string{"RINGDOWN_API_KEY=" + apiKey}, append([]string{"demo", "--listen", s.addr, "--data", s.data}, s.more...)...)
	if err != nil {
		s.t.Fatalf("starting the server: %v", err)
	}
	s.run = p
	if err := p.Await(s.url("/livez")); err != nil {
		s.t.Fatalf("the server: %v\n%s", err, s.out.String())
	}
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	if s.run != nil {
		s.run.Kill()
		s.run = nil
	}
}

func (s *server) url(path string) string { return "http://" + s.addr + path }

// call sends a request with the API key and decodes the answer into reply.
func (s *server) call(method, path, body string, status int, reply any) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url(path), strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if answer.StatusCode != status {
		s.t.Fatalf("%s %s answered %d, want %d: %s", method, path, answer.StatusCode, status, text)
	}
	if reply != nil {
		if err := json.Unmarshal(text, reply); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
}

type order struct {
	ID       int
	Customer string
	Status   string
	Total    int
}

// place orders something for a customer from outside the browser.
func (s *server) place(customer, lines string) (o order) {
	s.t.Helper()
	s.call("POST", "/shop/orders", `{"customer":`+quote(customer)+`,"lines":`+lines+`}`, http.StatusCreated, &o)
	return o
}
