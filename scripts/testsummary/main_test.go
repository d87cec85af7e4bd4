package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tests is a package whose tests end in every way there is.
const tests = `package tried
import ("fmt"; "os"; "testing")
func TestPasses(t *testing.T) {}
func TestSkips(t *testing.T) { t.Skip("the moon is full") }
func TestFails(t *testing.T) { t.Run("within", func(t *testing.T) { t.Error("always") }) }
func TestUnsteady(t *testing.T) {
	if _, err := os.Stat("seen"); err != nil { os.WriteFile("seen", nil, 0o600); t.Error("the first time") }
}
func TestFound(t *testing.T) {
	if os.Getenv("FOUND") == "" { return }
	if _, err := os.Stat("seen"); err != nil { os.WriteFile("seen", nil, 0o600); t.Error("judge it again with: x") }
}
func TestDies(t *testing.T) {
	if os.Getenv("DIES") != "" { fmt.Println("last words"); os.Exit(3) }
}
func TestDetector(t *testing.T) {
	if _, err := os.Stat("seen"); err != nil { os.WriteFile("seen", nil, 0o600); fmt.Print("SIGSEGV: segmentation violation\nPC=0x41c729 m=3\n"); os.Exit(2) }
}
func TestLast(t *testing.T) {}
`

// TestSummary runs go test on that package, as make does.
func TestSummary(t *testing.T) {
	for _, c := range []struct {
		name, run string
		env       []string
		ok        bool
		want      []string
	}{
		{"well", "Passes|Skips", nil, true, []string{"TestSkips: the moon is full", "1 passed, 0 failed, 1 skipped"}},
		{"fails", "Passes|Fails", nil, false, []string{"TestFails/within", "always", "and again", "1 passed, 2 failed, 0 skipped"}},
		{"unsteady", "Passes|Unsteady", nil, true, []string{"unsteady", "TestUnsteady", "the first time", "2 passed, 0 failed, 0 skipped"}},
		{"found", "Passes|Found", []string{"FOUND=1"}, false, []string{"judge it again", "1 passed, 1 failed, 0 skipped"}},
		{"dies", "Passes|Dies", []string{"DIES=1"}, false, []string{"TestDies", "last words", "1 passed, 1 failed, 0 skipped"}},
		{"detector", "Passes|Detector|Last", nil, true, []string{"unsteady", "TestDetector", "3 passed, 0 failed, 0 skipped"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"go.mod": "module tried\n\ngo 1.26\n", "tried_test.go": tests} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Chdir(dir)
			for _, e := range c.env {
				name, value, _ := strings.Cut(e, "=")
				t.Setenv(name, value)
			}
			out, _ := exec.Command("go", "test", "-json", "-run", c.run, ".").Output()
			s := newSummary()
			s.read(strings.NewReader(string(out)))
			s.again([]string{"go", "test", "-count=1", "-json", "-run", c.run})
			var b strings.Builder
			if ok := s.print(&b); ok != c.ok {
				t.Errorf("all is well: %v", ok)
			}
			for _, w := range c.want {
				if !strings.Contains(b.String(), w) {
					t.Errorf("nothing of %q in\n%s", w, b.String())
				}
			}
		})
	}
}
