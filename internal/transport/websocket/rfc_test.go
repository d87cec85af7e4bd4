package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"ringdown/internal/wsframe"
)

// The rules of RFC 6455 and RFC 7692 as scripts, in the order of Autobahn's
// groups, so that a case that fails there is found here: 1 framing, 2 pings and
// pongs, 3 reserved bits, 4 opcodes, 5 fragmentation, 6 UTF-8, 7 closing,
// 9 sizes, 10 automatic fragmentation, 12 and 13 compression. Each is played on
// both engines against an echo.

// answer is one frame of the server.
type answer struct {
	first   byte
	payload string
}

// script is what a client writes and what it gets. After the answers either the
// line is closed with end, or (0) it lives on, which a ping tells.
type script struct {
	name    string
	headers []string
	writes  [][]byte // each leaves by itself
	answers []answer
	end     uint16
}

const (
	text, bin, closing, ping, pong = 0x81, 0x82, 0x88, 0x89, 0x8a
	textOpen, binOpen              = 0x01, 0x02 // more fragments follow
	more, last                     = 0x00, 0x80
)

func TestRFC(t *testing.T) {
	groups := []struct {
		name    string
		scripts []script
	}{
		{"1", framing()}, {"2", pings()}, {"3", reserved()}, {"4", opcodes()}, {"5", fragments()},
		{"6", utf8Scripts()}, {"7", closes()}, {"9", sizes()}, {"10", automatic()}, {"12-13", compression()},
	}
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 4<<20)
		total := 0
		for _, g := range groups {
			for _, s := range g.scripts {
				h.play(t, g.name, s)
				total++
			}
		}
		t.Logf("%d scripts played", total)
	})
}

func (h *host) play(t *testing.T, group string, s script) {
	t.Helper()
	p := h.dial(s.headers...)
	defer p.conn.Close()
	_ = p.conn.SetNoDelay(true)
	for _, w := range s.writes {
		p.raw(w...)
	}
	for i, want := range s.answers {
		first, payload, err := p.frame()
		if err != nil || first != want.first || string(payload) != want.payload {
			t.Errorf("%s %s: answer %d is %#x %.60q of %d bytes (%v), want %#x %.60q of %d", group, s.name, i, first, payload, len(payload), err, want.first, want.payload, len(want.payload))
			return
		}
	}
	if s.end != 0 {
		first, payload, err := p.frame()
		code := uint16(wsframe.NoStatus)
		if len(payload) >= 2 {
			code = binary.BigEndian.Uint16(payload)
		}
		if err != nil || first != closing || code != s.end {
			t.Errorf("%s %s: the end is %#x %d (%v), want a close frame with %d", group, s.name, first, code, err, s.end)
			return
		}
		// Where the script ends inside a frame, an answer would be taken for its rest.
		p.raw(masked(closing, payload)...)
		_ = p.conn.CloseWrite()
		if _, err := p.r.ReadByte(); err == nil {
			t.Errorf("%s %s: something comes behind the close frame", group, s.name)
		}
		return
	}
	p.raw(masked(ping, []byte("alive?"))...)
	if first, payload, err := p.frame(); err != nil || first != pong || string(payload) != "alive?" {
		t.Errorf("%s %s: instead of a pong at the end comes %#x %.60q (%v)", group, s.name, first, payload, err)
	}
}

// chop cuts bytes into pieces.
func chop(p []byte, size int) [][]byte {
	var out [][]byte
	for len(p) > 0 {
		n := min(size, len(p))
		out = append(out, p[:n])
		p = p[n:]
	}
	return out
}

// split makes a message of fragments of size bytes each.
func split(op byte, payload string, size int) []byte {
	var out []byte
	first := op &^ 0x80
	for _, part := range chop([]byte(payload), size) {
		out = append(out, masked(first, part)...)
		first = more
	}
	return append(out, masked(last, nil)...)
}

func framing() (list []script) {
	for _, op := range []byte{text, bin} {
		for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
			s := strings.Repeat("*", n)
			frame := masked(op, []byte(s))
			list = append(list, script{name: fmt.Sprintf("%#x of %d", op, n), writes: [][]byte{frame}, answers: []answer{{op, s}}})
			list = append(list, script{name: fmt.Sprintf("%#x of %d in pieces", op, n), writes: chop(frame, 997), answers: []answer{{op, s}}})
		}
		frame := masked(op, []byte("octet by octet"))
		list = append(list, script{name: "octet by octet", writes: chop(frame, 1), answers: []answer{{op, "octet by octet"}}})
	}
	two := append(masked(text, []byte("one")), masked(bin, []byte("two"))...)
	return append(list, script{name: "two in one write", writes: [][]byte{two}, answers: []answer{{text, "one"}, {bin, "two"}}})
}

