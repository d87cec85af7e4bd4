package examples

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringdown/test/program"
)

const (
	apiKey = "a-key-of-the-examples-of-the-docs"
	secret = "a-secret-of-the-examples-with-32-bytes"
	// patience is for busy machines.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) { os.Exit(program.Main(m, nil)) }

// page reads a document.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the blocks of a language that a document shows, without the
// indentation of lists.
func blocks(t *testing.T, document, language string) (list []string) {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^( *)```" + language + "\n(.*?)^ *```$")
	for _, m := range fence.FindAllStringSubmatch(page(t, document), -1) {
		list = append(list, regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], ""))
	}
	return list
}

// block returns the one that has a text in it.
func block(t *testing.T, document, language, has string) string {
	t.Helper()
	for _, b := range blocks(t, document, language) {
		if strings.Contains(b, has) {
			return b
		}
	}
	t.Fatalf("docs/%s has no %s with %q in it", document, language, has)
	return ""
}

// server is a server with the configuration that a document gives.
type server struct {
	t       *testing.T
	file    string
	addr    string
	log     program.Output
	process *program.Process
}

// serve takes the configuration of a document, at an address that is free.
func serve(t *testing.T, document string) *server {
	t.Helper()
	s := &server{t: t, addr: program.FreeAddress(t), file: filepath.Join(t.TempDir(), "ringdown.yaml")}
	s.write(s.file, block(t, document, "yaml", "127.0.0.1:8000"))
	s.start()
	t.Cleanup(s.stop)
	return s
}

// write writes a file of a document, with the server's address in it.
func (s *server) write(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "127.0.0.1:8000", s.addr)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) start() {
	s.t.Helper()
	p, err := program.Start(&s.log, []string{"RINGDOWN_API_KEY=" + apiKey, "RINGDOWN_JWT_SECRET=" + secret}, "serve", "--config", s.file)
	if err == nil {
		err = p.Await("http://" + s.addr + "/readyz")
	}
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log.Tail())
	}
	s.process = p
}

// turnAway waits, while there is no server, until somebody has tried to connect.
func (s *server) turnAway() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer l.Close()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		s.t.Fatalf("nobody tries to connect: %v", err)
	}
	c.Close()
}

func (s *server) stop() {
	if s.process == nil {
		return
	}
	if err := s.process.Terminate(patience); err != nil {
		s.t.Errorf("%v\n%s", err, s.log.Tail())
	}
	s.process = nil
}

// shell runs commands of a document.
func (s *server) shell(commands string) {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(commands, "127.0.0.1:8000", s.addr))
	cmd.Env = append(os.Environ(), "RINGDOWN_API_KEY="+apiKey)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), `"code"`) {
		s.t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
}

// indented returns the commands of a document that begin with these words.
func indented(t *testing.T, document, begin string) string {
	t.Helper()
	for line := range strings.Lines(page(t, document)) {
		if command, ok := strings.CutPrefix(line, "    "); ok && strings.HasPrefix(command, begin) {
			return command
		}
	}
	t.Fatalf("docs/%s has no command that begins with %q", document, begin)
	return ""
}

// versions of Node.js that the documents name.
var versions = []string{"22", "24"}

// node returns the program that is a version of Node.js.
func node(t *testing.T, version string) string {
	t.Helper()
	candidates := []string{"../../.tools/node-" + version + "/node_modules/.bin/node", "node"}
	for _, c := range candidates {
		out, err := exec.Command(c, "--version").Output()
		if err != nil || !strings.HasPrefix(string(out), "v"+version+".") {
			continue
		}
		return c
	}
	t.Skipf("Node.js %s is not there; make tools installs it where there is npm", version)
	return ""
}

// script is a program that runs in Node.js.
type script struct {
	t    *testing.T
	said program.Output
}

// onEach runs a test with each version of Node.js.
func onEach(t *testing.T, test func(t *testing.T, run func(file string) *script)) {
	for _, version := range versions {
		t.Run("node"+version, func(t *testing.T) {
			binary := node(t, version)
			test(t, func(file string) *script {
				x := &script{t: t}
				cmd := exec.Command(binary, file)
				cmd.Env = append(os.Environ(), "RINGDOWN_JWT_SECRET="+secret)
				cmd.Stdout, cmd.Stderr = &x.said, &x.said
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					_ = cmd.Process.Signal(syscall.SIGKILL)
					_ = cmd.Wait()
				})
				return x
			})
		})
	}
}

// says waits until the script has said what matches.
func (x *script) says(pattern string) {
	x.t.Helper()
	want := regexp.MustCompile(pattern)
	for deadline := time.After(patience); ; {
		more := x.said.More()
		if want.MatchString(x.said.String()) {
			return
		}
		select {
		case <-more:
		case <-deadline:
			x.t.Fatalf("waited for %s in vain, after\n%s", pattern, x.said.Tail())
		}
	}
}

func (s *server) path(name string) string { return filepath.Join(filepath.Dir(s.file), name) }
