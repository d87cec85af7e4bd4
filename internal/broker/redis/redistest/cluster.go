package redistest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Cluster starts a Redis Cluster of three primaries.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("redis-cli is not installed")
	}
	var list []*Server
	args := []string{"--cluster", "create"}
	for range 3 {
		// The bus has a port of its own, ten thousand up by default, which may not exist.
		s := Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000", "--cluster-port", fmt.Sprint(freePort(t)))
		list = append(list, s)
		args = append(args, s.Address)
	}
	out, err := exec.Command("redis-cli", append(args, "--cluster-replicas", "0", "--cluster-yes")...).CombinedOutput() //nolint:gosec // a test's own program
	if err != nil {
		t.Fatalf("redis-cli: %v: %s", err, out)
	}
	for _, s := range list {
		Await(t, 15*time.Second, "a cluster that works", func() bool { return strings.Contains(s.Do("CLUSTER", "INFO"), "cluster_state:ok") })
	}
	return list
}
