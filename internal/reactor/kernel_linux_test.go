package reactor

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unsent returns how many bytes the kernel holds of what was written to fd.
func unsent(t *testing.T, fd int32) int {
	t.Helper()
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		t.Error(err)
	}
	return n
}

// TestKernelHoldsLittle: the memory that a peer which stopped reading costs
// hides neither with us nor in the kernel.
func TestKernelHoldsLittle(t *testing.T) {
	for name, size := range map[string]int{"small": 132, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			e := start(t, Options{Engine: best, Loops: 1})
			client, server := pair(t)
			_ = client.SetReadBuffer(4 << 10)
			c := add(t, e, server, newHooks(), "")
			p := make([]byte, size)
			most, last, full := 0, 0, 0
			// Turn after turn, as what is under way fills the peer's buffer first.
			watch(t, c.Loop(), "a full window", func() bool {
				for sent := 0; sent < 8<<20; sent += size {
					c.Offer(p)
				}
				held := unsent(t, c.fd)
				if most = max(most, held); held == last {
					full++
				} else {
					full = 0 // the peer's kernel still finds room, now and then
				}
				last = held
				return full > 5
			})
			if most == 0 || most > 128<<10 {
				t.Errorf("the kernel holds %d bytes", most)
			}
			t.Logf("the kernel holds %d bytes", most)
			on(t, c.Loop(), func() {
				if c.Blocked() || c.Pending() != 0 {
					t.Error("what was only offered is kept")
				}
			})
		})
	}
}

// deaf makes the kernel drop everything that comes for the socket, before TCP
// sees it: the peer is gone without a word.
func deaf(t *testing.T, nc *net.TCPConn, on bool) {
	t.Helper()
	control(nc, func(fd int) {
		var err error
		if on {
			drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
			err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
		} else {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		}
		if err != nil {
			t.Skip("no socket filters here:", err)
		}
	})
}

// TestDead: a peer that answers nothing is dead, whether it went with an open
// window or a full one; one that only does not read is not.
func TestDead(t *testing.T) {
	if testing.Short() {
		t.Skip("the kernel takes its time to send again")
	}
	usual := deadPeer
	deadPeer = hopeless{unanswered: 2, silence: 500}
	t.Cleanup(func() { deadPeer = usual })
	for _, name := range names() {
		t.Run(name, func(t *testing.T) {
			e := start(t, Options{Engine: name, Loops: 1})
			l := e.Loops()[0]
			open := func() (*net.TCPConn, added) {
				client, server := pair(t)
				return client, add(t, e, server, newHooks(), "")
			}
			fill := func(c added) {
				on(t, l, func() {
					c.Share(make([]byte, 64<<20))
					if !c.Blocked() {
						t.Error("not blocked")
					}
				})
			}
			_, lazy := open()
			fill(lazy)
			lost, gone := open()
			deaf(t, lost, true)
			on(t, l, func() { gone.Send([]byte("hello?")) })
			full, dark := open()
			fill(dark)
			// Its window is full when nothing more leaves.
			stalled := 0
			watch(t, l, "a full window", func() bool {
				if l.Now().Sub(dark.LastWrite()) > 300*time.Millisecond {
					stalled++
				}
				return stalled > 0
			})
			deaf(t, full, true)
			watch(t, l, "the kernel to give up", func() bool { return gone.Dead() && dark.Dead() })
			on(t, l, func() {
				if lazy.Dead() {
					t.Error("a peer that does not read is taken for dead")
				}
			})
			deaf(t, lost, false)
			got := make([]byte, 6)
			if _, err := io.ReadFull(lost, got); err != nil || string(got) != "hello?" {
				t.Errorf("%q %v", got, err)
			}
			watch(t, l, "life", func() bool { return !gone.Dead() })
		})
	}
}

func TestHopeless(t *testing.T) {
	h := hopeless{unanswered: 5, silence: 20_000}
	for _, c := range []struct {
		info unix.TCPInfo
		dead bool
	}{
		{unix.TCPInfo{}, false},
		{unix.TCPInfo{Last_ack_recv: 3_600_000}, false}, // idle
		{unix.TCPInfo{Retransmits: 5, Last_ack_recv: 19_999}, false},
		{unix.TCPInfo{Retransmits: 4, Last_ack_recv: 20_000}, false},
		{unix.TCPInfo{Retransmits: 5, Last_ack_recv: 20_000}, true},
		{unix.TCPInfo{Probes: 1, Backoff: 9, Last_ack_recv: 100_000}, false}, // a full window, the last probe just sent
		{unix.TCPInfo{Probes: 5, Last_ack_recv: 100_000}, true},
	} {
		if h.judge(&c.info) != c.dead {
			t.Errorf("%+v: dead should be %v", c.info, c.dead)
		}
	}
}

// TestTurnIsFair: with much to read on one connection and a byte on another,
// one read of the first comes before the second, and not all of them.
func TestTurnIsFair(t *testing.T) {
	e := start(t, Options{Engine: "epoll", Loops: 1, ReadBuffer: 4 << 10})
	l := e.Loops()[0]
	reads, before := 0, -1
	loud, quiet := newHooks(), newHooks()
	loud.data = func(_ *Conn, p []byte) {
		if reads++; len(p) > 4<<10 {
			t.Errorf("one read took %d bytes", len(p))
		}
	}
	quiet.data = func(*Conn, []byte) { before = reads }
	loudClient, loudServer := pair(t)
	a := add(t, e, loudServer, loud, "")
	quietClient, quietServer := pair(t)
	b := add(t, e, quietServer, quiet, "")
	on(t, l, func() { a.PauseRead(); b.PauseRead() })
	if _, err := loudClient.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := quietClient.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	on(t, l, func() { a.ResumeRead(); b.ResumeRead() })
	watch(t, l, "everything", func() bool { return reads == 16 && before >= 0 })
	on(t, l, func() {
		if before > 1 {
			t.Errorf("the quiet one was served after %d reads of the loud one", before)
		}
	})
}

// TestMappedAddress: an IPv4 peer of an IPv6 socket has an IPv4 address.
func TestMappedAddress(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		ln, err := net.Listen("tcp", "[::]:0")
		if err != nil {
			t.Skip("no IPv6 here:", err)
		}
		defer ln.Close()
		port := ln.Addr().(*net.TCPAddr).Port
		for _, host := range []string{"127.0.0.1", "::1"} {
			client, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(host), Port: port})
			if err != nil {
				t.Skip("no such address here:", err)
			}
			defer client.Close()
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c := add(t, e, server, newHooks(), "")
			on(t, c.Loop(), func() {
				if got := c.RemoteAddr(); got.Addr().String() != host || got.Port() == 0 {
					t.Errorf("%s is %s", host, got)
				}
			})
		}
	})
}
