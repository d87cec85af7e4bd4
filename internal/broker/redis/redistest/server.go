// Package redistest starts real Redis servers for tests, breaks them, and ends
// them by their process. Tests are skipped where the programs are not installed.
package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Server is a Redis server of its own directory and port.
type Server struct {
	Address string
	Port    int
	Dir     string

	t       testing.TB
	program string
	args    []string
	process *exec.Cmd
}

// Start starts a server that keeps nothing on disk. args are further options as
// on its command line.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := prepare(t, "redis-server", args...)
	s.Run()
	return s
}

func prepare(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(program + " is not installed")
	}
	s := &Server{t: t, program: program, Dir: t.TempDir(), Port: freePort(t), args: args}
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
	t.Cleanup(s.Kill)
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return port
}

// Run starts the server again after it was ended, on the same port and with
// what its directory holds.
func (s *Server) Run() {
	s.t.Helper()
	args := append([]string{"--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"}, s.args...)
	s.run(exec.Command(s.program, args...)) //nolint:gosec // a test's own program
}

// RunEmpty is Run after everything on its disk was lost.
func (s *Server) RunEmpty() {
	s.t.Helper()
	for _, kept := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(s.Dir, kept)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.Run()
}

func (s *Server) run(c *exec.Cmd) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.process = c
	deadline := time.Now().Add(15 * time.Second)
	for {
		if answer, err := s.Try("PING"); err == nil && strings.HasPrefix(answer, "+PONG") {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			s.t.Fatalf("%s does not answer: %s", s.program, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Kill ends the server with SIGKILL, if it runs.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

// Shutdown ends the server in order.
func (s *Server) Shutdown() {
	s.t.Helper()
	_, _ = s.Try("SHUTDOWN", "NOSAVE")
	_ = s.process.Wait()
	s.process = nil
}

// Do sends a command on a connection of its own and returns the first line of
// the answer and, of a text, its content. An error of Redis fails the test.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	answer, err := s.Try(args...)
	if err != nil || strings.HasPrefix(answer, "-") {
		s.t.Fatalf("%v: %s %v", args, answer, err)
	}
	return answer
}

// Try is Do for commands that may fail.
func (s *Server) Try(args ...string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Address, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		return "", err
	}
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if n, err := strconv.Atoi(strings.TrimPrefix(line, "$")); err == nil && line[0] == '$' && n >= 0 {
		text := make([]byte, n)
		if _, err := readFull(r, text); err != nil {
			return "", err
		}
		return string(text), nil
	}
	return line, nil
}

func readFull(r *bufio.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Await waits until ok, and fails the test when that takes more than limit.
func Await(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