func pings() (list []script) {
	var many []byte
	var pongs []answer
	for i := range 10 {
		many = append(many, masked(ping, fmt.Append(nil, i))...)
		pongs = append(pongs, answer{pong, fmt.Sprint(i)})
	}
	odd := string([]byte{0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff})
	return append(list,
		script{name: "empty", writes: [][]byte{masked(ping, nil)}, answers: []answer{{pong, ""}}},
		script{name: "text", writes: [][]byte{masked(ping, []byte("hello"))}, answers: []answer{{pong, "hello"}}},
		script{name: "not UTF-8", writes: [][]byte{masked(ping, []byte(odd))}, answers: []answer{{pong, odd}}},
		script{name: "125", writes: [][]byte{masked(ping, make([]byte, 125))}, answers: []answer{{pong, string(make([]byte, 125))}}},
		script{name: "125 octet by octet", writes: chop(masked(ping, make([]byte, 125)), 1), answers: []answer{{pong, string(make([]byte, 125))}}},
		script{name: "126", writes: [][]byte{masked(ping, make([]byte, 126))}, end: 1002},
		script{name: "unasked pong", writes: [][]byte{masked(pong, nil)}},
		script{name: "unasked pong with payload", writes: [][]byte{masked(pong, []byte("unasked"))}},
		script{name: "unasked pong, then ping", writes: [][]byte{masked(pong, []byte("unasked")), masked(ping, []byte("asked"))}, answers: []answer{{pong, "asked"}}},
		script{name: "ten", writes: [][]byte{many}, answers: pongs},
		script{name: "ten octet by octet", writes: chop(many, 1), answers: pongs},
	)
}

func reserved() (list []script) {
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []byte{text, bin, ping, pong, closing} {
			bad := masked(op|rsv<<4, nil)
			list = append(list,
				script{name: fmt.Sprintf("RSV %d on %#x", rsv, op), writes: [][]byte{bad}, end: 1002},
				// What came before is still answered, what comes behind no longer.
				script{name: fmt.Sprintf("RSV %d on %#x between messages", rsv, op),
					writes:  [][]byte{append(append(masked(text, []byte("before")), bad...), masked(ping, nil)...)},
					answers: []answer{{text, "before"}}, end: 1002})
		}
		// Also with deflate agreed, but for RSV1 on a message.
		if rsv != 4 {
			list = append(list, script{name: fmt.Sprintf("RSV %d with deflate", rsv), headers: []string{deflate}, writes: [][]byte{masked(text|rsv<<4, nil)}, end: 1002})
		}
	}
	return append(list,
		script{name: "RSV1 on a ping with deflate", headers: []string{deflate}, writes: [][]byte{masked(ping|0x40, nil)}, end: 1002},
		script{name: "RSV1 on a continuation with deflate", headers: []string{deflate}, writes: [][]byte{masked(textOpen, nil), masked(last|0x40, nil)}, end: 1002})
}

func opcodes() (list []script) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, payload := range []string{"", "payload"} {
			bad := masked(0x80|op, []byte(payload))
			list = append(list,
				script{name: fmt.Sprintf("opcode %d %q", op, payload), writes: [][]byte{bad}, end: 1002},
				script{name: fmt.Sprintf("opcode %d %q behind a message", op, payload), writes: [][]byte{masked(text, []byte("before")), bad}, answers: []answer{{text, "before"}}, end: 1002})
		}
	}
	return list
}

