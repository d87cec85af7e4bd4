package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown/internal/reactor"
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
	t       *testing.T
	addr    string
	engine  *reactor.Engine
	handler *Handler
	closed  chan error // what the echo is told at the end
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
	e, err := reactor.New(reactor.Options{Engine: engine, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
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
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
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
			return code
		}
	}
}

func TestEcho(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1<<20)
		p := h.dial()
		for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 300_000} {
			s := strings.Repeat("x", n)
			p.text(s)
			p.expect(0x81, s)
			p.raw(masked(0x82, []byte(s))...)
			p.expect(0x82, s)
		}
		p.raw(masked(0x88, wsframe.AppendClose(nil, 1000, "bye"))...)
		p.closedWith(1000)
		p.conn.Close()
		if err := <-h.closed; err != nil {
			t.Error("an orderly end is", err)
		}
	})
}

// TestSplit (A08): a message cut into two writes at every byte, and into
// fragments with a ping between them, comes back the same.
func TestSplit(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1<<20)
		p := h.dial()
		_ = p.conn.SetNoDelay(true)
		const text = "Grüße, 世界 — 𝄞"
		whole := masked(0x81, []byte(text))
		for i := 1; i < len(whole); i++ {
			p.raw(whole[:i]...)
			p.raw(whole[i:]...)
			p.expect(0x81, text)
		}
		for i := range len(text) {
			p.raw(masked(0x01, []byte(text[:i]))...)
			p.raw(masked(0x89, []byte("between"))...)
			p.raw(masked(0x80, []byte(text[i:]))...)
			p.expect(0x8a, "between")
			p.expect(0x81, text)
		}
		// Byte by byte, each in a fragment of its own.
		for i := range len(text) {
			first := byte(0)
			if i == 0 {
				first = 1
			}
			if i == len(text)-1 {
				first |= 0x80
			}
			p.raw(masked(first, []byte(text[i:i+1]))...)
		}
		p.expect(0x81, text)
	})
}

// TestFirstBytes (A05): every first byte, masked and not.
func TestFirstBytes(t *testing.T) {
	h := serve(t, "", Options{ControlPerSecond: 1_000_000}, 1<<20)
	tally := map[string]int{}
	for first := range 256 {
		for _, mask := range []bool{true, false} {
			p := h.dial()
			frame := masked(byte(first), nil)
			if !mask {
				frame = []byte{byte(first), 0}
			}
			p.raw(frame...)
			// A ping behind it tells that the line lives on.
			p.raw(masked(0x89, []byte("?"))...)
			op, fin, rsv := first&15, first&0x80 != 0, first&0x70 != 0
			good := mask && !rsv && (op == 1 || op == 2 || fin && (op == 8 || op == 9 || op == 10))
			switch {
			case good && op == 8:
				f, _, err := p.frame()
				if err != nil || f != 0x88 {
					t.Errorf("%#x: a close without a code is answered with %#x %v", first, f, err)
				}
				tally["closed in order"]++
			case good:
				for {
					f, got, err := p.frame()
					if err != nil {
						t.Errorf("%#x: %v", first, err)
						break
					}
					if f == 0x8a && string(got) == "?" {
						break
					}
				}
				tally["accepted"]++
			default:
				if code := p.outcome(); code != 1002 {
					t.Errorf("%#x masked %v: closed with %d", first, mask, code)
				}
				tally["1002"]++
			}
			p.conn.Close()
		}
	}
	t.Logf("512 first bytes: %v", tally)
}

