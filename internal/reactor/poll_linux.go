package reactor

import (
	"io"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// best is the engine that Options.Engine "" means.
const best = "epoll"

// epoll polls bare descriptors, level-triggered: what a turn leaves unread comes
// back in the next, so one busy connection cannot keep the loop.
type epoll struct {
	fd     int
	event  int // eventfd, edge-triggered: it is written to wake, and never read
	events [256]unix.EpollEvent

	mu     sync.Mutex // wake comes from any goroutine, perhaps after close
	closed bool
}

const wakeIndex = -1

func newPoller() (poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeIndex})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &epoll{fd: fd, event: event}, nil
}

// wait serves what is ready. It asks before it announces that the loop sleeps:
// under load there is always something, and then neither the posters nor Go's
// scheduler are bothered.
func (e *epoll) wait(l *Loop) {
	n := e.ready()
	if n == 0 {
		d := l.patience()
		if d == 0 {
			return
		}
		n = e.block(d)
		l.mail.awake()
		l.rested = time.Now()
	}
	l.now = time.Now()
	for i := range n {
		ev := &e.events[i]
		if ev.Fd == wakeIndex {
			continue
		}
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

// block waits for events, at most d, for ever if d < 0.
func (e *epoll) block(d time.Duration) int {
	ms := -1
	if d > 0 {
		ms = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), uintptr(len(e.events)), uintptr(ms), 0, 0)
	return happened(n, errno)
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
	if e.closed {
		return
	}
	one := [8]byte{1}
	// It fails only when the counter is full, and then the loop is awake.
	_, _ = unix.Write(e.event, one[:])
}

func (e *epoll) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	unix.Close(e.event)
	unix.Close(e.fd)
}

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
