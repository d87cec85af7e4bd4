package reactor

import (
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the loops do with bare descriptors. Those that carry bytes are raw system
// calls: the descriptors do not block, so the scheduler has nothing to gain from
// hearing of them.

// detach takes the descriptor out of nc, which the runtime has set to not block
// and to send without delay. It closes nc, so that neither the runtime's poller
// nor net/http's buffers keep anything for it.
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

// readFD reads what is there, up to len(p) bytes; EAGAIN means nothing.
func readFD(fd int32, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// writeFD writes what goes, which may be nothing.
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

// socketError takes the error that a socket has met.
func socketError(fd int32) error {
	if n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err == nil && n != 0 {
		return unix.Errno(n)
	}
	return unix.ECONNRESET
}

// hopeless is when a peer is given up: so many segments or probes in a row went
// unanswered, and nothing was acknowledged for so long. A peer whose window is
// full answers each probe, which begins the count anew.
type hopeless struct {
	unanswered uint8
	silence    uint32 // milliseconds
}

// deadPeer: with the kernel's back-off, five are sent within 7 to 20 seconds.
var deadPeer = hopeless{unanswered: 5, silence: 20_000}

func (h hopeless) judge(info *unix.TCPInfo) bool {
	return max(info.Retransmits, info.Probes) >= h.unanswered && info.Last_ack_recv >= h.silence
}

func deadFD(fd int32) bool {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && deadPeer.judge(info)
}

func deadTCP(nc *net.TCPConn) (dead bool) {
	control(nc, func(fd int) { dead = deadFD(int32(fd)) })
	return dead
}

func setLowat(nc *net.TCPConn, bytes int) {
	control(nc, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

// control does something with the descriptor of a connection that the runtime
// polls.
func control(nc *net.TCPConn, fn func(fd int)) {
	if raw, err := nc.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { fn(int(fd)) })
	}
}
