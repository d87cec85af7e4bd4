package protocol

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// scanner goes once through a JSON text (RFC 8259) and checks it, without
// building anything. It is stricter than the RFC where other JSON libraries go
// different ways: no object may have a name twice, \u escapes must make whole
// characters, nesting and numbers are limited.
//
// Its methods take the index to begin at and return the index after what they
// read, or -1 after a fault, which is then in the scanner. It lives on
// the stack of whoever decodes.
type scanner struct {
	src   []byte
	keys  keyset
	fault string // what is wrong
	at    int    // and at which byte
}

func (s *scanner) fail(at int, fault string) int {
	s.fault, s.at = fault, at
	return -1
}

// err returns the fault as it is told to the client.
func (s *scanner) err() *Error {
	if marked(s.src) {
		return errMarked()
	}
	return Errorf(CodeBadRequest, "%s at byte %d", s.fault, s.at)
}

// marked reports whether a text begins with a byte order mark, which nobody sees.
func marked(text []byte) bool { return bytes.HasPrefix(text, []byte("\uFEFF")) }

func errMarked() *Error {
	return Errorf(CodeBadRequest, "the text begins with a byte order mark (BOM); send UTF-8 without one")
}

func (s *scanner) space(i int) int {
	for i < len(s.src) {
		switch s.src[i] {
		case ' ', '\n', '\r', '\t':
			i++
		default:
			return i
		}
	}
	return i
}

// whole checks that nothing but space is left.
func (s *scanner) whole(i int) int {
	if i = s.space(i); i < len(s.src) {
		return s.fail(i, "there is more after the end of the JSON value,")
	}
	return i
}

// value checks the value that begins at i, with depth arrays and objects around
// it.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.src) {
		return s.fail(i, "the JSON text ends too early,")
	}
	switch c := s.src[i]; {
	case c == '"':
		end, _ := s.str(i)
		return end
	case c == '{':
		return s.object(i, depth)
	case c == '[':
		return s.array(i, depth)
	case c == '-' || c >= '0' && c <= '9':
		return s.number(i)
	case c == 't':
		return s.word(i, "true")
	case c == 'f':
		return s.word(i, "false")
	case c == 'n':
		return s.word(i, "null")
	}
	return s.fail(i, "expected a JSON value")
}

func (s *scanner) word(i int, word string) int {
	if len(s.src)-i < len(word) || string(s.src[i:i+len(word)]) != word {
		return s.fail(i, "expected a JSON value")
	}
	return i + len(word)
}

func (s *scanner) array(i, depth int) int {
	if depth == MaxDepth {
		return s.fail(i, "more than 64 arrays and objects inside one another")
	}
	if i = s.space(i + 1); i < len(s.src) && s.src[i] == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth+1); i < 0 {
			return -1
		}
		end := false
		if i, end = s.next(i, ']'); end || i < 0 {
			return i
		}
	}
}

func (s *scanner) object(i, depth int) int {
	if depth == MaxDepth {
		return s.fail(i, "more than 64 arrays and objects inside one another")
	}
	base := s.keys.n
	i, end := s.open(i)
	for !end && i >= 0 {
		if _, i = s.name(i, base); i < 0 {
			return -1
		}
		if i = s.value(i, depth+1); i < 0 {
			return -1
		}
		i, end = s.next(i, '}')
	}
	s.keys.cut(base)
	return i
}

// open goes past the { of an object, and past the } as well if it is empty.
func (s *scanner) open(i int) (next int, end bool) {
	if i = s.space(i + 1); i < len(s.src) && s.src[i] == '}' {
		return i + 1, true
	}
	return i, false
}

// name reads a name of the object whose names begin at base, and goes to its
// value.
func (s *scanner) name(i, base int) (string, int) {
	if i >= len(s.src) {
		return "", s.fail(i, "the JSON text ends too early,")
	}
	if s.src[i] != '"' {
		return "", s.fail(i, "expected a name in quotes")
	}
	end, escaped := s.str(i)
	if end < 0 {
		return "", -1
	}
	name := view(s.src[i+1 : end-1])
	if escaped {
		name = view(unescape(s.src[i+1 : end-1]))
	}
	if !s.keys.add(name, base) {
		return "", s.fail(i, "the same name for a second time in one object,")
	}
	if i = s.space(end); i >= len(s.src) {
		return "", s.fail(i, "the JSON text ends too early,")
	}
	if s.src[i] != ':' {
		return "", s.fail(i, "expected a colon")
	}
	return name, s.space(i + 1)
}

// next goes past what follows a value: a comma, or the closing byte and then
// end is true.
func (s *scanner) next(i int, closing byte) (next int, end bool) {
	if i = s.space(i); i >= len(s.src) {
		return s.fail(i, "the JSON text ends too early,"), false
	}
	switch s.src[i] {
	case ',':
		return s.space(i + 1), false
	case closing:
		return i + 1, true
	}
	if closing == ']' {
		return s.fail(i, "expected a comma or ]"), false
	}
	return s.fail(i, "expected a comma or }"), false
}

