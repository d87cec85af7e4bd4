package wsframe

import "unicode/utf8"

// UTF8 checks the bytes of a text message as they come, however they are cut
// (RFC 6455 §8.1). It refuses at the first byte that no continuation could make
// right, so that a hopeless message is not read to its end. The zero value is
// ready; it is not for use by several goroutines at once.
type UTF8 struct {
	need   uint8 // continuation bytes still missing in the current rune
	lo, hi uint8 // range of the next one
	bad    bool
}

// Write takes the next bytes and reports whether all of them so far can be the
// beginning of valid UTF-8. After false it stays false until Reset.
func (u *UTF8) Write(p []byte) bool {
	for u.need > 0 && len(p) > 0 && !u.bad {
		u.step(p[0])
		p = p[1:]
	}
	if u.bad {
		return false
	}
	whole := len(p) - cutShort(p)
	if !utf8.Valid(p[:whole]) {
		u.bad = true
		return false
	}
	for _, c := range p[whole:] {
		u.step(c)
	}
	return !u.bad
}

// cutShort returns how many bytes at the end of p look like the beginning of a
// rune that goes on after p.
func cutShort(p []byte) int {
	for n := 1; n <= min(len(p), utf8.UTFMax-1); n++ {
		switch c := p[len(p)-n]; {
		case c < 0x80, c >= 0xC0 && c < 0xE0 && n == 2, c >= 0xE0 && c < 0xF0 && n == 3:
			return 0
		case c >= 0xC0:
			return n
		}
	}
	return 0
}

// step takes one byte.
func (u *UTF8) step(c byte) {
	switch {
	case u.bad:
	case u.need == 0:
		u.lead(c)
	case c < u.lo || c > u.hi:
		u.bad = true
	default:
		u.need--
		u.lo, u.hi = 0x80, 0xBF
	}
}

// lead takes the first byte of a rune. The ranges of the second byte, from
// Unicode table 3-7, keep out overlong forms, surrogates and what lies beyond
// U+10FFFF.
func (u *UTF8) lead(c byte) {
	u.lo, u.hi = 0x80, 0xBF
	switch {
	case c < 0x80:
	case c >= 0xC2 && c <= 0xDF:
		u.need = 1
	case c >= 0xE0 && c <= 0xEF:
		u.need = 2
		if c == 0xE0 {
			u.lo = 0xA0
		} else if c == 0xED {
			u.hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		u.need = 3
		if c == 0xF0 {
			u.lo = 0x90
		} else if c == 0xF4 {
			u.hi = 0x8F
		}
	default:
		u.bad = true
	}
}

// Done reports whether what was written is whole valid UTF-8: not refused, and
// not in the middle of a rune.
func (u *UTF8) Done() bool { return !u.bad && u.need == 0 }

// Reset makes u ready for another message.
func (u *UTF8) Reset() { *u = UTF8{} }
