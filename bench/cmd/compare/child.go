package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a server that is running.
type child struct {
	cmd    *exec.Cmd
	addr   string
	stderr tail
	ended  chan struct{} // closed when the process has been waited for
}

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 3 * time.Second
	serverCPU    = 0 // with -pin
	clientCPU    = 1
)

// start runs a server until stop, and waits until it listens. It has to be called
// on the locked main thread: the server dies with that, and inherits its CPU.
func start(s server, pin bool, env ...string) (*child, error) {
	c := &child{cmd: exec.Command(s.argv[0], s.argv[1:]...), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = &c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if pin {
		c.cmd.Env = append(c.cmd.Env, "GOMAXPROCS=1")
		if err := runOn(serverCPU); err != nil {
			return nil, err
		}
	}
	err = c.cmd.Start()
	if pin {
		err = errors.Join(err, runOn(clientCPU))
	}
	if err != nil {
		return nil, err
	}
	listening := make(chan string, 1)
	go c.follow(stdout, listening)
	select {
	case c.addr = <-listening:
		return c, nil
	case <-c.ended:
		err = errors.New("ended at once")
	case <-time.After(startTimeout):
		err = fmt.Errorf("does not listen after %v", startTimeout)
		c.stop()
	}
	return nil, fmt.Errorf("%s %w: %s", s.name, err, c.stderr.String())
}

// follow reads the server's output to its end, sends the address in the first
// "listening" line, and reaps the process.
func (c *child) follow(stdout io.Reader, listening chan<- string) {
	defer close(c.ended)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			select {
			case listening <- addr:
			default:
			}
		}
	}
	_ = c.cmd.Wait() // how it ended is told by stderr
}

// stop asks the server to end and, after a while, makes it.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		return
	case <-time.After(stopTimeout):
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
}

func runOn(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pinning to CPU %d: %w", cpu, err)
	}
	return nil
}

// tail keeps the end of what a server writes to its standard error.
type tail struct{ buf bytes.Buffer }

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - tailBytes; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// String may be called once the process has ended.
func (t *tail) String() string { return strings.TrimSpace(t.buf.String()) }
