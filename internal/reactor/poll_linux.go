package reactor

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// best is the engine that Options.Engine "" means.
const best = "epoll"

// epoll polls bare descriptors, level-triggered: what a turn leaves unread comes
// back in the next, so one busy connection cannot keep the loop.
//
// A loop that has nothing to do waits for its epoll descriptor in Go's own poller,
// as a goroutine waits for a socket. So no thread sleeps in a system call with a
// processor of Go's that has to be taken from it, and another goroutine wakes the
// loop without the kernel: it lets the deadline of the wait pass.
type epoll struct {
	file   *os.File // the epoll descriptor
	raw    syscall.RawConn
	fd     int
	look   func(fd uintptr) bool // for raw: whether there are events, in found of events
	found  int
	events [256]unix.EpollEvent

	mu    sync.Mutex // wake comes from any goroutine, perhaps after close
	until time.Time  // the deadline that file has; zero: none
	woken bool       // file's deadline was made to pass
}

func newPoller() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err = unix.SetNonblock(fd, true); err != nil { // how os.NewFile knows what to give to Go's poller
		unix.Close(fd)
		return nil, err
	}
	e := &epoll{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	e.look = func(uintptr) bool { e.found = e.ready(); return e.found > 0 }
	if e.raw, err = e.file.SyscallConn(); err == nil {
		err = e.file.SetReadDeadline(time.Time{}) // which fails where Go's poller does not know it
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// wait serves what is ready. It asks before it announces that the loop sleeps:
// under load there is always something, and then neither the posters nor Go's
// scheduler are bothered.
func (e *epoll) wait(l *Loop) {
	n := e.ready()
	if n == 0 {
		until, idle := l.patience()
		if !idle {
			return
		}
		e.limit(until) // before the announcement: a wake that follows it must last
		if !l.mail.sleep() {
			return
		}
		n = e.block()
		l.mail.awake()
		l.rested = time.Now()
	}
	l.now = time.Now()
	for i := range n {
		ev := &e.events[i]
		if c := l.table.find(uint32(ev.Fd), uint32(ev.Pad)); c != nil {
			l.serve(c, ev.Events)
		}
	}
}

// ready fetches the events that are there. It cannot block, so that a raw system
// call is right: the scheduler need not hear of it.
func (e *epoll) ready() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), uintptr(len(e.events)), 0, 0, 0)
	return happened(n, errno)
}

// limit has block end at a time, at the latest; zero: never.
func (e *epoll) limit(until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.woken || !until.Equal(e.until) {
		e.woken, e.until = false, until
		_ = e.file.SetReadDeadline(until) // the file is open, and has deadlines
	}
}

// block waits for events, for wake, or until what limit said.
func (e *epoll) block() int {
	e.found = 0
	if err := e.raw.Read(e.look); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		// The descriptor is not ours any more; there is no going on.
		panic("reactor: waiting for epoll: " + err.Error())
	}
	return e.found
}

func happened(n uintptr, errno unix.Errno) int {
	switch errno {
	case 0:
		return int(n)
	case unix.EINTR:
		return 0
	}
	// The descriptor or the memory is not ours any more; there is no going on.
	panic("reactor: epoll_pwait: " + errno.Error())
}

func (e *epoll) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.woken {
		e.woken = true
		_ = e.file.SetReadDeadline(past) // it fails when the file is closed, and then nobody waits
	}
}

// past is a time that every clock has seen.
var past = time.Unix(1, 0)

func (e *epoll) close() { _ = e.file.Close() }

// wanted returns the events that c is to be watched for.
func wanted(c *Conn) uint32 {
	var ev uint32
	if c.reading() {
		ev |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if c.backlog != nil {
		ev |= unix.EPOLLOUT
	}
	return ev
}

// registered marks a descriptor that epoll knows, even one watched for nothing.
const registered = 1 << 31

func (e *epoll) add(c *Conn) error {
	c.armed = wanted(c) | registered
	return unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, int(c.fd), &unix.EpollEvent{
		Events: c.armed &^ registered, Fd: int32(c.index), Pad: int32(c.generation)})
}

func (e *epoll) watch(c *Conn) {
	if c.armed == 0 {
		return // not added yet: add asks again
	}
	if ev := wanted(c) | registered; ev != c.armed {
		c.armed = ev
		err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_MOD, int(c.fd), &unix.EpollEvent{
			Events: ev &^ registered, Fd: int32(c.index), Pad: int32(c.generation)})
		if err != nil {
			c.Close(err)
		}
	}
}

// serve does what the events of c ask for.
func (l *Loop) serve(c *Conn, events uint32) {
	generation := c.generation
	if events&unix.EPOLLOUT != 0 {
		l.drain(c)
		if c.generation != generation {
			return
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return
	}
	if !c.reading() {
		// Only what comes unasked: the socket is broken, and what is unread on it
		// goes with it. It would come again and again.
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.ended(socketError(c.fd))
		}
		return
	}
	if l.read == nil {
		l.read = make([]byte, l.engine.opts.ReadBuffer)
	}
	n, errno := readFD(c.fd, l.read)
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		c.ended(errno)
	case n == 0:
		c.ended(io.EOF)
	default:
		l.data(c, l.read[:n])
	}
}
