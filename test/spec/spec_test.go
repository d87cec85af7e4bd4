package spec

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// adapters are the clients of this project, by the command that starts each.
var adapters = map[string]func(t *testing.T) []string{
	"go":         goClient,
	"python":     python,
	"typescript": typescript,
	"typescript as a tab": func(t *testing.T) []string {
		return append([]string{"env", "RINGDOWN_SHARED=1"}, typescript(t)...)
	},
}

// TestCases plays every case with every client.
func TestCases(t *testing.T) {
	for name, start := range adapters {
		t.Run(name, func(t *testing.T) { playAll(t, start(t)) })
	}
}

// TestAdapter plays them with a client of somebody else's: RINGDOWN_ADAPTER is the
// command that starts its adapter.
func TestAdapter(t *testing.T) {
	command := os.Getenv("RINGDOWN_ADAPTER")
	if command == "" {
		t.Skip("RINGDOWN_ADAPTER names no adapter: this is for clients that are not of this project")
	}
	playAll(t, strings.Fields(command))
}

func playAll(t *testing.T, command []string) {
	cases, err := Load("../../spec/client")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.File+"/"+strings.ReplaceAll(c.Name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			err := Play(&c, command)
			if errors.Is(err, ErrLacks) {
				return // as the adapter says itself
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// goClient builds the tests of client, one of which is its adapter.
func goClient(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "adapter")
	run(t, "../..", "go", "test", "-c", "-o", path, "./client")
	return []string{"env", "RINGDOWN_ADAPT=1", path, "-test.run=^TestAdapter$"}
}

// python makes the environment of sdk/python.
func python(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	out, err := exec.Command("../../sdk/python/check.sh", "--environment").Output()
	if err != nil {
		t.Fatalf("making the environment of sdk/python: %v", err)
	}
	return []string{strings.TrimSpace(string(out)), "sdk/python/adapter/adapter.py"}
}

// typescript builds sdk/typescript, with what it needs.
func typescript(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	run(t, "../..", "sdk/typescript/build.sh")
	return []string{"node", "sdk/typescript/adapter/adapter.mjs"}
}

func run(t *testing.T, dir string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}
