package websocket

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/wsframe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo sends back what it gets.
type echo struct {
	max    int
	closed chan error
}

func (e *echo) Open(*Conn)                           {}
func (e *echo) Message(c *Conn, op Opcode, p []byte) { c.WriteMessage(op, p) }
func (e *echo) Drained(*Conn)                        {}
func (e *echo) MaxMessage(*Conn) int                 { return e.max }
func (e *echo) Closed(_ *Conn, err error) {
	if e.closed != nil {
		e.closed <- err
	}
}

// host serves an app on a real listener.
type host struct {
	t        *testing.T
	addr     string
	engine   *reactor.Engine
	handler  *Handler
	sessions *session.Server // nil: it serves an app
	closed   chan error      // what the echo is told at the end
}

func engines(t *testing.T, test func(t *testing.T, engine string)) {
	for _, e := range []string{"", "std"} {
		t.Run("engine="+e, func(t *testing.T) { test(t, e) })
	}
}

// lax has no budget of control frames, for tests that are about something else.
var lax = Options{Compression: true, ControlPerSecond: 1_000_000}

func serve(t *testing.T, engine string, o Options, max int) *host {
	t.Helper()
	closed := make(chan error, 4096)
	h := serveApp(t, engine, o, func() App { return &echo{max: max, closed: closed} })
	h.closed = closed
	return h
}

// serveApp is serve for any app.
func serveApp(t *testing.T, engine string, o Options, app func() App) *host {
	t.Helper()
	e := startEngine(t, engine)
	h := &host{t: t, engine: e, handler: NewApp(e, o, app)}
	srv := &http.Server{Handler: h.handler, ReadHeaderTimeout: 2 * time.Second}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return h
}

// startEngine starts an engine of one loop that is stopped with the test.
func startEngine(t testing.TB, name string) *reactor.Engine {
	t.Helper()
	e, err := reactor.New(reactor.Options{Engine: name, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}

// peer is a client of bare frames.
type peer struct {
	t    *testing.T
	conn *net.TCPConn
	r    *bufio.Reader
	resp *http.Response
}

func (h *host) dial(headers ...string) *peer {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	req := "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, line := range headers {
		req += line + "\r\n"
	}
	if _, err := io.WriteString(c, req+"\r\n"); err != nil {
		h.t.Fatal(err)
	}
	p := &peer{t: h.t, conn: c.(*net.TCPConn), r: bufio.NewReader(c)}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if p.resp, err = http.ReadResponse(p.r, nil); err != nil || p.resp.StatusCode != 101 {
		h.t.Fatalf("upgrade: %v %v", p.resp, err)
	}
	return p
}

const deflate = "Sec-WebSocket-Extensions: permessage-deflate"

// masked is a client's frame with any first byte.
func masked(first byte, payload []byte) []byte {
	out := []byte{first}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	key := [4]byte{0x11, 0x22, 0x33, 0x44}
	out = append(out, key[:]...)
	at := len(out)
	out = append(out, payload...)
	wsframe.Mask(out[at:], key, 0)
	return out
}

func (p *peer) raw(b ...byte) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	// What breaks the rules may be answered and cut off before it is all written.
	_, _ = p.conn.Write(b)
}

func (p *peer) text(s string) { p.raw(masked(0x81, []byte(s))...) }

// frame reads one frame of the server.
func (p *peer) frame() (first byte, payload []byte, err error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	return readFrame(p.r)
}

func readFrame(r io.Reader) (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0], payload, err
}

// expect reads a frame and wants exactly this one.
func (p *peer) expect(first byte, payload string) {
	p.t.Helper()
	f, got, err := p.frame()
	if err != nil || f != first || string(got) != payload {
		p.t.Fatalf("got frame %#x %.80q (%v), want %#x %.80q", f, got, err, first, payload)
	}
}

// closedWith reads to the close frame, answers it, and wants the end behind it.
func (p *peer) closedWith(code uint16) {
	p.t.Helper()
	for {
		f, got, err := p.frame()
		if err != nil {
			p.t.Fatalf("no close frame but %v", err)
		}
		if f != 0x88 {
			continue
		}
		have, _, err := wsframe.ParseClose(got)
		if err != nil || have != code {
			p.t.Fatalf("closed with %d (%v), want %d", have, err, code)
		}
		p.raw(masked(0x88, got)...)
		break
	}
	if _, err := p.r.ReadByte(); err == nil {
		p.t.Fatal("something comes after the close frame")
	}
}

// outcome reads to the end: the code of the close frame, or 0 without one.
func (p *peer) outcome() uint16 {
	for {
		f, got, err := p.frame()
		if err != nil {
			return 0
		}
		if f == 0x88 {
			code, _, _ := wsframe.ParseClose(got)
			p.raw(masked(0x88, got)...)
			return code
		}
	}
}