func fragments() (list []script) {
	two := [][]byte{masked(textOpen, []byte("frag")), masked(last, []byte("ment"))}
	withPing := func(parts ...[]byte) [][]byte {
		return append([][]byte{masked(textOpen, []byte("frag")), masked(ping, []byte("between"))}, parts...)
	}
	all := bytes.Join(withPing(masked(last, []byte("ment"))), nil)
	return append(list,
		script{name: "ping in two", writes: [][]byte{masked(0x09, []byte("a")), masked(last, []byte("b"))}, end: 1002},
		script{name: "pong in two", writes: [][]byte{masked(0x0a, []byte("a")), masked(last, []byte("b"))}, end: 1002},
		script{name: "text in two", writes: two, answers: []answer{{text, "fragment"}}},
		script{name: "text in two, one write", writes: [][]byte{bytes.Join(two, nil)}, answers: []answer{{text, "fragment"}}},
		script{name: "text in two, octet by octet", writes: chop(bytes.Join(two, nil), 1), answers: []answer{{text, "fragment"}}},
		script{name: "ping between", writes: withPing(masked(last, []byte("ment"))), answers: []answer{{pong, "between"}, {text, "fragment"}}},
		script{name: "ping between, one write", writes: [][]byte{all}, answers: []answer{{pong, "between"}, {text, "fragment"}}},
		script{name: "ping between, octet by octet", writes: chop(all, 1), answers: []answer{{pong, "between"}, {text, "fragment"}}},
		script{name: "pong between", writes: [][]byte{masked(binOpen, []byte("a")), masked(pong, nil), masked(last, []byte("b"))}, answers: []answer{{bin, "ab"}}},
		script{name: "close between", writes: withPing(masked(closing, nil)), answers: []answer{{pong, "between"}}, end: wsframe.NoStatus},
		script{name: "continuation of nothing, last", writes: [][]byte{masked(last, []byte("x")), masked(text, nil)}, end: 1002},
		script{name: "continuation of nothing, more", writes: [][]byte{masked(more, []byte("x")), masked(text, nil)}, end: 1002},
		script{name: "continuation behind a whole message", writes: [][]byte{masked(text, []byte("whole")), masked(last, nil)}, answers: []answer{{text, "whole"}}, end: 1002},
		script{name: "text inside text", writes: [][]byte{masked(textOpen, nil), masked(text, nil)}, end: 1002},
		script{name: "text begins inside text", writes: [][]byte{masked(textOpen, nil), masked(textOpen, nil)}, end: 1002},
		script{name: "binary inside text", writes: [][]byte{masked(textOpen, nil), masked(bin, nil)}, end: 1002},
		script{name: "empty fragments", writes: [][]byte{masked(textOpen, nil), masked(more, nil), masked(last, nil)}, answers: []answer{{text, ""}}},
		script{name: "all but the middle empty", writes: [][]byte{masked(binOpen, nil), masked(more, []byte("mid")), masked(last, nil)}, answers: []answer{{bin, "mid"}}},
		script{name: "one after another", writes: append(two, two...), answers: []answer{{text, "fragment"}, {text, "fragment"}}},
		script{name: "unmasked", writes: [][]byte{{text, 1, 'x'}}, end: 1002},
		script{name: "unmasked continuation", writes: [][]byte{masked(textOpen, []byte("a")), {last, 1, 'x'}}, end: 1002},
	)
}

// utf8Scripts: each string whole, in fragments of one byte, and in writes of one
// byte. A bad one is refused at its first bad byte, though more is announced.
func utf8Scripts() (list []script) {
	for _, s := range []string{
		"", "plain", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufdd0", "\ufffd",
		"\ufffe", "\uffff", "\U00010000", "\U0001fffe", "\U000fffff", "\U00100000", "\U0010fffe", "\U0010ffff", "日本語テキスト", "𝄞𝔸",
	} {
		list = append(list,
			script{name: fmt.Sprintf("%+q", s), writes: [][]byte{masked(text, []byte(s))}, answers: []answer{{text, s}}},
			script{name: fmt.Sprintf("%+q in fragments", s), writes: [][]byte{split(text, s, 1)}, answers: []answer{{text, s}}},
			script{name: fmt.Sprintf("%+q octet by octet", s), writes: chop(masked(text, []byte(s)), 1), answers: []answer{{text, s}}})
		if s == "" {
			list = list[:len(list)-2] // an empty string has no fragments
		}
	}
	for _, s := range []string{
		"\x80", "\xbf", "\x80\xbf", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80",
		"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
		"\xfe", "\xff", "\xfe\xfe\xff\xff", "\xc3(", "\xe2\x82(", "\xf0\x9f\x98(", "κόσμε\xed\xa0\x80edited",
	} {
		list = append(list,
			script{name: fmt.Sprintf("%+q", s), writes: [][]byte{masked(text, []byte(s))}, end: 1007},
			script{name: fmt.Sprintf("%+q in fragments", s), writes: [][]byte{split(text, s, 1)}, end: 1007},
			script{name: fmt.Sprintf("%+q is never finished", s), writes: [][]byte{masked(textOpen, []byte(s))}, end: 1007},
			script{name: fmt.Sprintf("%+q, and a frame that goes on", s), writes: [][]byte{masked(text, []byte(s+strings.Repeat("x", 1000)))[:8+len(s)]}, end: 1007},
			script{name: fmt.Sprintf("%+q in binary", s), writes: [][]byte{masked(bin, []byte(s))}, answers: []answer{{bin, s}}})
	}
	// Not wrong yet, and wrong only because it ends.
	for _, s := range []string{"\xce", "\xe2\x82", "\xf0\x9f\x98", "κόσμ\xce"} {
		list = append(list,
			script{name: fmt.Sprintf("%+q ends", s), writes: [][]byte{masked(text, []byte(s))}, end: 1007},
			script{name: fmt.Sprintf("%+q ends in fragments", s), writes: [][]byte{split(text, s, 1)}, end: 1007},
			script{name: fmt.Sprintf("%+q is awaited", s), writes: [][]byte{masked(textOpen, []byte(s))}})
	}
	return list
}

