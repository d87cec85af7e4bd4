// Package attack treats a real server process badly, from outside, and checks
// that it answers as documented and costs nobody else anything. The rows it
// names are those of the project's threat catalogue in docs/security.md.
package attack

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/test/program"
)

const (
	jwtSecret = "attack-secret-of-more-than-thirty-two-bytes"
	apiKey    = "attack-key-of-more-than-sixteen-bytes"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m, nil)) }

// long reports whether the minute-long forms were asked for (make test-long).
func long() bool { return os.Getenv("RINGDOWN_LONG") != "" }

// server is a ringdown process.
type server struct {
	t    *testing.T
	addr string
	pid  int
	log  program.Output
}

const channels = `
auth:
  anonymous: %v
  jwt: {secret: env:JWT_SECRET, algorithm: HS256}
  keys: [env:API_KEY]
store: {memory: true}
channels:
  - name: live
    buffer: {messages: 512, bytes: 262144}
    allow: {subscribe: anyone, publish: anyone}
  - name: bench
    allow: {subscribe: anyone, publish: anyone}
  - name: kept
    history: {messages: 100}
    allow: {subscribe: anyone, publish: anyone}
  - name: hall
    history: {messages: 100}
    presence: true
    allow: {subscribe: anyone, publish: anyone, presence: anyone}
  - name: board
    state: {for: 1h}
    allow: {subscribe: anyone, publish: anyone}
  - name: room:{room}
    allow: {subscribe: anyone, publish: anyone}
  - name: mine:{room}
    allow: {subscribe: 'claims.rooms.exists(r, r == params.room)'}
  - name: heavy:{room}
    allow: {subscribe: 'claims.rooms.exists(r, r.startsWith(params.room) && r.endsWith("z"))'}
  - name: judged
    events:
      edit:
        schema:
          $defs:
            node:
              oneOf:
                - {type: object, properties: {kind: {const: text}, text: {type: string}}, required: [kind, text]}
                - {type: object, properties: {kind: {const: paragraph}, children: {type: array, items: {$ref: '#/$defs/node'}}}, required: [kind, children]}
                - {type: object, properties: {kind: {const: list}, children: {type: array, items: {$ref: '#/$defs/node'}}}, required: [kind, children]}
                - {type: object, properties: {kind: {const: quote}, children: {type: array, items: {$ref: '#/$defs/node'}}}, required: [kind, children]}
          $ref: '#/$defs/node'
      tags: {schema: {type: object, properties: {tags: {type: array, items: {enum: [red, green, blue, black, white]}}}}}
      numbers: {schema: {type: array, items: {type: number, minimum: 0}}}
      dear: {schema: {type: array, items: {not: {anyOf: [{const: 1}, {anyOf: [{const: 2}, {const: 3}, {const: 4}, {const: 5}, {const: 6}]}]}}}}
    allow: {subscribe: anyone, publish: anyone}
`

func engines(t *testing.T, test func(t *testing.T, engine string)) {
	for _, e := range []string{"epoll", "std"} {
		t.Run(e, func(t *testing.T) { test(t, e) })
	}
}

var listening = regexp.MustCompile(`url=ws://([0-9.:]+)/v1/ws`)

// serve starts a process on the configuration above and more.
func serve(t *testing.T, engine string, anonymous bool, more string) *server {
	t.Helper()
	return serveWithin(t, 0, engine, anonymous, more)
}

// serveWithin does so with at most so many open files; 0: as many as this process
// may have.
func serveWithin(t *testing.T, files int, engine string, anonymous bool, more string) *server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ringdown.yaml")
	base := fmt.Sprintf(channels, anonymous)
	if strings.Contains(more, "\nstore:") {
		base = strings.Replace(base, "store: {memory: true}\n", "", 1)
	}
	if err := os.WriteFile(file, []byte(base+more), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t}
	// GOGC, so that garbage is not taken for memory that is held: by default the
	// server lets some megabytes of it gather.
	env := []string{"JWT_SECRET=" + jwtSecret, "API_KEY=" + apiKey, "GOGC=100"}
	args := []string{"serve", "--config", file, "--listen", "127.0.0.1:0", "--engine", engine, "--log-level", "debug"}
	start := func() (*program.Process, error) { return program.Start(&s.log, env, args...) }
	if files > 0 {
		start = func() (*program.Process, error) { return program.StartWithin(files, &s.log, env, args...) }
	}
	p, err := start()
	if err != nil {
		t.Fatal(err)
	}
	s.pid = p.PID()
	t.Cleanup(func() {
		if err := p.Terminate(30 * time.Second); err != nil {
			t.Errorf("the server: %v\n%s", err, s.log.Tail())
		}
		if strings.Contains(s.log.String(), "panic") {
			t.Errorf("a panic in the log\n%s", s.log.Tail())
		}
	})
	deadline := time.After(20 * time.Second)
	for {
		more := s.log.More()
		if m := listening.FindStringSubmatch(s.log.String()); m != nil {
			s.addr = m[1]
			return s
		}
		select {
		case <-more:
		case <-p.Exited():
			t.Fatalf("the server ended at once: %v\n%s", p.Err(), s.log.String())
		case <-deadline:
			t.Fatalf("the server does not listen\n%s", s.log.String())
		}
	}
}

// rss is the memory of the process that is its own, in bytes.
func (s *server) rss() int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return kb << 10
		}
	}
	s.t.Fatal("no RssAnon")
	return 0
}

func (s *server) descriptors() int {
	s.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

// get returns the body of a GET, with the key.
func (s *server) get(path string) string {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// metric reads one number from /metrics.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(s.get("/metrics"))
	if m == nil {
		s.t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// until waits for a condition that the server comes to by itself.
func until(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

func token(t *testing.T, user string, life time.Duration) string {
	return tokenWith(t, map[string]any{"sub": user, "exp": time.Now().Add(life).Unix()})
}

func tokenWith(t *testing.T, claims map[string]any) string {
	t.Helper()
	tok, err := auth.Sign(auth.JWT{Secret: []byte(jwtSecret), Algorithm: "HS256"}, claims)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