// TestCloseCodes (A06).
func TestCloseCodes(t *testing.T) {
	h := serve(t, "", lax, 1<<20)
	tally := map[uint16]int{}
	for code := range uint16(5001) {
		if code > 1020 && code < 2995 && code%97 != 0 || code > 3005 && code < 4995 && code%97 != 0 {
			continue // the same answer for long stretches
		}
		p := h.dial()
		p.raw(masked(0x88, binary.BigEndian.AppendUint16(nil, code))...)
		want := uint16(1002)
		if wsframe.ValidCloseCode(code) {
			want = code
		}
		if got := p.outcome(); got != want {
			t.Errorf("code %d is answered with %d, want %d", code, got, want)
		}
		tally[want]++
		p.conn.Close()
	}
	t.Logf("refused with 1002: %d codes", tally[1002])
	for name, c := range map[string]struct {
		payload []byte
		want    uint16
	}{
		"bad UTF-8":     {append([]byte{3, 0xe8}, 0xff, 0xfe), 1007},
		"one byte":      {[]byte{3}, 1002},
		"123 of reason": {append([]byte{3, 0xe8}, bytes.Repeat([]byte("x"), 123)...), 1000},
	} {
		p := h.dial()
		p.raw(masked(0x88, c.payload)...)
		if got := p.outcome(); got != c.want {
			t.Errorf("%s: answered with %d, want %d", name, got, c.want)
		}
	}
	p := h.dial()
	p.raw(masked(0x88, append([]byte{3, 0xe8}, bytes.Repeat([]byte("x"), 124)...))...)
	if got := p.outcome(); got != 1002 {
		t.Errorf("124 bytes of reason: answered with %d", got)
	}
}

// TestRules (A07 and the rest of RFC 6455 §5): each rule broken once.
func TestRules(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1000)
		big := func(first byte, n uint64) []byte {
			return append(binary.BigEndian.AppendUint64([]byte{first, 0xff}, n), 1, 2, 3, 4)
		}
		for name, c := range map[string]struct {
			send []byte
			want uint16
		}{
			"fragmented ping":           {masked(0x09, []byte("x")), 1002},
			"fragmented close":          {masked(0x08, nil), 1002},
			"ping of 126 bytes":         {masked(0x89, make([]byte, 126)), 1002},
			"continuation of nothing":   {masked(0x80, []byte("x")), 1002},
			"message inside a message":  {append(masked(0x01, []byte("a")), masked(0x81, []byte("b"))...), 1002},
			"RSV1 without deflate":      {masked(0xc1, []byte("x")), 1002},
			"unmasked":                  {[]byte{0x81, 1, 'x'}, 1002},
			"not UTF-8":                 {masked(0x81, []byte{0xc0, 0xaf}), 1007},
			"surrogate":                 {masked(0x81, []byte{0xed, 0xa0, 0x80}), 1007},
			"cut off rune":              {masked(0x81, []byte("κ")[:1]), 1007},
			"cut off in fragments":      {append(masked(0x01, []byte("κ")[:1]), masked(0x80, nil)...), 1007},
			"bad before the end":        {masked(0x01, []byte{'a', 0xff}), 1007},
			"1001 bytes":                {masked(0x81, make([]byte, 1001)), 1009},
			"1001 bytes in two":         {append(masked(0x01, make([]byte, 600)), masked(0x80, make([]byte, 401))...), 1009},
			"2^63-1 bytes":              {big(0x82, 1<<63-1), 1009},
			"2^63 bytes":                {big(0x82, 1<<63), 1002},
			"2^64-1 bytes":              {big(0x82, 1<<64-1), 1002},
			"1 GiB":                     {big(0x82, 1<<30), 1009},
			"length of 16 bits for 5":   {[]byte{0x82, 0xfe, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0}, 1002},
			"length of 64 bits for 126": {big(0x82, 126), 1002},
		} {
			p := h.dial()
			p.raw(c.send...)
			if got := p.outcome(); got != c.want {
				t.Errorf("%s: closed with %d, want %d", name, got, c.want)
			}
			p.conn.Close()
			if err := <-h.closed; err == nil {
				t.Errorf("%s: the app was told of an orderly end", name)
			}
		}
		p := h.dial()
		p.raw(masked(0x82, make([]byte, 1000))...)
		if f, got, err := p.frame(); err != nil || f != 0x82 || len(got) != 1000 {
			t.Errorf("1000 bytes: %#x %d %v", f, len(got), err)
		}
	})
}

