package websocket

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
)

// What a client can make the server spend. The bounds are over the whole
// process, the client's own side included.

// spent returns the bytes that fn allocates, all goroutines taken together.
func spent(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func declared(first byte, n uint64, payload ...byte) []byte {
	head := binary.BigEndian.AppendUint64([]byte{first, 0xff}, n)
	return append(append(head, 1, 2, 3, 4), payload...)
}

// TestDeclaredLengths (B01): what is only declared costs nothing.
func TestDeclaredLengths(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 64<<20)
		h.dial(deflate).conn.Close()
		receive(t, "Closed", h.closed)
		for _, c := range []struct {
			name string
			send []byte
			want uint16
		}{
			{"2^63-1", declared(0x82, 1<<63-1), 1009},
			{"2^63", declared(0x82, 1<<63), 1002},
			{"2^64-1", declared(0x82, 1<<64-1), 1002},
			{"2^63-1 compressed", declared(0xc2, 1<<63-1), 1009},
			{"2^63-1 behind a fragment", append(masked(0x02, []byte("x")), declared(0x80, 1<<63-1)...), 1009},
			{"2^62 behind a compressed fragment", append(masked(0x42, []byte("x")), declared(0x80, 1<<62)...), 1009},
			{"a ping of 2^63-1", declared(0x89, 1<<63-1), 1002},
			{"64 MiB and one", declared(0x82, 64<<20+1), 1009},
			{"64 MiB, of which nothing comes", declared(0x82, 64<<20), 0},
			{"125 in 16 bits", []byte{0x82, 0xfe, 0, 125, 1, 2, 3, 4}, 1002},
			{"65535 in 64 bits", declared(0x82, 65535), 1002},
		} {
			p := h.dial(deflate)
			var got uint16
			n := spent(func() {
				p.raw(c.send...)
				if c.want == 0 {
					p.raw(make([]byte, 10)...)
					_ = p.conn.CloseWrite()
				}
				got = p.outcome()
				p.conn.Close()
				receive(t, "Closed", h.closed)
			})
			if got != c.want || n > 64<<10*slack {
				t.Errorf("%s: closed with %d, %d bytes allocated", c.name, got, n)
			}
		}
	})
}

// TestStalledMessages (B02): a hundred clients declare 60 MiB each and send ten
// bytes of it.
func TestStalledMessages(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{MessageTimeout: 300 * time.Millisecond, Logger: silent}, 64<<20)
		peers := make([]*peer, 100)
		for i := range peers {
			peers[i] = h.dial()
		}
		n := spent(func() {
			for _, p := range peers {
				p.raw(declared(0x82, 60<<20, make([]byte, 10)...)...)
			}
			for _, p := range peers {
				p.outcome()
				p.conn.Close()
				if err := receive(t, "Closed", h.closed); err != errUnfinished {
					t.Error("closed with", err)
				}
			}
		})
		if n > 600<<10*slack { // the clients read, too
			t.Errorf("%d bytes allocated for what never came", n)
		}
	})
}

// TestTrickle (B03): a message of ten thousand fragments is cut off at the limit,
// by its size or by their number, and costs no more than it has sent.
func TestTrickle(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		const limit = 256 << 10 // 4096 fragments
		h := serve(t, engine, lax, limit)
		for name, c := range map[string]struct {
			part []byte
			want uint16
		}{"empty": {nil, 1008}, "of one byte": {[]byte{0}, 1008}, "of a hundred bytes": {make([]byte, 100), 1009}} {
			p := h.dial()
			batch := bytes.Repeat(masked(0x00, c.part), 100)
			wrote := make(chan int, 1)
			var got uint16
			n := spent(func() {
				p.raw(masked(0x02, c.part)...)
				go func() {
					// More than it may, and not without end: what is read and thrown
					// away behind it costs a buffer now and then, too.
					for i := range 100 {
						if _, err := p.conn.Write(batch); err != nil {
							wrote <- 100 * i
							return
						}
					}
					wrote <- 10_000
				}()
				got = p.outcome()
				p.conn.Close()
				<-wrote
			})
			if got != c.want || n > 4*limit*slack {
				t.Errorf("fragments %s: closed with %d, %d bytes allocated", name, got, n)
			}
			receive(t, "Closed", h.closed)
		}
	})
}

// TestPongs (B05): a client that pings and does not read is owed what fitted
// into the socket, and the newest pong.
func TestPongs(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened := make(chan *Conn, 1)
		h := serveApp(t, engine, Options{ControlPerSecond: mostControl, Logger: silent}, func() App {
			return &app{open: func(c *Conn) { opened <- c }}
		})
		p := h.dial()
		c := receive(t, "Open", opened)
		loop := h.engine.Loops()[0]
		// Who reads nothing of a long answer is blocked when the pings come.
		on(t, loop, func() {
			for !c.Blocked() {
				c.WriteMessage(wsframe.Binary, make([]byte, 256<<10))
			}
			before := c.rc.Pending()
			for i := range 1000 {
				c.Data(c.rc, masked(0x89, fmt.Append(nil, i)))
			}
			if grown := c.rc.Pending() - before; grown != 0 {
				t.Errorf("%d bytes of pongs wait", grown)
			}
		})
		for {
			first, payload, err := p.frame()
			if err != nil {
				t.Fatal(err)
			}
			if first == 0x8a {
				if string(payload) != "999" {
					t.Errorf("the pong answers %q", payload)
				}
				break
			}
		}
		p.raw(masked(0x89, []byte("again"))...)
		p.expect(0x8a, "again")
	})
}

