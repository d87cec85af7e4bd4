package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringdown/internal/wsframe"
)

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
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{ControlPerSecond: mostControl, Logger: silent}, 1<<20)
		tally := map[string]int{}
		for first := range 256 {
			for _, mask := range []bool{true, false} {
				p := h.dial()
				tally[p.firstByte(byte(first), mask)]++
				p.conn.Close()
			}
		}
		// 1 and 2 whole or not, and 9 and 10 whole; 8 whole.
		if tally["accepted"] != 6 || tally["closed in order"] != 1 || tally["1002"] != 505 {
			t.Error("other than the RFC has it")
		}
		t.Logf("512 first bytes: %v", tally)
	})
}

// firstByte sends an empty frame with that first byte, and a ping behind it,
// and returns what came of it.
func (p *peer) firstByte(first byte, mask bool) string {
	frame := []byte{first, 0}
	if mask {
		frame = masked(first, nil)
	}
	p.raw(append(frame, masked(0x89, []byte("?"))...)...)
	for {
		f, got, err := p.frame()
		switch {
		case err != nil:
			return err.Error()
		case f == 0x8a && string(got) == "?":
			return "accepted"
		case f == 0x88 && len(got) == 0:
			return "closed in order"
		case f == 0x88:
			return fmt.Sprint(binary.BigEndian.Uint16(got))
		}
	}
}

// TestCloseCodes (A06): every code from 0 to 5000 is echoed or refused.
func TestCloseCodes(t *testing.T) {
	e := startEngine(t, "std")
	h := NewApp(e, lax, nil)
	tally := map[string]int{}
	for code := range uint16(5001) {
		got := h.feed(t, e, masked(0x88, binary.BigEndian.AppendUint16(nil, code)), func(n int) int { return n })
		want, what := fmt.Sprintf("0x88 %q <nil>", binary.BigEndian.AppendUint16(nil, code)), "echoed"
		if !wsframe.ValidCloseCode(code) {
			want, what = `0x88 "\x03\xea`, "refused with 1002"
		}
		if !strings.Contains(got, want) {
			t.Errorf("code %d is answered with %q, want %s", code, got, want)
		}
		tally[what]++
	}
	t.Logf("codes 0 to 5000: %v", tally)
}

func TestCloseReasons(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1<<20)
		for name, c := range map[string]struct {
			payload []byte
			want    uint16
		}{
			"none":          {[]byte{3, 0xe8}, 1000},
			"bad UTF-8":     {[]byte{3, 0xe8, 0xff, 0xfe}, 1007},
			"half a rune":   {[]byte{3, 0xe8, 'a', 0xc3}, 1007},
			"half a code":   {[]byte{3}, 1002},
			"123 of reason": {append([]byte{3, 0xe8}, bytes.Repeat([]byte("x"), 123)...), 1000},
			"124 of reason": {append([]byte{3, 0xe8}, bytes.Repeat([]byte("x"), 124)...), 1002},
			"126 of reason": {append([]byte{3, 0xe8}, bytes.Repeat([]byte("x"), 126)...), 1002},
			"bad code, bad": {[]byte{0, 1, 0xff}, 1002},
		} {
			p := h.dial()
			p.raw(masked(0x88, c.payload)...)
			if got := p.outcome(); got != c.want {
				t.Errorf("%s: answered with %d, want %d", name, got, c.want)
			}
			p.conn.Close()
		}
	})
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
		h := serve(t, engine, Options{PingInterval: 100 * time.Millisecond, PongTimeout: time.Second, StalledTimeout: 300 * time.Millisecond, CloseTimeout: 100 * time.Millisecond}, 1<<20)
		p := h.dial()
		frame := masked(0x82, make([]byte, 1<<20))
		go func() {
			for range 200 {
				if _, err := p.conn.Write(frame); err != nil {
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
