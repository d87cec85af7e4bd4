package wsframe

import (
	"bytes"
	"strings"
	"testing"
)

func TestDeflateInflate(t *testing.T) {
	var f Inflater
	for _, text := range []string{"", "a", "Hello", strings.Repeat("ring down ", 30), strings.Repeat("0123456789abcdef", 20_000)} {
		z := Deflate([]byte("head"), []byte(text))
		if !bytes.HasPrefix(z, []byte("head")) {
			t.Fatal("Deflate does not append")
		}
		got, err := f.Inflate([]byte("head"), z[4:], len(text))
		if err != nil || string(got) != "head"+text {
			t.Fatalf("%d bytes: err %v", len(text), err)
		}
		if _, err := f.Inflate(nil, z[4:], len(text)-1); len(text) > 0 && err != ErrTooBig {
			t.Fatalf("%d bytes with a limit of one less: err %v", len(text), err)
		}
	}
}
