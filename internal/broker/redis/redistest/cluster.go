package redistest

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is a Redis Cluster whose servers take each other for dead after a
// second.
type Cluster struct {
	Servers []*Server // three primaries first, then a replica of each, in any order

	t testing.TB
}

// StartCluster starts a Redis Cluster of three primaries with one replica each.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("redis-cli is not installed")
	}
	c := &Cluster{t: t}
	args := []string{"--cluster", "create"}
	for range 6 {
		// The bus has a port of its own, ten thousand up by default, which may not exist.
		s := Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000", "--cluster-port", fmt.Sprint(freePort(t)))
		c.Servers = append(c.Servers, s)
		args = append(args, s.Address)
	}
	out, err := exec.Command("redis-cli", append(args, "--cluster-replicas", "1", "--cluster-yes")...).CombinedOutput() //nolint:gosec // a test's own program
	if err != nil {
		t.Fatalf("redis-cli: %v: %s", err, out)
	}
	c.AwaitWhole()
	return c
}

// Addresses are those of all servers.
func (c *Cluster) Addresses() []string {
	list := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		list[i] = s.Address
	}
	return list
}

// AwaitWhole waits until every server says that the cluster works and knows three
// replicas, and these have what their primaries have.
func (c *Cluster) AwaitWhole() {
	c.t.Helper()
	Await(c.t, 30*time.Second, "a cluster that works", func() bool {
		linked := 0
		for _, s := range c.Servers {
			state, err := s.Try("CLUSTER", "INFO")
			info, err2 := s.Try("INFO", "replication")
			if err != nil || err2 != nil || !strings.Contains(state, "cluster_state:ok") {
				return false
			}
			replicas := 0
			for _, p := range s.peers() {
				if p.primary != "" && !p.failed {
					replicas++
				}
			}
			if replicas != len(c.Servers)-3 {
				return false
			}
			if strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up") {
				linked++
			}
		}
		return linked == len(c.Servers)-3
	})
}

// peer is a server as another one knows it.
type peer struct {
	id, address, primary string // primary is the id of that of a replica
	failed               bool
	slots                [][2]int
}

// peers returns what s knows of all servers.
func (s *Server) peers() (list []peer) {
	s.t.Helper()
	for line := range strings.Lines(s.Do("CLUSTER", "NODES")) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		address, _, _ := strings.Cut(f[1], "@")
		p := peer{id: f[0], address: address, failed: strings.Contains(f[2], "fail")}
		if strings.Contains(f[2], "slave") {
			p.primary = f[3]
		}
		for _, run := range f[8:] {
			from, to, ok := strings.Cut(run, "-")
			if !ok {
				to = from
			}
			first, err1 := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			if err1 == nil && err2 == nil { // the others are on the move
				p.slots = append(p.slots, [2]int{first, last})
			}
		}
		list = append(list, p)
	}
	return list
}

// running returns some server that runs.
func (c *Cluster) running() *Server {
	c.t.Helper()
	for _, s := range c.Servers {
		if s.answers() {
			return s
		}
	}
	c.t.Fatal("no server of the cluster runs")
	return nil
}

func (c *Cluster) server(address string) *Server {
	for _, s := range c.Servers {
		if s.Address == address {
			return s
		}
	}
	return nil
}

// Slot returns the slot of a key.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	slot, err := strconv.Atoi(strings.TrimPrefix(c.running().Do("CLUSTER", "KEYSLOT", key), ":"))
	if err != nil {
		c.t.Fatal(err)
	}
	return slot
}

// Primaries returns the primaries that are alive.
func (c *Cluster) Primaries() (list []*Server) {
	c.t.Helper()
	for _, p := range c.running().peers() {
		if s := c.server(p.address); s != nil && p.primary == "" && !p.failed && s.answers() {
			list = append(list, s)
		}
	}
	return list
}

// Owner returns the primary of a slot, and its replica if that runs.
func (c *Cluster) Owner(slot int) (primary, replica *Server) {
	c.t.Helper()
	all := c.running().peers()
	for _, p := range all {
		for _, run := range p.slots {
			if slot < run[0] || slot > run[1] {
				continue
			}
			for _, r := range all {
				if s := c.server(r.address); s != nil && r.primary == p.id && s.answers() {
					replica = s
				}
			}
			return c.server(p.address), replica
		}
	}
	c.t.Fatalf("slot %d is nobody's", slot)
	return nil, nil
}

// Move moves a slot to another primary while it is used, as redis-cli does: ten
// keys at a time, here with a pause after each.
func (c *Cluster) Move(slot int, to *Server, pause time.Duration) {
	c.t.Helper()
	from, _ := c.Owner(slot)
	if from == to {
		return
	}
	n, id := strconv.Itoa(slot), to.Do("CLUSTER", "MYID")
	to.Do("CLUSTER", "SETSLOT", n, "IMPORTING", from.Do("CLUSTER", "MYID"))
	from.Do("CLUSTER", "SETSLOT", n, "MIGRATING", id)
	for {
		keys := from.List("CLUSTER", "GETKEYSINSLOT", n, "10")
		if len(keys) == 0 {
			break
		}
		from.Do(append([]string{"MIGRATE", "127.0.0.1", strconv.Itoa(to.Port), "", "0", "5000", "KEYS"}, keys...)...)
		time.Sleep(pause)
	}
	to.Do("CLUSTER", "SETSLOT", n, "NODE", id)
	from.Do("CLUSTER", "SETSLOT", n, "NODE", id)
	for _, s := range c.Primaries() { // the others would hear of it within a second
		s.Do("CLUSTER", "SETSLOT", n, "NODE", id)
	}
}
