package wsframe

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	kflate "github.com/klauspost/compress/flate"
)

// payloads has one of each kind: empty, tiny, repetitive, JSON, incompressible,
// and longer than the window and than the blocks of the compressor.
func payloads() map[string][]byte {
	random := make([]byte, 100_000)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(random)
	var json bytes.Buffer
	for i := 0; json.Len() < 200_000; i++ {
		fmt.Fprintf(&json, `{"type":"order-created","channel":"orders","offset":%d,"data":{"id":%d,"total":%d.5}}`, i, 7*i, i%91)
	}
	return map[string][]byte{
		"empty":        {},
		"one byte":     {'a'},
		"Hello":        []byte("Hello"),
		"JSON 1 KB":    json.Bytes()[:1024],
		"JSON 200 KB":  json.Bytes(),
		"random 300":   random[:300],
		"random 100K":  random,
		"zeros 300":    make([]byte, 300),
		"zeros 1 MB":   make([]byte, 1<<20),
		"32767 bytes":  json.Bytes()[:32767],
		"32768 bytes":  json.Bytes()[:32768],
		"far repeated": append(append(bytes.Clone(random[:32000]), random[:32000]...), random[:9000]...),
	}
}

// inflateStd is what a peer with the standard library makes of a message.
func inflateStd(p []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(p), strings.NewReader(ending))))
}

func TestDeflate(t *testing.T) {
	for name, p := range payloads() {
		z := Deflate([]byte("head"), p)
		if !bytes.HasPrefix(z, []byte("head")) {
			t.Fatal("Deflate does not append")
		}
		z = z[4:]
		if got, err := inflateStd(z); err != nil || !bytes.Equal(got, p) {
			t.Errorf("%s: the standard library reads %d bytes, error %v", name, len(got), err)
		}
		var f Inflater
		if got, err := f.Inflate([]byte("head"), z, len(p)); err != nil || string(got) != "head"+string(p) {
			t.Errorf("%s: %d bytes, error %v", name, len(got), err)
		}
		// Each message stands for itself: the same bytes whatever came before.
		if again := Deflate(nil, p); !bytes.Equal(again, z) {
			t.Errorf("%s: compressed differently a second time", name)
		}
	}
	// An empty message is one zero byte (RFC 7692 §7.2.3.6).
	if z := Deflate(nil, nil); !bytes.Equal(z, []byte{0}) {
		t.Errorf("an empty message is % x", z)
	}
}

// The examples of RFC 7692 §7.2.3, all of them "Hello" or twice that.
func TestInflateExamples(t *testing.T) {
	for _, c := range []struct{ name, hex, want string }{
		{"7.2.3.1 one block", "f248cdc9c90700", "Hello"},
		{"7.2.3.3 no compression", "000500faff48656c6c6f00", "Hello"},
		{"7.2.3.4 a last block", "f348cdc9c9070000", "Hello"},
		{"a last block and nothing else", "f348cdc9c90700", "Hello"},
		{"7.2.3.5 two blocks", "f248050000 00ffffcac9c90700", "Hello"},
		{"7.2.3.6 empty", "00", ""},
	} {
		p, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Inflate(nil, p, 100); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, error %v", c.name, got, err)
		}
	}
}

func TestInflateRefuses(t *testing.T) {
	hello, _ := hex.DecodeString("f348cdc9c9070000")
	z := Deflate(nil, []byte(strings.Repeat("ring down ", 100)))
	for name, p := range map[string][]byte{
		"a reserved block type":      {0x06},
		"a wrong length of a block":  {0x00, 0x05, 0x00, 0x00, 0x00},
		"a distance before the text": {0x4b, 0x04, 0x12, 0x00},
		"bytes after the last block": append(bytes.Clone(hello), "more"...),
		"a one after the last block": append(bytes.Clone(hello[:7]), 1),
		"half a stored block":        {0x00, 0x50, 0x00, 0xaf, 0xff, 'H'},
		"no block at all":            {},
		"text":                       []byte("this is no deflate stream"),
		"not the whole":              z[:len(z)/2],
	} {
		if got, err := Inflate(nil, p, 1<<20); err != ErrDeflate || got != nil {
			t.Errorf("%s: %q, error %v", name, got, err)
		}
	}
}

