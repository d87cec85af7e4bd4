package wsframe

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// Every first byte, masked and not: only the opcodes of the RFC are let through,
// and control frames only whole.
func TestParseHeaderFirstByte(t *testing.T) {
	known := map[Opcode]bool{Continuation: true, Text: true, Binary: true, Close: true, Ping: true, Pong: true}
	for b := range 256 {
		for _, masked := range []bool{false, true} {
			p := []byte{byte(b), 5}
			if masked {
				p = []byte{byte(b), 0x80 | 5, 1, 2, 3, 4}
			}
			op, fin := Opcode(b&0xF), b&0x80 != 0
			var want error
			switch {
			case !known[op]:
				want = ErrOpcode
			case op.Control() && !fin:
				want = ErrControlFragmented
			}
			h, n, err := ParseHeader(p)
			if err != want {
				t.Fatalf("%#x masked %v: error %v, want %v", b, masked, err, want)
			}
			// The fault is in the first byte, and so is seen in it.
			if _, _, early := ParseHeader(p[:1]); early != want {
				t.Fatalf("%#x alone: error %v, want %v", b, early, want)
			}
			if err != nil {
				continue
			}
			is := Header{Fin: fin, RSV1: b&0x40 != 0, RSV2: b&0x20 != 0, RSV3: b&0x10 != 0, Op: op, Length: 5, Masked: masked}
			if masked {
				is.Key = [4]byte{1, 2, 3, 4}
			}
			if n != len(p) || h != is {
				t.Fatalf("%#x: %+v in %d bytes, want %+v in %d", b, h, n, is, len(p))
			}
			if again := AppendHeader(nil, h); !bytes.Equal(again, p) {
				t.Fatalf("%#x: written again as % x", b, again)
			}
		}
	}
}

func TestParseHeaderLengths(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []byte
		length int64
		err    error
	}{
		{"0", []byte{0x82, 0}, 0, nil},
		{"125", []byte{0x82, 125}, 125, nil},
		{"126", []byte{0x82, 126, 0, 126}, 126, nil},
		{"126, not minimal", []byte{0x82, 126, 0, 125}, 0, ErrLengthNotMinimal},
		{"0 in 16 bits", []byte{0x82, 126, 0, 0}, 0, ErrLengthNotMinimal},
		{"65535", []byte{0x82, 126, 255, 255}, 65535, nil},
		{"65536", []byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 65536, nil},
		{"65535 in 64 bits", []byte{0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255}, 0, ErrLengthNotMinimal},
		{"1 GiB", []byte{0x82, 127, 0, 0, 0, 0, 64, 0, 0, 0}, 1 << 30, nil},
		{"2^63-1", []byte{0x82, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255}, 1<<63 - 1, nil},
		{"2^63", []byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, 0, ErrLengthTooBig},
		{"2^63, first bytes", []byte{0x82, 127, 0x80}, 0, ErrLengthTooBig},
		{"2^64-1", []byte{0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255}, 0, ErrLengthTooBig},
		{"ping of 125", []byte{0x89, 125}, 125, nil},
		{"ping of 126", []byte{0x89, 126}, 0, ErrControlTooLong},
		{"masked ping of 127", []byte{0x89, 0x80 | 127}, 0, ErrControlTooLong},
	} {
		h, n, err := ParseHeader(c.header)
		if err != c.err || h.Length != c.length || err == nil && n != len(c.header) {
			t.Errorf("%s: length %d, %d bytes, error %v", c.name, h.Length, n, err)
		}
	}
}

var lengths = []int64{0, 1, 2, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537, 1 << 20, 1<<31 - 1, 1 << 31, 1 << 32, 1<<63 - 1}

