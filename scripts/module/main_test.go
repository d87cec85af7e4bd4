package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRename: a copy of this module is one by another path, of which every
// import is found.
func TestRename(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// What belongs to the module: the Go files, the modules, and what is embedded.
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(name, ".") || name == "bin" || name == "dist" || name == "reports" || name == "node_modules" || strings.HasSuffix(name, "-data")) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(dir, rel), 0o700)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	const now = "example.com/somebody/ringdown"
	if err := rename(dir, now); err != nil {
		t.Fatal(err)
	}
	list := func(in string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
		cmd.Dir = in
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go list %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	// Test files too: what they import is among their dependencies.
	all := strings.Fields(list(dir, "-test", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./..."))
	found := 0
	for _, path := range all {
		if path == "ringdown" || strings.HasPrefix(path, "ringdown/") {
			t.Errorf("%s is imported by its old path", path)
		}
		if strings.HasPrefix(path, now) {
			found++
		}
	}
	if found < 50 {
		t.Errorf("only %d packages have the new path", found)
	}
	if got := list(filepath.Join(dir, "bench"), "-m"); strings.TrimSpace(got) != now+"/bench" {
		t.Errorf("the module beside it is %s", got)
	}
	if err := rename(dir, "no path"); err == nil {
		t.Error("a path with a blank was taken")
	}
}
