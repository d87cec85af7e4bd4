package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ringdown/internal/problem"
	"ringdown/protocol"
)

// Listen takes an address: host:port, or unix:PATH. Connections to it wait until
// Serve.
func (f *Front) Listen(ctx context.Context, addr string) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	// Our own heartbeat finds dead peers; the kernel's would wake every idle one too.
	lc := net.ListenConfig{KeepAlive: -1}
	l, err := lc.Listen(ctx, network, addr)
	if network == "unix" && err != nil && abandoned(ctx, addr) {
		l, err = lc.Listen(ctx, network, addr)
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	f.listeners = append(f.listeners, &listener{l, f})
	return nil
}

// Addrs returns the addresses that are listened on.
func (f *Front) Addrs() []net.Addr {
	var list []net.Addr
	for _, l := range f.listeners {
		list = append(list, l.Addr())
	}
	return list
}

// Serve begins to answer on the addresses of Listen.
func (f *Front) Serve(handler http.Handler, log *slog.Logger) {
	f.server = &http.Server{
		Handler:           f.watch(handler),
		ReadHeaderTimeout: f.limits.header,
		ReadTimeout:       f.limits.body,
		IdleTimeout:       f.policy.Load().Idle,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnState:         func(nc net.Conn, s http.ConnState) { nc.(*Conn).enters(s) },
		ConnContext:       func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) },
	}
	for _, l := range f.listeners {
		f.serving.Go(func() {
			if err := f.server.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				f.failed.Store(&err)
			}
		})
	}
}

// connKey is where the context of a request has its connection.
type connKey struct{}

func connOf(r *http.Request) *Conn {
	c, _ := r.Context().Value(connKey{}).(*Conn)
	return c
}

// sendBuffer is how many bytes of answers the kernel may hold for a connection (it
// doubles them). Left to itself it takes megabytes for one that reads nothing, and
// we would not notice that it does.
const sendBuffer = 128 << 10

// listener accepts those for whom there is a place.
type listener struct {
	net.Listener
	front *Front
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			l.front.starved(err)
			return nil, err
		}
		c, bad := l.front.enter(nc)
		if bad == nil {
			if t, ok := nc.(*net.TCPConn); ok {
				_ = t.SetWriteBuffer(sendBuffer) // where it cannot be set, it is the system's
			}
			return c, nil
		}
		l.front.note(&place{host: l.front.policy.Load().hostOf(nc.RemoteAddr())}, bad)
		l.front.refuse(nc, bad)
	}
}

// starved makes room when the process has no descriptors left, or the machine: the
// connections that wait are then of less use than what could not be opened.
func (f *Front) starved(err error) {
	if !outOfFiles(err) {
		return
	}
	f.note(&place{}, protocol.Errorf(protocol.CodeUnavailable, "a connection could not be accepted, because no file can be opened any more: %v", err).WithReason("descriptors"))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.makeRoom(8)
}

const (
	// mostExplaining is how many are told at a time why they are refused. Others are
	// hung up on.
	mostExplaining = 16
	explainingFor  = time.Second
)

// refuse answers whatever the client asks for with a problem document, and hangs
// up.
func (f *Front) refuse(nc net.Conn, e *protocol.Error) {
	select {
	case f.explaining <- struct{}{}:
	default:
		_ = nc.Close()
		return
	}
	f.serving.Go(func() {
		defer func() { <-f.explaining }()
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(explainingFor))
		// A client that has not asked yet would not know what is answered.
		request := make([]byte, 4<<10)
		if n, err := nc.Read(request); n == 0 || err != nil {
			return
		}
		if _, err := nc.Write(answer(e)); err != nil {
			return
		}
		// Closing before it was all read could make the kernel take the answer back.
		if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, nc, 64<<10)
		}
	})
}

// answer is a whole answer of HTTP/1.1.
func answer(e *protocol.Error) []byte {
	status := e.Code.HTTPStatus()
	body := problem.Of(status, e).JSON()
	h := http.Header{}
	problem.Header(h, status, e)
	forPages(h)
	h.Set("Connection", "close")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(&text) // a Builder never fails
	text.WriteString("\r\n")
	text.Write(body)
	return []byte(text.String())
}
