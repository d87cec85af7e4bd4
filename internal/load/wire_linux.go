package load

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollWire is one epoll instance, a table of descriptors and one read buffer.
//
// System calls on the non-blocking sockets go by RawSyscall, past the scheduler:
// they last a few microseconds, and telling the scheduler about each costs a
// tenth of that again. Events are edge-triggered, so that the kernel does not look
// at each socket a second time to see that it has been emptied; interest is
// declared once and never changes.
type epollWire struct {
	server unix.SockaddrInet4
	main   int    // epoll descriptor of every ordinary connection, and of urgent
	urgent int    // epoll descriptor of the urgent ones, -1 until there is one
	slots  []slot // by connection
	buf    []byte // every read goes here
	events []unix.EpollEvent
}

type slot struct {
	fd      int32
	state   uint8
	backlog []byte // what the socket has not taken yet, in order
}

const (
	slotFree uint8 = iota
	slotDialing
	slotOpen
)

const (
	readBytes = 256 << 10
	// batchEvents bounds the time between two looks at the urgent connections and
	// at the publisher's clock, to about a fifth of a millisecond.
	batchEvents = 64
	urgentEvent = -1 // in EpollEvent.Fd, which otherwise holds a slot's index

	interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	over     = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	// sources is over how many loopback addresses the client spreads. The pair of
	// one source and one destination address has 28,000 ports by default, and the
	// kernel's search for a free one slows down long before they run out.
	sources = 30
)

// newFastWire returns nil where the address is not IPv4.
func newFastWire(addr netip.AddrPort, slots int) (wire, error) {
	if !addr.Addr().Is4() {
		return nil, nil
	}
	w := &epollWire{
		server: unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())},
		urgent: -1,
		slots:  make([]slot, slots),
		buf:    make([]byte, readBytes),
		events: make([]unix.EpollEvent, batchEvents),
	}
	for i := range w.slots {
		w.slots[i].fd = -1
	}
	var err error
	if w.main, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	return w, nil
}

func (w *epollWire) open(i int, urgent bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("load: socket: %w", err)
	}
	if err := w.connect(fd, i, urgent); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return nil
}

func (w *epollWire) connect(fd, i int, urgent bool) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("load: TCP_NODELAY: %w", err)
	}
	// The port is chosen by connect, when the destination is known, and not by bind.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("load: IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	source := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(1 + i%sources)}}
	if err := unix.Bind(fd, source); err != nil {
		return fmt.Errorf("load: bind: %w", err)
	}
	if err := unix.Connect(fd, &w.server); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("load: connect: %w", err)
	}
	ep, err := w.instance(urgent)
	if err != nil {
		return err
	}
	w.slots[i] = slot{fd: int32(fd), state: slotDialing}
	ev := unix.EpollEvent{Events: interest, Fd: int32(i)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		w.slots[i] = slot{fd: -1}
		return fmt.Errorf("load: epoll: %w", err)
	}
	return nil
}