func closes() (list []script) {
	payload := func(code uint16, reason string) []byte {
		return append(binary.BigEndian.AppendUint16(nil, code), reason...)
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		list = append(list, script{name: fmt.Sprint("code ", code), writes: [][]byte{masked(closing, payload(code, "reason"))}, end: code})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		list = append(list, script{name: fmt.Sprint("code ", code), writes: [][]byte{masked(closing, payload(code, ""))}, end: 1002})
	}
	return append(list,
		script{name: "message, then close", writes: [][]byte{masked(text, []byte("last word")), masked(closing, payload(1000, ""))}, answers: []answer{{text, "last word"}}, end: 1000},
		script{name: "two closes", writes: [][]byte{masked(closing, payload(1000, "")), masked(closing, payload(1000, ""))}, end: 1000},
		script{name: "ping behind close", writes: [][]byte{append(masked(closing, payload(1000, "")), masked(ping, nil)...)}, end: 1000},
		script{name: "message behind close", writes: [][]byte{append(masked(closing, payload(1000, "")), masked(text, []byte("late"))...)}, end: 1000},
		script{name: "fragments around close", writes: [][]byte{masked(textOpen, []byte("a")), append(masked(closing, payload(1000, "")), masked(last, []byte("b"))...)}, end: 1000},
		script{name: "much behind close", writes: [][]byte{append(masked(closing, payload(1000, "")), make([]byte, 256<<10)...)}, end: 1000},
		script{name: "no payload", writes: [][]byte{masked(closing, nil)}, end: wsframe.NoStatus},
		script{name: "one byte", writes: [][]byte{masked(closing, []byte{3})}, end: 1002},
		script{name: "a reason of 123 bytes", writes: [][]byte{masked(closing, payload(1000, strings.Repeat("*", 123)))}, end: 1000},
		script{name: "a reason of 124 bytes", writes: [][]byte{masked(closing, payload(1000, strings.Repeat("*", 124)))}, end: 1002},
		script{name: "a reason that is not UTF-8", writes: [][]byte{masked(closing, payload(1000, "κόσμε\xed\xa0\x80edited"))}, end: 1007},
		script{name: "octet by octet", writes: chop(masked(closing, payload(1000, "bye")), 1), end: 1000},
	)
}

func sizes() (list []script) {
	for _, n := range []int{64 << 10, 256 << 10, 1 << 20} {
		s := strings.Repeat("*", n)
		for _, op := range []byte{text, bin} {
			list = append(list, script{name: fmt.Sprintf("%#x of %d", op, n), writes: [][]byte{masked(op, []byte(s))}, answers: []answer{{op, s}}})
			for _, size := range []int{1024, 64 << 10} {
				list = append(list,
					script{name: fmt.Sprintf("%#x of %d in fragments of %d", op, n, size), writes: [][]byte{split(op, s, size)}, answers: []answer{{op, s}}},
					script{name: fmt.Sprintf("%#x of %d in writes of %d", op, n, size), writes: chop(masked(op, []byte(s)), size), answers: []answer{{op, s}}})
			}
		}
	}
	most := strings.Repeat("*", 4<<20)
	return append(list,
		script{name: "the limit", writes: [][]byte{masked(bin, []byte(most))}, answers: []answer{{bin, most}}},
		script{name: "one byte over it", writes: [][]byte{masked(bin, []byte(most+"*"))}, end: 1009},
		script{name: "one byte over it in fragments", writes: [][]byte{masked(binOpen, []byte(most)), masked(last, []byte("*"))}, end: 1009},
	)
}

