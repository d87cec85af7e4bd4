package proxy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/test/program"
)

const (
	secret = "a-secret-of-at-least-thirty-two-bytes!"
	key    = "a-key-of-sixteen-bytes-or-more"
	// patience is after how much silence the proxies hang up; the nodes say
	// something each second.
	patience = 3 * time.Second
)

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, func() error { return goleak.Find() }))
}

// node is a server, run as a user runs it: with the configuration file of
// docs/transports.md.
type node struct {
	t    *testing.T
	addr string
	file string
	said program.Output
	run  *program.Process // nil: stopped
}

// newNode starts a node on a port of its own that shares a Redis with others.
func newNode(t *testing.T, redis string) *node {
	t.Helper()
	n := &node{t: t, addr: program.FreeAddress(t), file: filepath.Join(t.TempDir(), "ringdown.yaml")}
	conf := snippet(t, "yaml", "redis.internal:6379", redis, ":8000", n.addr, "10.0.0.0/24", "127.0.0.1")
	write(t, n.file, conf+"heartbeat: {ping: 1s}\nsse: {heartbeat: 1s}\nlimits: {connection: {messages_per_second: 10000, messages_burst: 10000}}\n")
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
	p, err := program.Start(&n.said, []string{"RINGDOWN_JWT_SECRET=" + secret, "RINGDOWN_API_KEY=" + key},
		"serve", "--config", n.file, "--drain-window", "500ms")
	if err != nil {
		n.t.Fatal(err)
	}
	n.run = p
	if err := p.Await("http://" + n.addr + "/readyz"); err != nil {
		n.t.Fatalf("the node: %v\n%s", err, n.said.String())
	}
}

// stop ends the process as a service manager would, and waits for it.
func (n *node) stop() {
	if n.run == nil {
		return
	}
	if err := n.run.Terminate(time.Minute); err != nil {
		n.t.Errorf("the node: %v", err)
	}
	n.run = nil
}
