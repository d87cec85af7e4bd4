package sse

import (
	"encoding/binary"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ringdown/internal/session"
)

// TestIdleCost: what an idle stream with one channel takes, and that over
// HTTP/1.1 it takes no goroutine. The clients are bare descriptors that speak a
// few written bytes, so that everything on the heap is the server's.
func TestIdleCost(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("a thousand streams, counted by the byte")
	}
	total := 1000
	if os.Getenv("RINGDOWN_LONG") != "" {
		total = 5000
	}
	for _, c := range []struct {
		name       string
		streams    int // on one connection
		request    func(stream int) []byte
		bytes      float64 // at most, of heap and stacks
		goroutines float64 // for each stream, at most
	}{
		{"HTTP/1.1", 1, func(int) []byte { return []byte("GET /?channel=c HTTP/1.1\r\nHost: x\r\n\r\n") }, 2500, 0},
		{"HTTP/2, one stream a connection", 1, h2Request, 70_000, 4},
		{"HTTP/2, 100 streams a connection", 100, h2Request, 25_000, 2.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, false, Options{Heartbeat: time.Hour})
			h.server.SetPolicy(session.Policy{Anonymous: true, Limits: session.Limits{HandshakesPerSecond: 100_000}})
			port := h.plain(t)
			crowd := &crowd{t: t, port: port, request: c.request, streams: c.streams}
			crowd.grow(100)
			h.sessions(100)
			before, goroutines := settled(), runtime.NumGoroutine()
			for grown := 100; grown < 100+total; {
				// Not all at once: of the goroutines that come in between, the runtime
				// keeps as many as there once were at a time.
				crowd.grow(100)
				grown += 100
				h.sessions(grown)
			}
			after, more := settled(), runtime.NumGoroutine()-goroutines
			n := float64(total)
			heap, stacks := float64(after.HeapAlloc-before.HeapAlloc)/n, float64(int64(after.StackInuse-before.StackInuse))/n
			t.Logf("an idle stream takes %.0f bytes of heap in %.1f objects, %.0f of stacks, %.2f goroutines; link has %d bytes, Session %d",
				heap, float64(after.HeapObjects-before.HeapObjects)/n, stacks, float64(more)/n, unsafe.Sizeof(link{}), unsafe.Sizeof(session.Session{}))
			if h.engine.Name() != "epoll" {
				return
			}
			if heap+stacks > c.bytes {
				t.Errorf("an idle stream takes %.0f bytes, want at most %.0f", heap+stacks, c.bytes)
			}
			if float64(more) > c.goroutines*n+5 {
				t.Errorf("%d streams have %d goroutines", total, more)
			}
		})
	}
}

// plain serves the house without TLS, over HTTP/1.1 and HTTP/2, and returns the
// port.
func (h *house) plain(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: h.handler, ReadHeaderTimeout: 5 * time.Second, Protocols: new(http.Protocols)}
	web.Protocols.SetHTTP1(true)
	web.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() { defer close(served); _ = web.Serve(l) }()
	t.Cleanup(func() { _ = web.Close(); <-served })
	return l.Addr().(*net.TCPAddr).Port
}

// sessions waits until there are so many, and all have been given what there is.
func (h *house) sessions(n int) {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		list, _, err := h.node.List(h.t.Context(), "c", "", 1)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(list) == 1 && list[0].Subscribers == n {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%d sessions, subscribed are %v, want %d", h.server.Sessions(), list, n)
		}
	}
}

// crowd opens connections and reads no answers: they stay in the kernel.
type crowd struct {
	t       *testing.T
	port    int
	request func(stream int) []byte
	streams int
}

func (c *crowd) grow(streams int) {
	c.t.Helper()
	for ; streams > 0; streams -= c.streams {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: c.port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			c.t.Fatal(err)
		}
		for i := range c.streams {
			if _, err := syscall.Write(fd, c.request(i)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// h2Request is the stream-th request of a connection over HTTP/2 (RFC 9113), with
// what comes before the first.
func h2Request(stream int) []byte {
	var b []byte
	frame := func(kind, flags byte, id uint32, payload string) {
		b = append(b, 0, 0, byte(len(payload)), kind, flags)
		b = append(binary.BigEndian.AppendUint32(b, id), payload...)
	}
	if stream == 0 {
		b = append(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...)
		frame(4, 0, 0, "") // SETTINGS
		frame(4, 1, 0, "") // theirs are fine
	}
	const path, host = "/?channel=c", "x"
	// RFC 7541: :method GET and :scheme http of the table, :path and :authority as literals.
	head := strings.Join([]string{"\x82\x86\x04", string(rune(len(path))), path, "\x01", string(rune(len(host))), host}, "")
	frame(1, 5, uint32(2*stream+1), head) // HEADERS, all of them, and no body
	return b
}

// settled returns the memory once what is garbage is gone and net/http's
// goroutines have ended.
func settled() (m runtime.MemStats) {
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}
