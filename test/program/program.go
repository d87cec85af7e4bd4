// Package program runs ringdown as a process of its own, for tests that break it,
// that look at what it costs, or that use it as a user does.
package program

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// path is what Build has built.
var path string

// Build builds the program that Start runs, into a folder. It is without the race
// detector: memory and time are what some tests look at. RINGDOWN_BINARY names one
// that was built already, so that a test can be seen to fail on other code.
func Build(dir string) error {
	if path = os.Getenv("RINGDOWN_BINARY"); path != "" {
		return nil
	}
	path = filepath.Join(dir, "ringdown")
	if out, err := exec.Command("go", "build", "-o", path, "ringdown/cmd/ringdown").CombinedOutput(); err != nil {
		return fmt.Errorf("building the server: %w\n%s", err, out)
	}
	return nil
}

// Path is where the program is that Build has built.
func Path() string { return path }

// Main builds the program, runs the tests of a package and, if they pass, what is
// to be looked at after them; nil: nothing. It returns the code to exit with.
func Main(m *testing.M, after func() error) (code int) {
	err := func() (err error) {
		dir, err := os.MkdirTemp("", "ringdown-test-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if err := Build(dir); err != nil {
			return err
		}
		if code = m.Run(); code == 0 && after != nil {
			return after()
		}
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Process is one run of the program. Its methods may be called from any goroutine.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of the exit, once exited is closed

	mu    sync.Mutex
	asked bool
}

// Start runs the program. What it says goes to said; env is added to the
// environment of the test.
func Start(said *Output, env []string, args ...string) (*Process, error) {
	return start(said, env, exec.Command(path, args...))
}

// StartWithin is Start with at most so many open files.
func StartWithin(files int, said *Output, env []string, args ...string) (*Process, error) {
	line := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files)
	return start(said, env, exec.Command("sh", append([]string{"-c", line, path}, args...)...))
}

func start(said *Output, env []string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = said, said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err says how the process ended; it waits for that.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// Asked reports whether the process was told to end.
func (p *Process) Asked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Signal sends a signal, which is lost on a process that has ended.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	p.asked = p.asked || sig == syscall.SIGKILL || sig == syscall.SIGTERM
	p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
}

// Kill ends the process as a power failure would, but for the disk's cache.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.exited
}

// Terminate asks the process to end, as a service manager does, and fails if it
// ends with an error or not in time; then it is killed.
func (p *Process) Terminate(limit time.Duration) error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return p.err
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("did not end within %v", limit)
	}
}

// Await waits until an address of the process answers 200, for half a minute at
// the most.
func (p *Process) Await(url string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		last = err
		select {
		case <-p.exited:
			return fmt.Errorf("ended: %w", errors.Join(p.err, last))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("not ready: %w", last)
}

// FreeAddress returns an address on loopback that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Output collects what a process says. Its zero value is ready.
type Output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed at the next write; nil: nobody waits
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.buf.Write(p)
}

// String returns all that was said.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Tail returns the end of it.
func (o *Output) Tail() string {
	s := o.String()
	return s[max(0, len(s)-4000):]
}

// More is closed when something more is said.
func (o *Output) More() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.more
}