// Every limit around the size, whatever room dst has.
func TestInflateLimit(t *testing.T) {
	text := strings.Repeat("ring down ", 200)
	z := Deflate(nil, []byte(text))
	var f Inflater
	for _, room := range []int{0, 1, 100, 1999, 2000, 2001, 5000} {
		for _, limit := range []int{-1, 0, 1, 511, 512, 513, 1999, 2000, 2001, 1 << 20} {
			got, err := f.Inflate(make([]byte, 0, room), z, limit)
			if limit < len(text) && (err != ErrTooBig || got != nil) || limit >= len(text) && (err != nil || string(got) != text) {
				t.Errorf("room %d, limit %d: %d bytes, error %v", room, limit, len(got), err)
			}
			if cap(got) > max(room, limit) {
				t.Errorf("room %d, limit %d: room of %d bytes", room, limit, cap(got))
			}
		}
	}
	// What a broken message leaves behind does not disturb the next.
	f.Inflate(nil, z[:20], 1<<20)
	if got, err := f.Inflate(nil, z, len(text)); err != nil || string(got) != text {
		t.Errorf("after a broken message: error %v", err)
	}
}

func TestDeflateInflateAllocate(t *testing.T) {
	p := payloads()["JSON 1 KB"]
	z := Deflate(nil, p)
	var f Inflater
	into, out := make([]byte, 0, 2048), make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := f.Inflate(out, z, 2048); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Inflate: %v allocations", n)
	}
	// The pools may be emptied at any time, and under the race detector are.
	if n := testing.AllocsPerRun(100, func() { Deflate(into, p) }); n > 10 {
		t.Errorf("Deflate: %v allocations", n)
	}
}

func FuzzInflate(f *testing.F) {
	for _, p := range payloads() {
		if len(p) < 2000 {
			f.Add(Deflate(nil, p), 4000)
		}
	}
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), 100)
	f.Add([]byte("\x06"), 100)
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = min(max(limit, 0), 1<<16)
		var in Inflater
		got, err := in.Inflate(nil, p, limit)
		if cap(got) > limit {
			t.Fatalf("room of %d bytes for a limit of %d", cap(got), limit)
		}
		want, stdErr := inflateStd(p)
		switch {
		case err == nil && (stdErr != nil || !bytes.Equal(got, want)):
			t.Fatalf("%d bytes, the standard library %d, error %v", len(got), len(want), stdErr)
		case err == ErrTooBig && len(want) <= limit:
			t.Fatalf("too big for %d, but has %d bytes", limit, len(want))
		case err == nil:
			// What we took, we can write, and read again.
			back, err := in.Inflate(nil, Deflate(nil, got), limit)
			if err != nil || !bytes.Equal(back, got) {
				t.Fatalf("%d bytes came back, error %v", len(back), err)
			}
		}
	})
}

// How Deflate compares with a pooled compressor, which is kept ready for each
// level and costs 0.7 to 1.2 MB of memory each.
func BenchmarkDeflate(b *testing.B) {
	all := payloads()
	for _, name := range []string{"random 300", "JSON 1 KB", "32767 bytes"} {
		p := all[name]
		b.Run("stateless/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			var z []byte
			for b.Loop() {
				z = Deflate(z[:0], p)
			}
			b.ReportMetric(float64(len(z)), "bytes")
		})
		for _, level := range []int{1, 3, 6} {
			w, err := kflate.NewWriter(nil, level)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("pooled level %d/%s", level, name), func(b *testing.B) {
				b.SetBytes(int64(len(p)))
				var z bytes.Buffer
				for b.Loop() {
					z.Reset()
					w.Reset(&z)
					w.Write(p)
					w.Flush()
				}
				b.ReportMetric(float64(z.Len()-len(tail)), "bytes")
			})
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	all := payloads()
	for _, name := range []string{"random 300", "JSON 1 KB", "32767 bytes"} {
		p := all[name]
		z := Deflate(nil, p)
		var f Inflater
		out := make([]byte, 0, len(p))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := f.Inflate(out, z, len(p)); err != nil {
					b.Fatal(err)
				}
			}
		})
		src := bytes.NewReader(nil)
		std := flate.NewReader(src)
		b.Run("compress-flate/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			whole := append(bytes.Clone(z), ending...)
			for b.Loop() {
				src.Reset(whole)
				std.(flate.Resetter).Reset(src, nil)
				if _, err := io.ReadFull(std, out[:len(p)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
