package load

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestStampIsJSONOfThePromisedSize(t *testing.T) {
	for _, at := range []time.Duration{0, 1, time.Hour, math.MaxInt64} {
		p := appendStamp(nil, at, 7)
		if len(p) != PayloadBytes || !json.Valid(p) {
			t.Errorf("%d bytes: %s", len(p), p)
		}
	}
}

func TestStampIsReadBack(t *testing.T) {
	for _, seq := range []uint32{0, 1, 0xABCDEF01, math.MaxUint32} {
		at := time.Duration(seq) * time.Microsecond
		message := append([]byte(`{"type":"publish","offset":12,"data":`), appendStamp(nil, at, seq)...)
		message = append(message, '}')
		begin := len(message) - 1 - PayloadBytes
		for _, hint := range []int{0, begin, begin - 1, len(message), 1 << 20} {
			i := findStamp(message, hint)
			if i != begin {
				t.Fatalf("hint %d: found at %d, not %d", hint, i, begin)
			}
		}
		gotAt, gotSeq, ok := readStamp(message[begin:])
		if !ok || gotAt != at || gotSeq != seq {
			t.Errorf("read %v %d %v, wrote %v %d", gotAt, gotSeq, ok, at, seq)
		}
	}
}

func TestStampThatIsNoneIsRefused(t *testing.T) {
	whole := appendStamp(nil, 1, 1)
	for n := range len(whole) {
		if i := findStamp(whole[:n], 0); i >= 0 {
			t.Fatalf("found in the first %d bytes", n)
		}
		if _, _, ok := readStamp(whole[:n]); ok {
			t.Fatalf("read from the first %d bytes", n)
		}
	}
	for _, at := range []int{atPos, atPos + atDigits - 1, seqPos, seqPos + seqDigits - 1} {
		broken := bytes.Clone(whole)
		broken[at] = 'G'
		if _, _, ok := readStamp(broken); ok {
			t.Errorf("a digit G at %d was read", at)
		}
	}
}

func FuzzStamp(f *testing.F) {
	f.Add(appendStamp(nil, 1, 2), 0)
	f.Add([]byte(`{"at":"`), 3)
	f.Fuzz(func(t *testing.T, p []byte, hint int) {
		hint = max(hint, 0) % (1 << 20) // what crowd keeps is a position in an earlier frame
		i := findStamp(p, hint)
		if i < 0 {
			return
		}
		at, seq, ok := readStamp(p[i:])
		if !ok {
			return
		}
		head := appendStamp(nil, at, seq)[:atPos+atDigits]
		if !bytes.HasPrefix(p[i:], head) {
			t.Errorf("%q was read as %v %d", p[i:], at, seq)
		}
	})
}

func BenchmarkDelivery(b *testing.B) {
	message := append([]byte(`{"type":"publish","channel":"bench","data":`), appendStamp(nil, 1, 2)...)
	b.ReportAllocs()
	for range b.N {
		i := findStamp(message, 43)
		readStamp(message[i:])
	}
}