// TestFragments (B03): a million empty fragments are cut off at the limit.
func TestFragments(t *testing.T) {
	h := serve(t, "", lax, 1000)
	for name, part := range map[string][]byte{"empty": nil, "of one byte": {0}} {
		p := h.dial()
		p.raw(masked(0x02, part)...)
		sent := 0
		go func() {
			batch := bytes.Repeat(masked(0x00, part), 100)
			for range 10_000 {
				if _, err := p.conn.Write(batch); err != nil {
					return
				}
			}
		}()
		want := map[string]uint16{"empty": 1008, "of one byte": 1009}[name]
		if got := p.outcome(); got != want {
			t.Errorf("%s: closed with %d, want %d (%d sent)", name, got, want, sent)
		}
		p.conn.Close()
	}
}

// TestUnfinished (B02, B04): a message that never ends is given up, whatever
// pings keep the line alive.
func TestUnfinished(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{MessageTimeout: 300 * time.Millisecond, ControlPerSecond: 1000}, 1<<30)
		for name, begin := range map[string][]byte{
			"declared and stalled": append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<30-1), 1, 2, 3, 4, 5, 6, 7),
			"fragment":             masked(0x02, []byte("begun")),
			"half a header":        {0x82},
		} {
			p := h.dial()
			begun := time.Now()
			p.raw(begin...)
			done := make(chan struct{})
			if name == "fragment" {
				go func() {
					defer close(done)
					for time.Since(begun) < 2*time.Second {
						if _, err := p.conn.Write(masked(0x89, nil)); err != nil {
							return
						}
						time.Sleep(20 * time.Millisecond) // a client's pace
					}
				}()
			} else {
				close(done)
			}
			if got := p.outcome(); got != 1008 {
				t.Errorf("%s: closed with %d", name, got)
			}
			if d := time.Since(begun); d > 1500*time.Millisecond {
				t.Errorf("%s: closed after %v", name, d)
			}
			p.conn.Close()
			<-done
		}
	})
}

// TestControlFlood (B05): pings beyond the budget end the line, and who does
// not read is owed one pong.
func TestControlFlood(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{}, 1000)
		for _, first := range []byte{0x89, 0x8a} {
			p := h.dial()
			go func() {
				batch := bytes.Repeat(masked(first, make([]byte, 100)), 100)
				for range 1000 {
					if _, err := p.conn.Write(batch); err != nil {
						return
					}
				}
			}()
			if got := p.outcome(); got != 1008 {
				t.Errorf("%#x: closed with %d", first, got)
			}
			p.conn.Close()
		}
		p := h.dial()
		for range 20 {
			p.raw(masked(0x89, []byte("x"))...)
			p.expect(0x8a, "x")
		}
	})
}

func TestDeflate(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 100_000)
		p := h.dial(deflate)
		if got := p.resp.Header.Get("Sec-WebSocket-Extensions"); got != "permessage-deflate; server_no_context_takeover; client_no_context_takeover" {
			t.Fatalf("answered %q", got)
		}
		long := strings.Repeat("abcdefgh", 1000)
		for range 3 {
			p.raw(masked(0xc1, wsframe.Deflate(nil, []byte(long)))...)
			f, got, err := p.frame()
			if err != nil || f != 0xc1 {
				t.Fatalf("%#x %v", f, err)
			}
			out, err := wsframe.Inflate(nil, got, 1<<20)
			if err != nil || string(out) != long {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
		}
		p.text("short and plain")
		p.expect(0x81, "short and plain")
		// In fragments: RSV1 on the first only.
		d := wsframe.Deflate(nil, []byte(long))
		p.raw(masked(0x41, d[:10])...)
		p.raw(masked(0x80, d[10:])...)
		if f, _, err := p.frame(); err != nil || f != 0xc1 {
			t.Fatalf("%#x %v", f, err)
		}
		for name, c := range map[string]struct {
			send []byte
			want uint16
		}{
			"bomb":                 {masked(0xc2, wsframe.Deflate(nil, make([]byte, 10<<20))), 1009},
			"nonsense":             {masked(0xc2, []byte{0xff, 0xff, 0xff}), 1007},
			"RSV1 on continuation": {append(masked(0x41, d[:10]), masked(0xc0, d[10:])...), 1002},
			"not UTF-8":            {masked(0xc1, wsframe.Deflate(nil, bytes.Repeat([]byte{0xff}, 400))), 1007},
			"compressed too long":  {masked(0xc2, make([]byte, 120_000)), 1009},
		} {
			p := h.dial(deflate)
			p.raw(c.send...)
			if got := p.outcome(); got != c.want {
				t.Errorf("%s: closed with %d, want %d", name, got, c.want)
			}
			p.conn.Close()
		}
	})
}