// number checks a number. Its length and exponent are limited, since a few bytes
// can otherwise name a number that takes megabytes to calculate with.
func (s *scanner) number(start int) int {
	i := start
	if s.src[i] == '-' {
		i++
	}
	if i < len(s.src) && s.src[i] == '0' {
		i++
	} else if i = s.digits(i, start); i < 0 {
		return -1
	}
	if i < len(s.src) && s.src[i] == '.' {
		if i = s.digits(i+1, start); i < 0 {
			return -1
		}
	}
	if i < len(s.src) && s.src[i]|0x20 == 'e' {
		i++
		if i < len(s.src) && (s.src[i] == '+' || s.src[i] == '-') {
			i++
		}
		first := i
		if i = s.digits(i, start); i < 0 {
			return -1
		}
		for first < i && s.src[first] == '0' {
			first++
		}
		if i-first > 3 { // MaxExponent has three digits
			return s.fail(start, "a number with an exponent beyond 999")
		}
	}
	return i
}

// digits goes past one digit or more of the number that began at start.
func (s *scanner) digits(i, start int) int {
	first := i
	for i < len(s.src) && s.src[i]-'0' <= 9 {
		if i-start >= MaxNumber {
			return s.fail(start, "a number of more than 128 bytes")
		}
		i++
	}
	if i == first {
		return s.fail(i, "expected a digit")
	}
	return i
}

// str checks the string whose opening quote is at i, and returns the index after
// the closing one.
func (s *scanner) str(i int) (next int, escaped bool) {
	src := s.src
	for i++; ; {
		for len(src)-i >= 8 {
			if m := special(binary.LittleEndian.Uint64(src[i:])); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(src) && plain[src[i]] {
			i++
		}
		if i >= len(src) {
			return s.fail(i, "the JSON text ends inside a string,"), false
		}
		switch c := src[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			for escaped = true; i < len(src) && src[i] == '\\'; {
				if i = s.escape(i); i < 0 {
					return -1, false
				}
			}
		case c < 0x20:
			return s.fail(i, "a control character that must be escaped"), false
		default:
			for i < len(src) && src[i] >= utf8.RuneSelf {
				r, size := utf8.DecodeRune(src[i:])
				if r == utf8.RuneError && size <= 1 {
					return s.fail(i, "invalid UTF-8"), false
				}
				i += size
			}
		}
	}
}

// special finds the bytes of a word at which str has to stop: it sets the
// highest bit of the lowest such byte, and perhaps of bytes above it.
func special(w uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote := w ^ '"'*ones
	slash := w ^ '\\'*ones
	return ((w-' '*ones)&^w | (quote-ones)&^quote | (slash-ones)&^slash | w) & high
}

// plain are the bytes that str goes over without another look.
var plain = func() (set [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()

// escape checks the escape sequence at i. Half a surrogate pair is no character:
// to replace it would change the data, to keep it would make strings that are
// not UTF-8, so it is refused.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.src) {
		return s.fail(i+1, "the JSON text ends inside a string,")
	}
	switch s.src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		r := hex4(s.src[i+2:])
		switch {
		case r < 0:
			return s.fail(i, "expected four hexadecimal digits after \\u,")
		case r < 0xD800 || r > 0xDFFF:
			return i + 6
		case r < 0xDC00 && len(s.src)-i >= 12 && s.src[i+6] == '\\' && s.src[i+7] == 'u':
			if low := hex4(s.src[i+8:]); low >= 0xDC00 && low <= 0xDFFF {
				return i + 12
			}
		}
		return s.fail(i, "half of a surrogate pair")
	}
	return s.fail(i, "an escape sequence that JSON does not have,")
}

// hex4 returns the value of the four hexadecimal digits that p begins with, or
// -1 if it does not.
func hex4(p []byte) rune {
	if len(p) < 4 {
		return -1
	}
	var r rune
	for _, c := range p[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape returns the text of a string that str has checked.
func unescape(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); {
		if p[i] != '\\' {
			out = append(out, p[i])
			i++
			continue
		}
		switch c := p[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(p[i+2:])
			if r >= 0xD800 && r <= 0xDFFF {
				r = 0x10000 + (r-0xD800)<<10 + hex4(p[i+8:]) - 0xDC00
				i += 6
			}
			out = utf8.AppendRune(out, r)
			i += 4
		default:
			out = append(out, c)
		}
		i += 2
	}
	return out
}

// ValidJSON returns nil if p is one JSON value as the data of a message may be:
// RFC 8259, in UTF-8, no name twice in an object, whole characters in \u escapes,
// nesting up to MaxDepth, numbers up to MaxNumber bytes and MaxExponent. Space
// around it is fine. Otherwise it returns a bad_request *Error that says what is
// wrong and at which byte. It allocates nothing for ordinary values.
func ValidJSON(p []byte) error {
	s := scanner{src: p}
	if i := s.value(s.space(0), 0); i < 0 || s.whole(i) < 0 {
		return s.err()
	}
	return nil
}