// TestControlCost (B05): a hundred thousand pings at the budget as it comes.
func TestControlCost(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{}, 1000)
		for _, first := range []byte{0x89, 0x8a, 0x88} {
			p := h.dial()
			n := spent(func() {
				batch := bytes.Repeat(masked(first, nil), 1000)
				for range 100 {
					if _, err := p.conn.Write(batch); err != nil {
						break
					}
				}
				p.conn.Close()
				receive(t, "Closed", h.closed)
			})
			if n > 1<<20 { // not even a word for each
				t.Errorf("%#x: %d bytes allocated", first, n)
			}
		}
	})
}

// TestBombs (B06): decompressing stops at the limit, and memory with it.
func TestBombs(t *testing.T) {
	const limit = 64 << 10
	stored := append(bytes.Repeat(append([]byte{0, 0xff, 0x0f, 0, 0xf0}, make([]byte, 4095)...), 15), 0)
	stored = append(stored[:len(stored)-1], append([]byte{0, 0xff, 0x1f, 0, 0xe0}, append(make([]byte, 8191), 0)...)...)
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, limit)
		warm := h.dial(deflate)
		warm.raw(masked(0xc2, wsframe.Deflate(nil, []byte("warm")))...)
		warm.expect(0x82, "warm")
		warm.conn.Close()
		receive(t, "Closed", h.closed)
		for _, c := range []struct {
			name string
			z    []byte
			want uint16 // 0: an empty message comes back
		}{
			{"1:1000", wsframe.Deflate(nil, make([]byte, 60<<20)), 1009},
			{"stored blocks", stored, 1009},
			{"endless flushes", bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, limit/5), 1007},
			{"flushes that end", append(bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, limit/5), 0), 0},
		} {
			p := h.dial(deflate)
			sent := masked(0xc2, c.z)
			var got uint16
			n := spent(func() {
				p.raw(sent...)
				if c.want == 0 {
					p.expect(0x82, "")
					return
				}
				got = p.outcome()
			})
			if got != c.want || n > 8*limit*slack {
				t.Errorf("%s: %d bytes: closed with %d, %d bytes allocated", c.name, len(c.z), got, n)
			}
			p.conn.Close()
			receive(t, "Closed", h.closed)
		}
	})
}

// A message whose size is the limit may come compressed, even where that makes
// it longer, and one byte more may not.
func TestLimitCompressed(t *testing.T) {
	const limit = 10_000
	h := serve(t, "", lax, limit)
	noise := make([]byte, limit+1)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, n := range []int{limit - 1, limit, limit + 1} {
		p := h.dial(deflate)
		z := wsframe.Deflate(nil, noise[:n])
		if len(z) <= n {
			t.Fatalf("%d bytes are compressed to %d: no test", n, len(z))
		}
		p.raw(masked(0xc2, z)...)
		if n > limit {
			p.closedWith(1009)
			continue
		}
		p.expect(0x82, string(noise[:n]))
	}
}

// Receiving a small frame and answering it allocates nothing.
func TestEchoAllocatesNothing(t *testing.T) {
	e, err := reactor.New(reactor.Options{Loops: 1, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	if e.Name() != "epoll" {
		t.Skip("the goroutine driver copies what it sends")
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	var c *Conn
	opened := make(chan struct{})
	h := serveApp(t, "", Options{ControlPerSecond: mostControl, Compression: true, Logger: silent}, func() App {
		return &app{
			open:    func(o *Conn) { c = o; close(opened) },
			message: func(c *Conn, op Opcode, p []byte) { c.WriteMessage(op, p) },
		}
	})
	p := h.dial(deflate)
	receive(t, "Open", opened)
	long := strings.Repeat(`{"type":"move","x":1,"y":2}`, 20)
	for _, f := range []struct {
		name  string
		bytes []byte
		most  float64
	}{
		{"text", masked(0x81, []byte(`{"type":"ping"}`)), 0},
		{"bytes", masked(0x82, make([]byte, 300)), 0},
		{"ping", masked(0x89, []byte("?")), 0},
		{"two frames", append(masked(0x81, []byte("one")), masked(0x81, []byte("two"))...), 0},
		{"in fragments", append(masked(0x01, []byte("one")), masked(0x80, []byte("two"))...), 0},
		// The compressor's own pools may be emptied in between.
		{"compressed", masked(0xc1, wsframe.Deflate(nil, []byte(long))), 3},
	} {
		frame := make([]byte, len(f.bytes))
		var n float64
		on(t, h.engine.Loops()[0], func() {
			n = testing.AllocsPerRun(50, func() {
				copy(frame, f.bytes) // the last run has unmasked it
				c.Data(c.rc, frame)
			})
		})
		if n > f.most && !raceEnabled {
			t.Errorf("%s: %v allocations", f.name, n)
		}
		_ = p.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = io.Copy(io.Discard, p.r)
	}
}

// Reading a browser's handshake.
func BenchmarkHandshake(b *testing.B) {
	e, err := reactor.New(reactor.Options{Loops: 1, Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Stop(context.Background()) }()
	h := NewApp(e, Options{Compression: true}, nil)
	r, err := http.NewRequest(http.MethodGet, "/v1/ws", nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"} {
		r.Header.Set(name, value)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := readHandshake(r, h.opts.Load().Compression); bad != nil {
			b.Fatal(bad.err)
		}
	}
}
