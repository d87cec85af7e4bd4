package wsframe

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValidCloseCode(t *testing.T) {
	valid := map[int]bool{1000: true, 1001: true, 1002: true, 1003: true, 1007: true, 1008: true, 1009: true,
		1010: true, 1011: true, 1012: true, 1013: true, 1014: true}
	for code := range 1 << 16 {
		want := valid[code] || code >= 3000 && code <= 4999
		if got := ValidCloseCode(uint16(code)); got != want {
			t.Errorf("%d: %v", code, got)
		}
		p := []byte{byte(code >> 8), byte(code), 'x'}
		got, reason, err := ParseClose(p)
		if want && (err != nil || int(got) != code || reason != "x") || !want && err != ErrCloseCode {
			t.Errorf("%d parsed as %d %q, error %v", code, got, reason, err)
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, c := range []struct {
		payload string
		code    uint16
		reason  string
		err     error
	}{
		{"", NoStatus, "", nil},
		{"\x03", 0, "", ErrClosePayload},
		{"\x03\xe8", 1000, "", nil},
		{"\x03\xe8bye", 1000, "bye", nil},
		{"\x0f\xa1Größe", 4001, "Größe", nil},
		{"\x03\xe8\xff", 0, "", ErrCloseReason},
		{"\x03\xe8\xce", 0, "", ErrCloseReason},
		{"\x03\xe8" + strings.Repeat("r", MaxReason), 1000, strings.Repeat("r", MaxReason), nil},
		{"\x03\xe8" + strings.Repeat("r", MaxReason+1), 0, "", ErrClosePayload},
	} {
		code, reason, err := ParseClose([]byte(c.payload))
		if code != c.code || reason != c.reason || err != c.err {
			t.Errorf("%q: %d %q, error %v", c.payload, code, reason, err)
		}
	}
}

func TestAppendClose(t *testing.T) {
	for _, c := range []struct {
		code         uint16
		reason, want string
	}{
		{NoStatus, "not sent", ""},
		{1000, "", "\x03\xe8"},
		{4001, "Invalid token", "\x0f\xa1Invalid token"},
		{1000, "not \xff UTF-8", "\x03\xe8"},
		{1000, strings.Repeat("r", 200), "\x03\xe8" + strings.Repeat("r", MaxReason)},
		{1000, strings.Repeat("ü", 100), "\x03\xe8" + strings.Repeat("ü", 61)}, // 123 is odd
		{1000, strings.Repeat("😀", 40), "\x03\xe8" + strings.Repeat("😀", 30)},
	} {
		if got := string(AppendClose(nil, c.code, c.reason)); got != c.want {
			t.Errorf("%d %q: %q, want %q", c.code, c.reason, got, c.want)
		}
	}
	for _, code := range []uint16{0, 999, 1004, 1006, 1015, 2000, 5000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d was written", code)
				}
			}()
			AppendClose(nil, code, "")
		}()
	}
}

func FuzzParseClose(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3})
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte("\x0f\xa1\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		code, reason, err := ParseClose(p)
		if err != nil {
			return
		}
		if !utf8.ValidString(reason) || code != NoStatus && !ValidCloseCode(code) {
			t.Fatalf("accepted %d %q", code, reason)
		}
		if again := AppendClose(nil, code, reason); !bytes.Equal(again, p) {
			t.Fatalf("% x is written as % x", p, again)
		}
	})
}
