package reactor

import (
	"errors"
	"io"
	"net"
	"net/netip"
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

func (e *epoll) wait(l *Loop, d time.Duration) error {
	n, err := e.ready(d)
	if err != nil {
		return err
	}
	l.now = time.Now()
	for i := range n {
		ev := &e.events[i]
		if ev.Fd == wakeIndex {
			continue
		}
		if c := l.table.find(uint32(ev.Fd), uint32(ev.Pad)); c != nil && !c.closed {
			l.serve(c, ev.Events)
		}
	}
	return nil
}

func (e *epoll) ready(d time.Duration) (int, error) {
	if d == 0 {
		// A wait of nothing cannot block, so the scheduler need not hear of it.
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&e.events[0])), uintptr(len(e.events)), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return 0, errno
		}
		if errno != 0 {
			return 0, nil
		}
		return int(n), nil
	}
	ms := -1
	if d > 0 {
		ms = int((d + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(e.fd, e.events[:], ms)
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, err
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
	}
	if events&^unix.EPOLLOUT == 0 || c.generation != generation || c.closed {
		return
	}
	if !c.reading() {
		// Hang-ups and errors come unasked; what is unread is lost with them.
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.Close(unix.ECONNRESET)
			l.reap()
		}
		return
	}
	if l.read == nil {
		l.read = make([]byte, l.engine.opts.ReadBuffer)
	}
	n, err := readFD(c.fd, l.read)
	switch {
	case errors.Is(err, unix.EAGAIN):
	case err != nil:
		c.ended(err)
		l.reap()
	case n == 0:
		c.ended(io.EOF)
		l.reap()
	default:
		l.data(c, l.read[:n])
	}
}

func readFD(fd int32, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// writeFD writes what goes. A raw system call is right because the descriptor
// does not block: the scheduler has nothing to gain from hearing of it.
func writeFD(fd int32, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		}
		return 0, errno
	}
}

func closeFD(fd int32)    { unix.Close(int(fd)) }
func shutdownFD(fd int32) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

func remoteFD(fd int32) netip.AddrPort {
	sa, err := unix.Getpeername(int(fd))
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// deadFD: data was sent again at least this often, and no acknowledgement came
// since. Probes of a full window are counted elsewhere (tcpi_probes).
const deadRetransmits = 5

func deadFD(fd int32) bool {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Retransmits >= deadRetransmits && info.Last_ack_recv > 20_000
}

// detach takes the descriptor out of nc, which the runtime has set to not block
// and to send without delay, so that neither the runtime's poller
// nor net/http's buffers keep anything for it, and closes nc.
func detach(nc *net.TCPConn, o Options) (int32, error) {
	defer func() { _ = nc.Close() }()
	raw, err := nc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var inner error
	err = raw.Control(func(s uintptr) {
		if fd, inner = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0); inner != nil {
			return
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, o.SendBuffer)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.NotSentLowat)
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return -1, err
	}
	return int32(fd), nil
}

func setLowat(nc *net.TCPConn, bytes int) {
	if raw, err := nc.SyscallConn(); err == nil {
		_ = raw.Control(func(s uintptr) {
			_ = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
		})
	}
}
