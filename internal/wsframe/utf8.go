package wsframe

import (
	"encoding/binary"
	"unicode/utf8"
)

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
	if u.bad {
		return false
	}
	for i := 0; i < len(p); {
		if u.need == 0 {
			if i += wholeRunes(p[i:]); i == len(p) {
				return true
			}
			// What is left is cut short by the end of p, or wrong.
			if !u.lead(p[i]) {
				return false
			}
			i++
			continue
		}
		if p[i] < u.lo || p[i] > u.hi {
			u.bad = true
			return false
		}
		u.need--
		u.lo, u.hi = 0x80, 0xBF
		i++
	}
	return true
}

// wholeRunes returns how many bytes p begins with that are whole valid runes.
// Most text is ASCII for long stretches, so that goes 32 and 8 bytes at a time.
func wholeRunes(p []byte) int {
	i := 0
	for i < len(p) {
		for len(p)-i >= 32 {
			q := p[i : i+32]
			if (word(q)|word(q[8:])|word(q[16:])|word(q[24:]))&nonASCII != 0 {
				break
			}
			i += 32
		}
		for len(p)-i >= 8 && word(p[i:])&nonASCII == 0 {
			i += 8
		}
		for i < len(p) && p[i] < utf8.RuneSelf {
			i++
		}
		for i < len(p) && p[i] >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(p[i:])
			if r == utf8.RuneError && size == 1 {
				return i
			}
			i += size
		}
	}
	return i
}

const nonASCII = 0x8080808080808080

func word(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

// lead takes the first byte of a rune of two bytes or more. The ranges of the
// second byte, from Unicode table 3-7, keep out overlong forms, surrogates and
// what lies beyond U+10FFFF.
func (u *UTF8) lead(c byte) bool {
	u.lo, u.hi = 0x80, 0xBF
	switch {
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
		return false
	}
	return true
}

// Done reports whether what was written is whole valid UTF-8: not refused, and
// not in the middle of a rune.
func (u *UTF8) Done() bool { return !u.bad && u.need == 0 }

// Reset makes u ready for another message.
func (u *UTF8) Reset() { *u = UTF8{} }