// instance returns the epoll descriptor for a connection. The urgent one is made
// at its first use and sits inside the main one, so that a single wait covers both.
func (w *epollWire) instance(urgent bool) (int, error) {
	if !urgent {
		return w.main, nil
	}
	if w.urgent >= 0 {
		return w.urgent, nil
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("load: epoll: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: urgentEvent}
	if err := unix.EpollCtl(w.main, unix.EPOLL_CTL_ADD, ep, &ev); err != nil {
		_ = unix.Close(ep)
		return -1, fmt.Errorf("load: epoll: %w", err)
	}
	w.urgent = ep
	return ep, nil
}

func (w *epollWire) write(i int, p []byte) {
	s := &w.slots[i]
	if s.state != slotOpen || len(p) == 0 {
		return
	}
	if len(s.backlog) > 0 {
		s.backlog = append(s.backlog, p...)
		return
	}
	n := rawWrite(s.fd, p)
	if n < len(p) {
		s.backlog = append(s.backlog, p[n:]...)
	}
}

// flush sends what write had to keep, now that the socket takes something, until
// it takes no more.
func (s *slot) flush() {
	for len(s.backlog) > 0 {
		n := rawWrite(s.fd, s.backlog)
		if n == 0 {
			return
		}
		s.backlog = s.backlog[n:]
	}
	s.backlog = nil
}

func (w *epollWire) close(i int) {
	s := &w.slots[i]
	if s.state == slotFree {
		return
	}
	_ = unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(int(s.fd))
	*s = slot{fd: -1}
}

func (w *epollWire) poll(wait time.Duration, r receiver) error {
	if w.urgent >= 0 {
		if _, err := w.batch(w.urgent, 0, r); err != nil {
			return err
		}
	}
	n, err := w.batch(w.main, 0, r)
	if err != nil || n > 0 || wait <= 0 {
		return err
	}
	_, err = w.batch(w.main, wait, r)
	return err
}

// batch waits for events of one epoll instance, at most for wait, and serves them.
func (w *epollWire) batch(ep int, wait time.Duration, r receiver) (int, error) {
	n, err := w.wait(ep, wait)
	if err != nil {
		return 0, fmt.Errorf("load: epoll: %w", err)
	}
	for k := range n {
		ev := w.events[k]
		if ev.Fd == urgentEvent {
			if n > 1 {
				continue // the next poll looks there first
			}
			return w.batch(w.urgent, 0, r)
		}
		w.serve(int(ev.Fd), ev.Events, r)
	}
	return n, nil
}

// wait is epoll_pwait2, which takes nanoseconds: a wait rounded to epoll_wait's
// milliseconds would show up in every latency below one.
func (w *epollWire) wait(ep int, wait time.Duration) (int, error) {
	ts := unix.NsecToTimespec(int64(wait))
	events, timeout := unsafe.Pointer(&w.events[0]), unsafe.Pointer(&ts)
	var n uintptr
	var errno unix.Errno
	if wait <= 0 {
		n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(events), batchEvents, uintptr(timeout), 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(events), batchEvents, uintptr(timeout), 0, 0)
	}
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	case unix.ENOSYS: // Linux before 5.11
		return w.coarseWait(ep, wait)
	}
	return 0, errno
}

func (w *epollWire) coarseWait(ep int, wait time.Duration) (int, error) {
	n, err := unix.EpollWait(ep, w.events, int(wait.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, err
}

func (w *epollWire) serve(i int, events uint32, r receiver) {
	s := &w.slots[i]
	if s.state == slotDialing {
		w.connected(i, r)
	}
	if s.state == slotOpen && events&unix.EPOLLOUT != 0 && len(s.backlog) > 0 {
		s.flush()
	}
	if events&(unix.EPOLLIN|over) == 0 {
		return
	}
	for s.state == slotOpen {
		n, errno := rawRead(s.fd, w.buf)
		switch {
		case n > 0:
			r.data(i, w.buf[:n])
			// A short read has emptied the socket, except that the end of the
			// stream may be behind it, of which no other event will tell.
			if n < len(w.buf) && events&over == 0 {
				return
			}
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
		case errno != 0:
			w.close(i)
			r.closed(i, os.NewSyscallError("read", errno))
		default:
			w.close(i)
			r.closed(i, errCut)
		}
	}
}

func (w *epollWire) connected(i int, r receiver) {
	s := &w.slots[i]
	code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = os.NewSyscallError("connect", unix.Errno(code))
	}
	if err != nil {
		w.close(i)
		r.closed(i, err)
		return
	}
	s.state = slotOpen
	r.opened(i)
}

func (w *epollWire) stop() {
	for i := range w.slots {
		w.close(i)
	}
	if w.urgent >= 0 {
		_ = unix.Close(w.urgent)
	}
	_ = unix.Close(w.main)
}

// rawWrite returns how much the socket took. An error is not told here: it shows
// when the connection is read, which it always is.
func rawWrite(fd int32, p []byte) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func rawRead(fd int32, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
