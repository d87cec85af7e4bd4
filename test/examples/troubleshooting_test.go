package examples

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"ringdown/test/program"
)

// TestTroubleshooting: each command of docs/troubleshooting.md prints what the page says
// that it prints.
func TestTroubleshooting(t *testing.T) {
	s := serve(t, "troubleshooting.md")
	commands := regexp.MustCompile(`(?m)^    \$ (.*)\n((?:    [^$\n].*\n)+)`).FindAllStringSubmatch(page(t, "troubleshooting.md"), -1)
	if len(commands) < 6 {
		t.Fatalf("the page has %d commands", len(commands))
	}
	at := strings.NewReplacer("127.0.0.1:8000", s.addr, "ringdown check FILE", program.Path()+" check "+s.file)
	for _, c := range commands {
		cmd := exec.Command("sh", "-c", at.Replace(c[1]))
		cmd.Env = append(os.Environ(), "RINGDOWN_API_KEY="+apiKey, "RINGDOWN_JWT_SECRET="+secret)
		out, _ := cmd.CombinedOutput() // a refusal may be its exit code
		for line := range strings.Lines(c[2]) {
			if want := strings.TrimSpace(line); !strings.Contains(string(out), want) {
				t.Errorf("%s\nprints\n%s\nand the page has %q", c[1], out, want)
			}
		}
	}
}