func TestDeflateOffers(t *testing.T) {
	const base = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	h := serve(t, "", lax, 100_000)
	for offer, want := range map[string]string{
		"permessage-deflate; client_max_window_bits":                                 base,
		"permessage-deflate; client_max_window_bits=9; server_max_window_bits=9":     base + "; server_max_window_bits=9",
		"permessage-deflate; server_max_window_bits=15":                              base,
		"permessage-deflate; server_max_window_bits=16":                              "",
		"permessage-deflate; server_max_window_bits":                                 "",
		"permessage-deflate; server_no_context_takeover=1":                           "",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover": "",
		"permessage-deflate; unknown":                                                "",
		"permessage-deflate; unknown, permessage-deflate":                            base,
		"x-webkit-deflate-frame":                                                     "",
		"x-other, permessage-deflate; server_no_context_takeover":                    base,
		`permessage-deflate; server_max_window_bits="10"`:                            base + "; server_max_window_bits=10",
		"permessage-deflate;":                                                        "",
	} {
		p := h.dial("Sec-WebSocket-Extensions: " + offer)
		if got := p.resp.Header.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("%q is answered with %q, want %q", offer, got, want)
		}
		p.conn.Close()
	}
	// A small window: nothing refers back further than it reaches.
	p := h.dial("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9")
	text := strings.Repeat("abcdefghijklmnopqrstuvwxyz", 40)
	for _, n := range []int{512, 1000} {
		p.text(text[:n])
		f, got, err := p.frame()
		if err != nil || f != 0xc1 {
			t.Fatalf("%d bytes come as %#x (%v)", n, f, err)
		}
		if out, err := wsframe.Inflate(nil, got, 1<<20); err != nil || string(out) != text[:n] {
			t.Errorf("%d bytes do not come back: %v", n, err)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{PingInterval: 100 * time.Millisecond, PongTimeout: 150 * time.Millisecond}, 1000)
		p := h.dial()
		for range 3 {
			p.expect(0x89, "")
			p.raw(masked(0x8a, nil)...)
		}
		// Any byte counts as alive, not only a pong.
		p.expect(0x89, "")
		p.text("here")
		p.expect(0x81, "here")
		p.expect(0x89, "")
		begun := time.Now()
		if got := p.outcome(); got != 4201 {
			t.Errorf("closed with %d", got)
		}
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("closed after %v", d)
		}
	})
}

func TestStalled(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{PingInterval: 100 * time.Millisecond, StalledTimeout: 300 * time.Millisecond}, 1<<20)
		p := h.dial()
		go func() {
			for range 200 {
				if _, err := p.conn.Write(masked(0x82, make([]byte, 1<<20))); err != nil {
					return
				}
			}
		}()
		select {
		case err := <-h.closed:
			if !errors.Is(err, errStalled) {
				t.Error("closed with", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("a peer that takes nothing is still there")
		}
		p.conn.Close()
	})
}
