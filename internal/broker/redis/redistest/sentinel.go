package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Watched is a primary with replicas that Sentinels watch under the name "m".
type Watched struct {
	Servers   []*Server // the first is the primary at the beginning
	Sentinels []*Server
}

// Watch starts a primary with two replicas and three Sentinels, who take a
// primary for dead after half a second.
func Watch(t testing.TB) *Watched {
	t.Helper()
	w := &Watched{}
	primary := Start(t)
	w.Servers = append(w.Servers, primary)
	for range 2 {
		w.Servers = append(w.Servers, Start(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", primary.Port)))
	}
	for _, r := range w.Servers[1:] {
		Await(t, 10*time.Second, "replicating", func() bool { return strings.Contains(r.Do("INFO", "replication"), "master_link_status:up") })
	}
	for range 3 {
		s := prepare(t, "redis-sentinel")
		conf := filepath.Join(s.Dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor m 127.0.0.1 %d 2\nsentinel down-after-milliseconds m 500\nsentinel failover-timeout m 1000\n",
			s.Port, s.Dir, primary.Port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.run(exec.Command(s.program, conf)) //nolint:gosec // a test's own program
		w.Sentinels = append(w.Sentinels, s)
	}
	for _, s := range w.Sentinels {
		Await(t, 15*time.Second, "Sentinels that know each other and the replicas", func() bool {
			info := s.Do("INFO", "sentinel")
			return strings.Contains(info, "slaves=2") && strings.Contains(info, "sentinels=3")
		})
	}
	return w
}

// Addresses are those of the Sentinels.
func (w *Watched) Addresses() []string {
	list := make([]string, len(w.Sentinels))
	for i, s := range w.Sentinels {
		list[i] = s.Address
	}
	return list
}

// Stop stops the server's process, so that it answers nobody and holds its
// connections; Continue lets it go on.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP); s.asleep = true }

// Continue is the end of Stop.
func (s *Server) Continue() { s.signal(syscall.SIGCONT); s.asleep = false }

// answers reports whether the server runs.
func (s *Server) answers() bool { return s.process != nil && !s.asleep }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}