func automatic() []script {
	s := strings.Repeat("*", 65536)
	return []script{{name: "65536 in fragments of 1300", writes: [][]byte{split(text, s, 1300)}, answers: []answer{{text, s}}}}
}

// compression: the answers are compared decompressed, so they are played by
// TestRFCCompressed; here is what must not be accepted, and what stays plain.
func compression() []script {
	z := wsframe.Deflate(nil, []byte(strings.Repeat("compressed ", 100)))
	return []script{
		{name: "plain messages are allowed", headers: []string{deflate}, writes: [][]byte{masked(text, []byte("plain"))}, answers: []answer{{text, "plain"}}},
		{name: "a small one comes back plain", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, wsframe.Deflate(nil, []byte("small")))}, answers: []answer{{text, "small"}}},
		{name: "an empty one", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, []byte{0})}, answers: []answer{{text, ""}}},
		{name: "the example of RFC 7692 §7.2.3.1", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})}, answers: []answer{{text, "Hello"}}},
		{name: "its two fragments", headers: []string{deflate}, writes: [][]byte{masked(textOpen|0x40, []byte{0xf2, 0x48, 0xcd}), masked(last, []byte{0xc9, 0xc9, 0x07, 0x00})}, answers: []answer{{text, "Hello"}}},
		{name: "its stored block, §7.2.3.3", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, []byte{0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00})}, answers: []answer{{text, "Hello"}}},
		{name: "its last block, §7.2.3.4", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, []byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00})}, answers: []answer{{text, "Hello"}}},
		{name: "its two blocks, §7.2.3.5", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, []byte{0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00})}, answers: []answer{{text, "Hello"}}},
		{name: "a context that was not agreed, §7.2.3.2", headers: []string{deflate}, writes: [][]byte{
			masked(text|0x40, []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}), masked(text|0x40, []byte{0xf2, 0x00, 0x11, 0x00, 0x00})}, answers: []answer{{text, "Hello"}}, end: 1007},
		{name: "ping between compressed fragments", headers: []string{deflate}, writes: [][]byte{masked(textOpen|0x40, []byte{0xf2, 0x48, 0xcd}), masked(ping, []byte("?")), masked(last, []byte{0xc9, 0xc9, 0x07, 0x00})},
			answers: []answer{{pong, "?"}, {text, "Hello"}}},
		{name: "cut off", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, z[:len(z)/2])}, end: 1007},
		{name: "no stream at all", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, []byte("plain text"))}, end: 1007},
		{name: "not UTF-8 inside", headers: []string{deflate}, writes: [][]byte{masked(text|0x40, wsframe.Deflate(nil, []byte("\xed\xa0\x80")))}, end: 1007},
		{name: "not negotiated", writes: [][]byte{masked(text|0x40, z)}, end: 1002},
	}
}

// Compressed messages of many sizes come back compressed and whole, for every
// window a client may have and however it cuts them.
func TestRFCCompressed(t *testing.T) {
	var words bytes.Buffer
	for i := 0; words.Len() < 131072; i++ {
		fmt.Fprintf(&words, `{"id":%d,"name":"order %d","total":%d.%02d}`, i, i*7, i%1000, i%100)
	}
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1<<20)
		for _, offer := range []string{deflate, deflate + "; client_max_window_bits", deflate + "; server_max_window_bits=8", deflate + "; server_max_window_bits=9",
			deflate + "; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=9", deflate + `; server_max_window_bits="15"`} {
			p := h.dial(offer)
			for _, n := range []int{16, 64, 256, 1024, 8192, 32768, 65536, 131072} {
				s := string(words.Bytes()[:n])
				z := wsframe.Deflate(nil, []byte(s))
				for _, size := range []int{len(z), 1300} {
					parts := chop(z, size)
					for i, part := range parts {
						first := byte(more)
						if i == 0 {
							first = textOpen | 0x40
						}
						if i == len(parts)-1 {
							first |= last
						}
						p.raw(masked(first, part)...)
					}
					first, got, err := p.frame()
					if err == nil && first&0x40 != 0 {
						got, err = wsframe.Inflate(nil, got, n)
					}
					if err != nil || string(got) != s {
						t.Fatalf("%s: %d bytes in parts of %d come back as %#x, %d bytes (%v)", offer, n, size, first, len(got), err)
					}
					if want := byte(text | 0x40); n >= wsframe.DeflateMin && first != want {
						t.Errorf("%s: %d bytes come back as %#x, want %#x", offer, n, first, want)
					}
				}
			}
			p.conn.Close()
		}
	})
}
