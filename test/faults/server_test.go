package faults

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	jwtSecret = "faults-secret-of-more-than-thirty-two-bytes"
	apiKey    = "faults-key-of-more-than-sixteen-bytes"
)

// kept is how many messages each channel keeps.
const kept = 20_000

const configuration = `
auth:
  jwt: {secret: env:JWT_SECRET, algorithm: HS256}
  keys: [env:API_KEY]
heartbeat: {ping: 2s, timeout: 2s}
limits: {messages_per_second: 100000, messages_burst: 100000}
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
	log  logBuffer

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	state  error // of the exit, once exited is closed
	ending bool  // it was told to end
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newServer prepares a process; more is added to its configuration.
func newServer(t *testing.T, name, more string, args ...string) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{t: t, name: name, addr: l.Addr().String(), file: filepath.Join(t.TempDir(), "ringdown.yaml"), args: args, more: more}
	s.configure(fmt.Sprintf(configuration, kept) + more)
	t.Cleanup(func() {
		if s.running() {
			s.signal(syscall.SIGCONT)
			s.terminate()
		}
		if strings.Contains(s.log.String(), "panic") || strings.Contains(s.log.String(), "fatal error") {
			t.Errorf("a panic of %s\n%s", s.name, tail(s.log.String()))
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", s.name, tail(s.log.String()))
		}
	})
	return s
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

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
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "JWT_SECRET="+jwtSecret, "API_KEY="+apiKey)
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	exited := make(chan struct{})
	s.mu.Lock()
	s.cmd, s.exited, s.ending = cmd, exited, false
	s.mu.Unlock()
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		s.state = err
		unasked := !s.ending
		s.mu.Unlock()
		if unasked {
			s.t.Errorf("%s ended by itself: %v\n%s", s.name, err, tail(s.log.String()))
		}
		close(exited)
	}()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + s.addr + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			http.DefaultClient.CloseIdleConnections()
			return
		}
	}
	s.t.Errorf("%s is not ready after 30 s\n%s", s.name, tail(s.log.String()))
}

func (s *server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sig == syscall.SIGKILL || sig == syscall.SIGTERM {
		s.ending = true
	}
	_ = s.cmd.Process.Signal(sig)
}

// kill ends the process as a power failure would, but for the disk's cache.
func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// terminate asks the process to end and waits for it.
func (s *server) terminate() {
	s.signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.state != nil {
			s.t.Errorf("%s ended with %v\n%s", s.name, s.state, tail(s.log.String()))
		}
	case <-time.After(20 * time.Second):
		s.t.Errorf("%s did not end within 20 s\n%s", s.name, tail(s.log.String()))
		s.kill()
	}
}
