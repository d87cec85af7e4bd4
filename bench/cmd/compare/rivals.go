package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// rival is a server that takes part, Ringdown included.
type rival struct {
	name    string
	dialect string
	// build makes the server in folder source ready, with what it compiles going to
	// dir, and returns the whole command line that runs it on anyPort.
	build func(ctx context.Context, source, dir string) (argv []string, err error)
}

// anyPort is where every server is told to listen: it picks a free port and says which.
const anyPort = "127.0.0.1:0"

// rivals are in the order of the table's columns.
var rivals = []rival{
	{"floor", "raw", buildC},
	{"ringdown", "ringdown", buildGo},
	{"gws", "raw", buildGo},
	{"centrifuge", "centrifuge", buildGo},
	{"ws-npm", "raw", buildNode},
}

// server is a rival that has been built.
type server struct {
	rival
	argv []string
}

func rivalNames() []string {
	var names []string
	for _, r := range rivals {
		names = append(names, r.name)
	}
	return names
}

func chooseRivals(list string) ([]rival, error) {
	want, err := chosen(list, rivalNames())
	if err != nil {
		return nil, fmt.Errorf("-servers: %w", err)
	}
	var out []rival
	for _, r := range rivals {
		if want[r.name] {
			out = append(out, r)
		}
	}
	return out, nil
}

func build(ctx context.Context, rivals []rival, dir string) ([]server, error) {
	module, err := moduleDir()
	if err != nil {
		return nil, err
	}
	var servers []server
	for _, r := range rivals {
		fmt.Fprintln(os.Stderr, "building", r.name)
		argv, err := r.build(ctx, filepath.Join(module, "servers", r.name), dir)
		if err != nil {
			return nil, fmt.Errorf("building %s: %w", r.name, err)
		}
		servers = append(servers, server{r, argv})
	}
	return servers, nil
}

// before is Ringdown as it is in another checkout, so that a change is weighed
// against what was there before it, in the same run.
func before(checkout string) rival {
	return rival{"before", "ringdown", func(ctx context.Context, _, dir string) ([]string, error) {
		binary := filepath.Join(dir, "before")
		return []string{binary, "-addr", anyPort}, command(ctx, filepath.Join(checkout, "bench", "servers", "ringdown"), "go", "build", "-o", binary, ".")
	}}
}

func buildGo(ctx context.Context, source, dir string) ([]string, error) {
	binary := filepath.Join(dir, filepath.Base(source))
	return []string{binary, "-addr", anyPort}, command(ctx, source, "go", "build", "-o", binary, ".")
}

func buildC(ctx context.Context, source, dir string) ([]string, error) {
	name := filepath.Base(source)
	binary := filepath.Join(dir, name)
	return []string{binary, anyPort}, command(ctx, source, "cc", "-O2", "-o", binary, name+".c")
}

func buildNode(ctx context.Context, source, _ string) ([]string, error) {
	argv := []string{"node", "--expose-gc", filepath.Join(source, "server.js"), anyPort}
	if _, err := os.Stat(filepath.Join(source, "node_modules", "ws")); err == nil {
		return argv, nil
	}
	return argv, command(ctx, source, "npm", "ci", "--no-audit", "--no-fund")
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
