// Package redistest starts real Redis servers for tests, breaks them, and ends
// them by their process. Tests are skipped where the programs are not installed.
package redistest

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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

	t        testing.TB
	tls      *tls.Config
	password string // of the default user
	program  string
	args     []string
	process  *exec.Cmd
	asleep   bool // see Stop
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

func (s *Server) dial() (net.Conn, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if s.tls != nil {
		return tls.DialWithDialer(d, "tcp", s.Address, s.tls)
	}
	return d.Dial("tcp", s.Address)
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
func (s *Server) Try(args ...string) (answer string, err error) {
	err = s.ask(args, func(r *bufio.Reader) error {
		answer, err = readText(r)
		return err
	})
	return answer, err
}

// List is Do for commands that are answered with a list of texts.
func (s *Server) List(args ...string) (list []string) {
	s.t.Helper()
	err := s.ask(args, func(r *bufio.Reader) error {
		head, err := readText(r)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(head, "*"))
		for len(list) < n && err == nil {
			var text string
			text, err = readText(r)
			list = append(list, text)
		}
		return err
	})
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return list
}

// ask sends a command on a connection of its own and has the answer read.
func (s *Server) ask(args []string, read func(*bufio.Reader) error) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	if s.password != "" {
		if err := write(c, "AUTH", s.password); err != nil {
			return err
		}
		if answer, err := readText(r); err != nil || answer != "+OK" {
			return cmp.Or(err, errors.New(answer))
		}
	}
	if err := write(c, args...); err != nil {
		return err
	}
	return read(r)
}

func write(w io.Writer, args ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// readText reads a line, or a text.
func readText(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	n, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
	if err != nil || !strings.HasPrefix(line, "$") || n < 0 {
		return line, nil // it is no text
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", err
	}
	return string(text[:n]), nil
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
