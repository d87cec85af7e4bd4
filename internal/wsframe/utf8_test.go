package wsframe

import (
	"strings"
	"testing"
	"unicode/utf8"
)

var texts = []string{
	"", "a", "plain ASCII that is longer than one word of eight bytes",
	"κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "日本語 and ASCII 日本語", "😀😀", "a\u0000b",
	"\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
	"\xce", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65", // a surrogate
	"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xfe", // beyond Unicode
	"\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", // overlong
	"\x80", "\xbf", "a\x80b", "\xe4\xb8", "\xf0\x9f\x98", "\xe4a", "\xf0\x9f\x98a", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80",
	"0123456\xff", "01234567\xff", "01234567é", "0123456é",
}

// prefixOfRune reports whether some rune begins with p, by trying. What a byte
// after the first may be changes only at these values.
func prefixOfRune(p string) bool {
	if utf8.ValidString(p) {
		return utf8.RuneCountInString(p) == 1
	}
	if len(p) < utf8.UTFMax {
		for _, c := range []byte{0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF} {
			if prefixOfRune(p + string([]byte{c})) {
				return true
			}
		}
	}
	return false
}

// firstFault returns how many bytes of s can be the beginning of valid UTF-8.
func firstFault(s string) int {
	for n := 0; n < len(s); {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r != utf8.RuneError || size > 1 {
			n += size
			continue
		}
		for prefixOfRune(s[n:min(n+size, len(s))]) {
			if n+size > len(s) {
				return len(s)
			}
			size++
		}
		return n + size - 1
	}
	return len(s)
}

func TestUTF8(t *testing.T) {
	for _, s := range texts {
		for cut := 0; cut <= len(s); cut++ {
			var u UTF8
			u.Write([]byte(s[:cut]))
			u.Write([]byte(s[cut:]))
			if got := u.Done(); got != utf8.ValidString(s) {
				t.Errorf("%q cut at %d: %v", s, cut, got)
			}
		}
	}
}

// A fault is seen at the first byte that shows it, neither later nor before.
func TestUTF8FailsFast(t *testing.T) {
	for _, s := range texts {
		var u UTF8
		n := 0
		for n < len(s) && u.Write([]byte{s[n]}) {
			n++
		}
		if want := firstFault(s); n != want {
			t.Errorf("%q: refused at byte %d, want %d", s, n, want)
		}
		if n < len(s) && (u.Write(nil) || u.Write([]byte("a")) || u.Done()) {
			t.Errorf("%q: valid again after a fault", s)
		}
		u.Reset()
		if !u.Write([]byte("a")) || !u.Done() {
			t.Errorf("%q: not usable after Reset", s)
		}
	}
}

// All two-byte combinations of lead and second byte, where the odd ranges are.
func TestUTF8AllPairs(t *testing.T) {
	for a := 0x7F; a < 256; a++ {
		for b := range 256 {
			p := []byte{byte(a), byte(b)}
			var u UTF8
			ok := u.Write(p)
			if want := prefixOfRune(string(p)) || utf8.Valid(p) || a == 0x7F && prefixOfRune(string(p[1:])); ok != want {
				t.Errorf("% x: %v, want %v", p, ok, want)
			}
		}
	}
}

func FuzzUTF8(f *testing.F) {
	for i, s := range texts {
		f.Add([]byte(s), uint8(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, cut uint8) {
		at := min(int(cut), len(p))
		var u UTF8
		u.Write(p[:at])
		ok := u.Write(p[at:])
		if u.Done() != utf8.Valid(p) {
			t.Fatalf("%q cut at %d: %v", p, at, u.Done())
		}
		if ok != (firstFault(string(p)) == len(p)) {
			t.Fatalf("%q cut at %d: Write says %v", p, at, ok)
		}
	})
}

func BenchmarkUTF8(b *testing.B) {
	for name, s := range map[string]string{
		"ASCII":    strings.Repeat("0123456789abcdef", 64),
		"German":   strings.Repeat("Größe, Straße und Übermut. ", 40),
		"Japanese": strings.Repeat("日本語のテキスト", 43),
	} {
		p := []byte(s)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				var u UTF8
				u.Write(p)
			}
		})
		b.Run(name+" utf8.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				utf8.Valid(p)
			}
		})
	}
}
