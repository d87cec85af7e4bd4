package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringdown/test/program"
)

const (
	jwtSecret = "faults-secret-of-more-than-thirty-two-bytes"
	apiKey    = "faults-key-of-more-than-sixteen-bytes"
)

// kept is how many messages each channel keeps.
const kept = 20_000

// limits of connections, which clients here do not run into.
const limits = `limits: {connection: {messages_per_second: 100000, messages_burst: 100000}}`

const configuration = `
auth:
  jwt: {secret: env:JWT_SECRET, algorithm: HS256}
  keys: [env:API_KEY]
heartbeat: {ping: 2s, timeout: 2s}
` + limits + `
channels:
  - name: log:{n}
    history: {messages: %d}
    buffer: {messages: 64, bytes: 65536}
    allow: {subscribe: signed_in, publish: signed_in, history: signed_in}
`

// server is a ringdown process that is started again on the same address.
type server struct {
	t    *testing.T
	name string
	addr string
	file string
	args []string
	more string // of its configuration
	env  []string
	log  program.Output

	mu      sync.Mutex
	process *program.Process // nil: never started
	told    sync.WaitGroup   // of its end
}

// newServer prepares a process; more is added to its configuration.
func newServer(t *testing.T, name, more string, args ...string) *server {
	s := &server{t: t, name: name, addr: program.FreeAddress(t), file: filepath.Join(t.TempDir(), "ringdown.yaml"), args: args, more: more}
	s.configure(fmt.Sprintf(configuration, kept) + more)
	t.Cleanup(func() {
		if s.running() != nil {
			s.signal(syscall.SIGCONT)
			s.terminate()
		}
		s.told.Wait()
		if strings.Contains(s.log.String(), "panic") || strings.Contains(s.log.String(), "fatal error") {
			t.Errorf("a panic of %s\n%s", s.name, s.log.Tail())
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", s.name, s.log.Tail())
		}
	})
	return s
}

// configure writes the configuration file. Where it names no store, messages are
// kept in memory.
func (s *server) configure(text string) {
	if !strings.Contains(text, "store:") && !strings.Contains(text, "broker:") {
		text += "store: {memory: true}\n"
	}
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start starts the process and waits until it answers. Any goroutine.
func (s *server) start() {
	args := append([]string{"serve", "--config", s.file, "--listen", s.addr, "--grace", "10s", "--drain-window", "1s"}, s.args...)
	p, err := program.Start(&s.log, append(s.env, "JWT_SECRET="+jwtSecret, "API_KEY="+apiKey), args...)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	s.told.Go(func() {
		if err := p.Err(); !p.Asked() {
			s.t.Errorf("%s ended by itself: %v\n%s", s.name, err, s.log.Tail())
		}
	})
	if err := p.Await("http://" + s.addr + "/readyz"); err != nil {
		s.t.Errorf("%s: %v\n%s", s.name, err, s.log.Tail())
	}
}

// running returns the process if there is one.
func (s *server) running() *program.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	select {
	case <-s.process.Exited():
		return nil
	default:
		return s.process
	}
}

func (s *server) current() *program.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

func (s *server) signal(sig syscall.Signal) { s.current().Signal(sig) }

func (s *server) kill() { s.current().Kill() }

// terminate asks the process to end and waits for it.
func (s *server) terminate() {
	if err := s.current().Terminate(20 * time.Second); err != nil {
		s.t.Errorf("%s: %v\n%s", s.name, err, s.log.Tail())
	}
}
