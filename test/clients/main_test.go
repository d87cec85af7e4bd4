package clients

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/test/program"
)

func TestMain(m *testing.M) {
	os.Exit(program.Main(m, func() error { return goleak.Find() }))
}

// The steps of a program: see docs/testing.md.
var (
	socket = []string{"order", "resume", "4001", "4005", "4200"}
	stream = []string{"order", "quiet", "resume", "401", "end"}
)

// library is one client library.
type library struct {
	name  string
	steps []string
}

// kind is the libraries of a language. install returns the command that runs the
// program of the language with the library's name as the last argument, and skips
// the test if that cannot be.
type kind struct {
	language  string
	install   func(t *testing.T) []string
	libraries []library
}

var kinds = []kind{
	{"node", node, []library{
		{"ws", socket}, {"undici", socket}, {"websocket", socket}, {"reconnecting-websocket", socket},
		{"eventsource", stream}, {"event-source-polyfill", stream}, {"fetch-event-source", stream},
	}},
	{"python", python, []library{
		{"websockets", socket}, {"websocket-client", socket}, {"aiohttp", socket},
		{"httpx-sse", stream}, {"sseclient-py", stream},
	}},
	{"go", golang, []library{
		{"gorilla", socket}, {"coder", socket}, {"gobwas", socket}, {"gws", socket},
		{"r3labs", stream}, {"tmaxmax", stream},
	}},
	{"java", java, []library{
		{"java.net.http", socket}, {"okhttp", socket},
		{"okhttp-sse", stream},
	}},
}

// TestLibraries runs each library against a server of its own. Two run at a time:
// they wait more than they work.
func TestLibraries(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.language, func(t *testing.T) {
			command := k.install(t)
			for _, l := range k.libraries {
				t.Run(l.name, func(t *testing.T) {
					t.Parallel()
					run(t, append(slices.Clone(command), l.name), l.steps)
				})
			}
		})
	}
}

// run runs a program and takes its word for each of the steps.
func run(t *testing.T, command, steps []string) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "BASE="+s.base(), "CONTROL="+s.control.URL, "TOKEN="+token(t), "API_KEY="+key)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, w := io.Pipe()
	var said program.Output
	cmd.Stdout, cmd.Stderr = w, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait(); w.Close() }()
	right := map[string]bool{}
	for in := bufio.NewScanner(out); in.Scan(); {
		fmt.Fprintln(&said, in.Text())
		word, rest, _ := strings.Cut(in.Text(), " ")
		switch step, _, _ := strings.Cut(rest, ":"); word {
		case "ok":
			right[step] = true
		case "FAIL":
			t.Error(rest)
		}
	}
	err := <-done
	for _, step := range steps {
		if !right[step] && !t.Failed() {
			t.Errorf("nothing was said of the step %q", step)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("%v: %v\n%s\nthe server said:\n%s", command, err, said.Tail(), s.said.Tail())
	}
}
