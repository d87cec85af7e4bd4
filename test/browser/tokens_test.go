package browser

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringdown/test/program"
)

// TestTokensPage is the chat of docs/tokens.md, as a newcomer makes it: the three files
// from the page, the server, the application, and two people who sign in. It has fewer
// than 60 lines, and goes on over a restart of the server.
func TestTokensPage(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	dir, server, app := t.TempDir(), program.FreeAddress(t), program.FreeAddress(t)
	_, port, err := net.SplitHostPort(app)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	lines := 0
	for name, language := range map[string]string{"ringdown.yaml": "yaml", "app.mjs": "js", "chat.html": "html"} {
		text := blockOf(t, "tokens.md", language)
		lines += strings.Count(text, "\n")
		files[name] = strings.NewReplacer("127.0.0.1:8000", server, "127.0.0.1:3000", app, "listen(3000,", "listen("+port+",").Replace(text)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if lines >= 60 {
		t.Errorf("the chat has %d lines", lines)
	}
	var out program.Output
	start := func() *program.Process {
		p, err := program.Start(&out, []string{"RINGDOWN_JWT_SECRET=" + jwtSecret}, "serve", "--config", filepath.Join(dir, "ringdown.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Await("http://" + server + "/livez"); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		return p
	}
	s := start()
	t.Cleanup(func() { s.Kill() })
	node := exec.Command("node", "app.mjs")
	node.Dir, node.Env, node.Stderr = dir, append(os.Environ(), "RINGDOWN_JWT_SECRET="+jwtSecret), os.Stderr
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Process.Kill(); _ = node.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", app); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the application does not listen")
		}
	}

	visit := func(name string) *window {
		w := newWindow(t)
		w.open("http://" + app + "/")
		w.typeIn("#login input", name)
		w.click("#login button")
		w.wait(`!document.querySelector('#say').hidden`)
		return w
	}
	say := func(w *window, text string) {
		w.typeIn("#say input", text)
		w.click("#say button")
	}
	ann, ben := visit("ann"), visit("ben")
	for _, w := range []*window{ann, ben} {
		w.waitText("#here", "Here: ann, ben")
	}
	say(ann, "hello")
	ben.waitText("#list", "ann: hello")
	s.Kill()
	ben.wait(`document.querySelector('#state').textContent !== ''`)
	say(ben, "are you there?")
	s = start()
	ann.waitText("#list", "ben: are you there?")
	for _, w := range []*window{ann, ben} {
		w.waitText("#here", "Here: ann, ben")
		if n := w.eval(`document.querySelectorAll('#list li').length`); n != "2" {
			t.Errorf("%s messages are shown: %s", n, w.eval(`document.querySelector('#list').innerText`))
		}
	}
	// Who opens the page again is signed in, and sees what was said.
	ben.open("http://" + app + "/")
	ben.waitText("#list", "ann: hello")
	ben.shot("tokens-chat")
}

// blockOf is the first block of a language in a document.
func blockOf(t *testing.T, document, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```"+language+"\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("%s has no block of %s", document, language)
	}
	return block
}
