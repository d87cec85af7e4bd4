package cli

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringdown/internal/store"
	"ringdown/protocol"
)

// told runs the command line and returns what it said, both ways, and the code.
func told(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	code := Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	return out.String(), code
}

type ignore chan error

func (i ignore) Appended(_ *store.Append, _ store.Result, err error) { i <- err }

func fill(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	done := make(ignore, 3)
	for range 3 {
		s.Append(&store.Append{Log: "chat:1", Keep: &store.Keep{}, Done: done, Message: &protocol.Message{Type: "e", Channel: "chat:1", Data: []byte("1")}})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStoreCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, what := range []string{"inspect", "verify"} {
		if out, code := told(t, "store", what, dir); code != 1 || !strings.Contains(out, "there is no store") {
			t.Errorf("%s of nothing: %d, %s", what, code, out)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking at a store made one")
	}
	fill(t, dir)
	if out, code := told(t, "store", "inspect", dir, "--channels"); code != 0 || !strings.Contains(out, "chat:1") || !strings.Contains(out, "channels  1") || !strings.Contains(out, "ended     closed") {
		t.Errorf("inspect: %d, %s", code, out)
	}
	if out, code := told(t, "store", "verify", dir); code != 0 || !strings.Contains(out, "all is well: 3 messages") {
		t.Errorf("verify: %d, %s", code, out)
	}
	backup := filepath.Join(filepath.Dir(dir), "monday")
	if out, code := told(t, "store", "backup", dir, backup); code != 0 || !strings.Contains(out, "copied 1 channel with 3 messages") {
		t.Errorf("backup: %d, %s", code, out)
	}
	if out, code := told(t, "store", "backup", dir, backup); code != 1 || !strings.Contains(out, "there already") {
		t.Errorf("backup over a backup: %d, %s", code, out)
	}
	if out, code := told(t, "store", "verify", backup); code != 0 {
		t.Errorf("verify of the backup: %d, %s", code, out)
	}
}

// TestStoreVerifyFinds: damage is told and in the exit code.
func TestStoreVerifyFinds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	fill(t, dir)
	tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	data, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	data[10] ^= 1
	if err := os.WriteFile(tables[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := told(t, "store", "verify", dir); code != 1 || !strings.Contains(out, "damage:") {
		t.Errorf("%d, %s", code, out)
	}
}

func TestStoreUsage(t *testing.T) {
	for _, args := range [][]string{{"store"}, {"store", "--help"}, {"store", "verify", "--help"}, {"store", "backup", "--help"}, {"store", "inspect", "--help"}} {
		if out, code := told(t, args...); code != 0 || !strings.Contains(out, "Examples:") {
			t.Errorf("%v: %d, %s", args, code, out)
		}
	}
	if _, code := told(t, "store", "verify"); code == 0 {
		t.Error("verify without a directory was taken")
	}
}
