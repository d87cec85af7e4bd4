package transports

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// page reads a document.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// command is the indented command of a document that begins with these words,
// with the lines that it goes on for.
func command(t *testing.T, document, begin string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page(t, document), "\n    "+begin)
	if !ok {
		t.Fatalf("%s has no command that begins with %q", document, begin)
	}
	rest = begin + rest
	for i, line := range strings.SplitAfter(rest, "\n") {
		if !strings.HasSuffix(line, "\\\n") {
			return strings.Join(strings.SplitAfter(rest, "\n")[:i+1], "")
		}
	}
	return rest
}

// shell runs commands of a document, as they stand there, in a shell with curl
// and jq. What they print comes line by line. env are NAME=value.
func shell(t *testing.T, text string, env ...string) <-chan string {
	t.Helper()
	for _, program := range []string{"sh", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	cmd := exec.Command("sh", "-c", text)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // curl goes with its shell
	out, w := io.Pipe()
	var said strings.Builder // read when the shell has ended
	cmd.Stdout, cmd.Stderr = w, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	waited := make(chan struct{})
	go func() { defer close(waited); _ = cmd.Wait(); w.Close() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-waited
		<-done
		if t.Failed() {
			t.Logf("%s\nsaid: %s", text, said.String())
		}
	})
	return lines
}

// printed waits for a line that matches, and returns it.
func printed(t *testing.T, lines <-chan string, pattern string) string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	var seen []string
	for {
		select {
		case line, ok := <-lines:
			if want.MatchString(line) {
				return line
			}
			if seen = append(seen, line); !ok {
				t.Fatalf("nothing that matches %s was printed, but\n%s", pattern, strings.Join(seen, "\n"))
			}
		case <-timeout:
			t.Fatalf("waited for %s in vain, after\n%s", pattern, strings.Join(seen, "\n"))
		}
	}
}

// TestPollLoop is the loop of curl in docs/transports.md. The server goes away
// under it and comes back, with nothing of what was, and the loop goes on.
func TestPollLoop(t *testing.T) {
	_, loop, _ := strings.Cut(page(t, "transports.md"), "```sh\n")
	loop, _, ok := strings.Cut(loop, "```")
	if !ok || !strings.Contains(loop, "/v1/poll") {
		t.Fatal("docs/transports.md has no loop")
	}
	w := newWorld(t)
	lines := shell(t, loop, "B="+w.base, "T="+token(t, time.Hour))
	printed(t, lines, `"type":"subscribed"`)
	for n := range 20 {
		w.publish("orders", fmt.Sprintf(`{"type":"e","data":{"n":%d}}`, n))
	}
	for n := range 20 {
		if line := printed(t, lines, `"type":"e"`); !strings.Contains(line, fmt.Sprintf(`"data":{"n":%d}`, n)) {
			t.Fatalf("message %d is %s", n, line)
		}
	}
	w.stop()
	w.start(strings.TrimPrefix(w.base, "http://"))
	printed(t, lines, `"recovered":false.*"type":"subscribed"|"type":"subscribed".*"recovered":false`)
	w.publish("orders", `{"type":"e","data":"again"}`)
	printed(t, lines, `"data":"again"`)
}

// TestCurl runs the other commands of docs/transports.md and docs/presence.md.
func TestCurl(t *testing.T) {
	w := newWorld(t)
	env := []string{"B=" + w.base, "T=" + token(t, time.Hour), "RINGDOWN_API_KEY=" + key}
	stream := shell(t, command(t, "transports.md", "curl -N"), env...)
	var welcome struct{ Data struct{ Connection string } }
	text := strings.TrimPrefix(printed(t, stream, `"type":"welcome"`), "data: ")
	if err := json.Unmarshal([]byte(text), &welcome); err != nil {
		t.Fatal(err)
	}
	printed(t, stream, `"type":"subscribed"`)
	w.publish("orders", `{"type":"e","data":1}`)
	printed(t, stream, `^id: `)
	printed(t, stream, `^data: .*"type":"e","channel":"orders","offset":1,.*"data":1}$`)

	// What is said by POST is answered on the stream.
	for range shell(t, command(t, "transports.md", `curl -H "Authorization: Bearer $T" -H 'Content-Type`), append(env, "ID="+welcome.Data.Connection)...) {
	}
	printed(t, stream, `"type":"ack","channel":"chat:42","id":1`)

	tickets := shell(t, command(t, "transports.md", "curl -X POST"), env...)
	var ticket struct {
		Ticket  string
		Expires int64
	}
	if err := json.Unmarshal([]byte(printed(t, tickets, `ticket`)), &ticket); err != nil || ticket.Ticket == "" {
		t.Fatal(ticket, err)
	}
	if left := time.Until(time.UnixMilli(ticket.Expires)); left <= 0 || left > 30*time.Second {
		t.Errorf("the ticket is good for %v", left)
	}

	member := newClient(t, w, "websocket", follow{channels: []string{"room:1"}})
	member.until(count("subscribed", 1))
	member.say(`{"type":"presence","channel":"room:1","id":1,"data":{"action":"enter","data":{"mood":"fine"}}}`)
	member.until(count("ack", 1))
	who := strings.NewReplacer("http://127.0.0.1:8000", w.base, "chat:1", "room:1").Replace(command(t, "presence.md", "curl -H"))
	printed(t, shell(t, who, env...), `^\{"channel":"room:1","members":\[\{"id":"[^"]+","connection":"[^"]+","user":"ann","data":\{"mood":"fine"\}\}\],"total":1\}$`)
}

// TestPostCommands: what docs/transports.md says by POST to follow channels.
func TestPostCommands(t *testing.T) {
	w := newWorld(t)
	env := []string{"B=" + w.base, "T=" + token(t, time.Hour), "C=", "S="}
	stream := shell(t, command(t, "transports.md", "curl -N $B/v1/sse -H"), env...)
	printed(t, stream, `"channel":"orders"`)
	poll := shell(t, command(t, "transports.md", "curl $B/v1/poll?wait=25 -H"), env...)
	printed(t, poll, `"session":".*"subscribed".*"cursor":"`)
}
