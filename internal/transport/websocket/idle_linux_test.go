package websocket

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ringdown/internal/reactor"
)

// TestIdleCost: what an idle connection takes of Go's memory. The clients are
// bare descriptors, so that everything on the heap is the server's.
func TestIdleCost(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("two thousand connections, counted by the byte")
	}
	const n = 2000
	e, err := reactor.New(reactor.Options{Loops: 1, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := NewApp(e, Options{Compression: true, Logger: silent}, func() App { return idle{} })
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	var fds []int
	t.Cleanup(func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
		_ = srv.Close()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	port := l.Addr().(*net.TCPAddr).Port
	upgrade := []byte(request("GET /v1/ws HTTP/1.1", "+Sec-WebSocket-Extensions: permessage-deflate"))
	connect := func() {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		var answer [1024]byte
		if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		if _, err := syscall.Write(fd, upgrade); err != nil {
			t.Fatal(err)
		}
		if got, err := syscall.Read(fd, answer[:]); err != nil || string(answer[:min(got, 12)]) != "HTTP/1.1 101" {
			t.Fatalf("%q %v", answer[:got], err)
		}
	}
	fds = make([]int, 0, n+100)
	for range 100 {
		connect()
	}
	before := settled()
	for range n {
		connect()
	}
	after := settled()
	if got := e.Connections(); got != n+100 {
		t.Fatal(got, "connections")
	}
	bytes := float64(after.HeapAlloc-before.HeapAlloc) / n
	objects := float64(after.HeapObjects-before.HeapObjects) / n
	t.Logf("an idle connection takes %.0f bytes in %.2f objects; Conn has %d bytes, link %d", bytes, objects, unsafe.Sizeof(Conn{}), unsafe.Sizeof(link{}))
	if e.Name() == "epoll" && (objects > 1.2 || bytes > 512) {
		t.Errorf("an idle connection takes %.0f bytes in %.2f objects, want at most 512 in one", bytes, objects)
	}
}

// idle is an App without a state of its own.
type idle struct{}

func (idle) Open(*Conn)                    {}
func (idle) Message(*Conn, Opcode, []byte) {}
func (idle) Drained(*Conn)                 {}
func (idle) Closed(*Conn, error)           {}
func (idle) MaxMessage(*Conn) int          { return 1000 }

// settled returns the heap once what is garbage is gone and net/http's
// goroutines have ended.
func settled() (m runtime.MemStats) {
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}
