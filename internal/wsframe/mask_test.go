package wsframe

import (
	"bytes"
	"fmt"
	"testing"
)

// maskSlowly is RFC 6455 §5.3 to the letter.
func maskSlowly(p []byte, key [4]byte, pos int) int {
	for i := range p {
		p[i] ^= key[(pos+i)%4]
	}
	return (pos + len(p)) % 4
}

func TestMask(t *testing.T) {
	key := [4]byte{0xA1, 0x02, 0xB3, 0x04}
	for size := range 100 {
		for pos := range 9 {
			// At every alignment in memory as well.
			got := bytes.Repeat([]byte("abcdefghij"), 12)[pos%8 : pos%8+size]
			want := bytes.Clone(got)
			next, wantNext := Mask(got, key, pos), maskSlowly(want, key, pos)
			if next != wantNext || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes at %d: next %d, want %d\n% x\n% x", size, pos, next, wantNext, got, want)
			}
		}
	}
}

// A payload may be cut anywhere.
func TestMaskInPieces(t *testing.T) {
	key := [4]byte{1, 2, 3, 4}
	whole := bytes.Repeat([]byte("ringdown"), 10)
	Mask(whole, key, 0)
	for first := range len(whole) {
		for second := first; second < len(whole); second++ {
			p := bytes.Repeat([]byte("ringdown"), 10)
			pos := Mask(p[:first], key, 0)
			pos = Mask(p[first:second], key, pos)
			Mask(p[second:], key, pos)
			if !bytes.Equal(p, whole) {
				t.Fatalf("cut at %d and %d", first, second)
			}
		}
	}
}

func BenchmarkMask(b *testing.B) {
	key := [4]byte{1, 2, 3, 4}
	for _, size := range []int{16, 128, 1024, 65536} {
		p := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				Mask(p, key, 1)
			}
		})
	}
	p := make([]byte, 1024)
	b.Run("byte by byte 1024", func(b *testing.B) {
		b.SetBytes(1024)
		for b.Loop() {
			maskSlowly(p, key, 1)
		}
	})
}
