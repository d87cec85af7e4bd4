package wsframe

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// allocated returns the bytes that f allocates, in all.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Messages that are made to cost more than they weigh. limit is that of a server
// as it comes: 64 KiB of message, compressed and not.
func TestInflateBombs(t *testing.T) {
	const limit = 65536
	zeros := Deflate(nil, make([]byte, 16<<20))
	if len(zeros) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(zeros))
	}
	stored := strings.Repeat("\x00\xff\xff\x00\x00"+strings.Repeat("a", 65535), 16) + "\x00"
	// The smallest blocks there are that say nothing: empty stored ones, and ones
	// with the fixed code and only its end, four of them in five bytes.
	flushes := strings.Repeat("\x00"+tail, limit/5) + "\x00"
	fixed := strings.Repeat("\x02\x08\x20\x80\x00", limit/5) + "\x00"
	// A block with a code of its own, which takes a table, and nothing in it.
	tables := dynamicBlocks(limit)
	for _, c := range []struct {
		name string
		p    []byte
		err  error
	}{
		{"1:1000", zeros, ErrTooBig},
		{"stored blocks", []byte(stored), ErrTooBig},
		{"empty stored blocks", []byte(flushes), nil},
		{"empty blocks of the fixed code", []byte(fixed), nil},
		{"empty blocks with tables", tables, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f Inflater
			f.Inflate(nil, Deflate(nil, []byte("warm")), 100) // the decoder itself is not the message's
			var got []byte
			var err error
			start := time.Now()
			n := allocated(func() { got, err = f.Inflate(nil, c.p, limit) })
			t.Logf("%d bytes: %v, %d bytes allocated, %v", len(c.p), err, n, time.Since(start))
			if err != c.err || len(got) > 0 {
				t.Errorf("%d bytes, error %v", len(got), err)
			}
			if _, err := inflateStd(c.p); err != nil {
				t.Errorf("the standard library says that this is no bomb: %v", err)
			}
			// The last piece of room and the one before it exist side by side.
			// Beside that, the runtime may allocate something for itself.
			if n > 2*limit+65536 {
				t.Errorf("%d bytes allocated for a limit of %d", n, limit)
			}
		})
	}
}

// dynamicBlocks returns about size bytes of blocks that each bring a code and
// then say nothing.
func dynamicBlocks(size int) []byte {
	var w bitWriter
	for len(w.p) < size {
		w.bits(0, 1)  // not the last
		w.bits(2, 2)  // dynamic
		w.bits(0, 5)  // 257 literal codes
		w.bits(0, 5)  // 1 distance code
		w.bits(14, 4) // 18 code length codes, in the order 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1
		for i := range 18 {
			if i == 2 || i == 17 { // lengths are written with 18 (many zeros) and 1
				w.bits(1, 3)
			} else {
				w.bits(0, 3)
			}
		}
		// Codes of one bit: 1 is 0, 18 is 1. Two literals have a code of one bit: 0
		// and 256; the distance code has one as well.
		w.bits(0, 1)      // literal 0: length 1
		w.bits(1, 1)      // 138 times length 0
		w.bits(127, 7)    //
		w.bits(1, 1)      // 117 times length 0
		w.bits(117-11, 7) //
		w.bits(0, 1)      // 256: length 1
		w.bits(0, 1)      // distance 0: length 1
		w.bits(1, 1)      // the end of the block
	}
	w.bits(0, 3) // the beginning of the empty stored block that ends a message
	return w.p
}

type bitWriter struct {
	p []byte
	n uint
}

func (w *bitWriter) bits(v, n uint) {
	for range n {
		if w.n%8 == 0 {
			w.p = append(w.p, 0)
		}
		w.p[len(w.p)-1] |= byte(v&1) << (w.n % 8)
		v >>= 1
		w.n++
	}
}
