package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard is what a server says, for a test to wait for.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

var listens = regexp.MustCompile(`url=ws://([0-9.:]+)/v1/ws`)

// serving runs a line of the README that serves, on a port that is free, and
// returns where.
func serving(t *testing.T, line string) (address string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var said heard
	ended := make(chan int, 1)
	args := append(shellWord.FindAllString(line, -1), "--listen", "127.0.0.1:0")
	go func() { ended <- Main(ctx, args, Streams{In: strings.NewReader(""), Out: &said, Err: &said}) }()
	stop = func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("%s ended with %d:\n%s", line, code, &said)
		}
	}
	deadline := time.After(20 * time.Second)
	for {
		if m := listens.FindStringSubmatch(said.String()); m != nil {
			return m[1], stop
		}
		select {
		case code := <-ended:
			cancel()
			t.Fatalf("%s ended with %d:\n%s", line, code, &said)
		case <-deadline:
			cancel()
			t.Fatalf("%s does not listen:\n%s", line, &said)
		case <-time.After(10 * time.Millisecond): // the log has no other sign
		}
	}
}

// TestReadme runs the lines of the README, in order. The page in it is run by a
// browser, in test/browser.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, file, _ := strings.Cut(string(text), "```yaml\n")
	file, _, ok := strings.Cut(file, "```")
	if !ok {
		t.Fatal("the configuration is gone")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("ringdown.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RINGDOWN_TOKEN", "")
	t.Setenv("RINGDOWN_API_KEY", "a-key-of-at-least-sixteen-bytes")
	t.Setenv("RINGDOWN_JWT_SECRET", "a-secret-of-at-least-thirty-two-bytes!")
	joined := strings.ReplaceAll(string(text), "\\\n", " ")
	ran := map[string]int{}
	address, stop := "", func() {}
	for _, m := range regexp.MustCompile(`(?m)^    (bin/ringdown|curl) (.*?)(?: +# .*)?$`).FindAllStringSubmatch(joined, -1) {
		program, line := m[1], m[2]
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case program == "curl":
			verb = "curl"
			out, err := exec.CommandContext(t.Context(), "sh", "-c", "curl -sS --fail "+strings.ReplaceAll(line, "127.0.0.1:8000", address)).CombinedOutput()
			if err != nil || !strings.Contains(string(out), `"offset":1`) {
				t.Errorf("curl %s: %v %s", line, err, out)
			}
		case verb == "serve":
			stop()
			address, stop = serving(t, line)
		case verb == "demo":
			// It is served and looked at in test/browser.
		case verb == "pub":
			run(t, session{line: line + " --url http://" + address, out: `"offset":2`}, strings.NewReplacer())
		default:
			run(t, session{line: line, out: `^(ringdown.yaml is good: 2 channels|yes:   ann may subscribe to chat:lobby)`}, strings.NewReplacer())
		}
		ran[verb]++
	}
	stop()
	if ran["serve"] != 2 || ran["check"] != 2 || ran["curl"] != 1 || ran["pub"] != 1 || ran["demo"] != 1 {
		t.Errorf("ran %v", ran)
	}
}
