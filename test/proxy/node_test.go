package proxy

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

	"go.uber.org/goleak"
)

const (
	secret = "a-secret-of-at-least-thirty-two-bytes!"
	key    = "a-key-of-sixteen-bytes-or-more"
	// patience is after how much silence the proxies hang up; the nodes say
	// something each second.
	patience = 3 * time.Second
)

// server is the built program.
var server string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "ringdown-proxy-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server = filepath.Join(dir, "ringdown")
	if out, err := exec.Command("go", "build", "-o", server, "ringdown/cmd/ringdown").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the server: %w\n%s", err, out)
	}
	if code = m.Run(); code == 0 {
		err = goleak.Find()
	}
	return code, err
}

// node is a server, run as a user runs it: with the configuration file of
// docs/transports.md.
type node struct {
	t    *testing.T
	addr string
	file string
	said output
	cmd  *exec.Cmd
}

// output collects what a process says; it says it from another goroutine.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// newNode starts a node on a port of its own that shares a Redis with others.
func newNode(t *testing.T, redis string) *node {
	t.Helper()
	n := &node{t: t, addr: freeAddress(t), file: filepath.Join(t.TempDir(), "ringdown.yaml")}
	conf := snippet(t, "yaml", "redis.internal:6379", redis, ":8000", n.addr)
	write(t, n.file, conf+"heartbeat: {ping: 1s}\nsse: {heartbeat: 1s}\nlimits: {messages_per_second: 10000, messages_burst: 10000}\n")
	n.start()
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("the node said:\n%s", n.said.String())
		}
	})
	return n
}

// start begins the process and waits until it is ready.
func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.Command(server, "serve", "--config", n.file, "--drain-window", "500ms")
	n.cmd.Env = append(os.Environ(), "RINGDOWN_JWT_SECRET="+secret, "RINGDOWN_API_KEY="+key)
	n.cmd.Stdout, n.cmd.Stderr = &n.said, &n.said
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := web.Get("http://" + n.addr + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the node is not ready: %v\n%s", err, n.said.String())
		}
	}
}

// stop ends the process as a service manager would, and waits for it.
func (n *node) stop() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		n.t.Errorf("the node ended with %v", err)
	}
	n.cmd = nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