func TestHeaderRoundTripAndTruncation(t *testing.T) {
	for _, length := range lengths {
		for _, masked := range []bool{false, true} {
			h := Header{Fin: true, RSV1: masked, Op: Text, Length: length, Masked: masked}
			if masked {
				h.Key = [4]byte{9, 8, 7, 6}
			}
			p := AppendHeader([]byte("x"), h)[1:]
			if len(p) > MaxHeader || !masked && len(p) > Headroom {
				t.Fatalf("%d: a header of %d bytes", length, len(p))
			}
			for cut := range p {
				if got, n, err := ParseHeader(p[:cut]); n != 0 || err != nil || got != (Header{}) {
					t.Fatalf("%d, %d of %d bytes: %+v, n %d, error %v", length, cut, len(p), got, n, err)
				}
			}
			if got, n, err := ParseHeader(append(p, "payload"...)); got != h || n != len(p) || err != nil {
				t.Fatalf("%d: %+v, n %d, error %v", length, got, n, err)
			}
		}
	}
}

func TestAppendHeaderNegative(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a negative length was written")
		}
	}()
	AppendHeader(nil, Header{Length: -1})
}

func TestFinish(t *testing.T) {
	for _, length := range []int{0, 1, 125, 126, 65535, 65536, 70000} {
		payload := bytes.Repeat([]byte{'p'}, length)
		buf := append(make([]byte, Headroom), payload...)
		frame := Finish(buf, Binary, true)
		h, n, err := ParseHeader(frame)
		want := Header{Fin: true, RSV1: true, Op: Binary, Length: int64(length)}
		if err != nil || h != want || !bytes.Equal(frame[n:], payload) {
			t.Errorf("%d: %+v, error %v", length, h, err)
		}
		if length > 0 && &frame[n] != &buf[Headroom] {
			t.Errorf("%d: the payload was moved", length)
		}
	}
}

// A client's frame, as a Go client writes it.
func TestClientFrame(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	frame := AppendHeader(nil, Header{Fin: true, Op: Text, Length: 5, Masked: true, Key: key})
	frame = append(frame, "Hello"...)
	Mask(frame[len(frame)-5:], key, 0)
	// RFC 6455 §5.7.
	if want := "81 85 37 fa 21 3d 7f 9f 4d 51 58"; fmt.Sprintf("% x", frame) != want {
		t.Errorf("% x, want %s", frame, want)
	}
}

func TestHeaderAllocates(t *testing.T) {
	p := AppendHeader(nil, Header{Fin: true, Op: Text, Length: 70000, Masked: true})
	buf := make([]byte, Headroom+300)
	payload := make([]byte, 300)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := ParseHeader(p); err != nil {
			t.Fatal(err)
		}
		Finish(buf, Text, false)
		Mask(payload, [4]byte{1, 2, 3, 4}, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, length := range lengths {
		f.Add(AppendHeader(nil, Header{Fin: true, Op: Binary, Length: length}))
		f.Add(AppendHeader(nil, Header{RSV1: true, Op: Continuation, Length: length, Masked: true, Key: [4]byte{1, 2, 3, 4}}))
	}
	f.Add([]byte{0x8F, 0})
	f.Add([]byte{0x08, 0})
	f.Add([]byte{0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n, err := ParseHeader(p)
		switch {
		case err != nil || n == 0:
			if h != (Header{}) || n != 0 {
				t.Fatalf("half a result: %+v, n %d, error %v", h, n, err)
			}
			if err == nil && len(p) >= MaxHeader {
				t.Fatal("wants more than the longest header")
			}
		case !bytes.Equal(AppendHeader(nil, h), p[:n]):
			t.Fatalf("%+v is written as % x, not % x", h, AppendHeader(nil, h), p[:n])
		case h.Length < 0:
			t.Fatalf("length %d", h.Length)
		}
		// A fault shows as soon as it is there, and never goes away with more bytes.
		for cut := range min(len(p), MaxHeader) {
			if _, _, early := ParseHeader(p[:cut]); early != nil && !errors.Is(err, early) {
				t.Fatalf("error %v after %d bytes, %v after all", early, cut, err)
			}
		}
	})
}

func BenchmarkParseHeader(b *testing.B) {
	p := AppendHeader(nil, Header{Fin: true, Op: Text, Length: 300, Masked: true})
	for b.Loop() {
		ParseHeader(p)
	}
}
