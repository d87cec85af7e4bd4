package wsframe

import (
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// What Inflate refuses.
var (
	ErrTooBig  = errors.New("wsframe: message too big once decompressed") // close with 1009
	ErrDeflate = errors.New("wsframe: message is not a deflate stream")   // close with 1007
)

// Inflater decompresses messages of permessage-deflate (RFC 7692 §7.2.2), each
// on its own: the peer must have agreed not to take its context over. The zero
// value is ready and takes some 40 KB at its first use, so keep one per event
// loop and not one per connection, or use Inflate. It is not for use by several
// goroutines at once.
type Inflater struct {
	source source
	reader io.ReadCloser
}

// Inflate appends the decompressed message p to dst. It stops with ErrTooBig
// once that is more than limit bytes and with ErrDeflate at the first fault;
// what it had appended until then is lost. dst grows by what is decompressed, at
// most to limit more bytes, never by what p claims. p is not changed. The time
// taken grows with len(p) too, and not only with limit: bound both.
func (f *Inflater) Inflate(dst, p []byte, limit int) ([]byte, error) {
	f.source = source{p: p}
	defer func() { f.source.p = nil }()
	if f.reader == nil {
		f.reader = flate.NewReader(&f.source)
	} else if err := f.reader.(flate.Resetter).Reset(&f.source, nil); err != nil {
		return nil, ErrDeflate
	}
	start, limit := len(dst), max(limit, 0)
	for {
		have := len(dst) - start
		if have == limit {
			return f.end(dst)
		}
		if len(dst) == cap(dst) {
			dst = enlarge(dst, min(limit, max(512, 4*len(p), 2*have))-have)
		}
		n, err := f.reader.Read(dst[len(dst):min(cap(dst), start+limit)])
		dst = dst[:len(dst)+n]
		switch {
		case err == io.EOF && f.source.over():
			return dst, nil
		case err != nil:
			return nil, ErrDeflate
		}
	}
}

// end looks whether the message ends where the limit is reached.
func (f *Inflater) end(dst []byte) ([]byte, error) {
	var one [1]byte
	n, err := io.ReadFull(f.reader, one[:])
	switch {
	case n > 0:
		return nil, ErrTooBig
	case err == io.EOF && f.source.over():
		return dst, nil
	}
	return nil, ErrDeflate
}

// enlarge makes room for exactly n more bytes. append and slices.Grow would
// take up to twice as much, and so pass the limit.
func enlarge(dst []byte, n int) []byte {
	p := make([]byte, len(dst), len(dst)+n)
	copy(p, dst)
	return p
}

// Inflate is Inflater.Inflate with an Inflater from a pool. It is safe for
// concurrent use.
func Inflate(dst, p []byte, limit int) ([]byte, error) {
	f := inflaters.Get().(*Inflater)
	defer inflaters.Put(f)
	return f.Inflate(dst, p, limit)
}

var inflaters = sync.Pool{New: func() any { return new(Inflater) }}

// ending is what a message lacks to be a whole stream: the tail that does not
// travel, and an empty last block.
const ending = tail + "\x01\x00\x00\xff\xff"

// source is the message and then the ending. Having ReadByte it is never read
// further than the decoder needs.
type source struct {
	p   []byte
	end int // bytes of ending that were read
}

func (s *source) Read(p []byte) (int, error) {
	if n := copy(p, s.p); n > 0 {
		s.p = s.p[n:]
		return n, nil
	}
	n := copy(p, ending[s.end:])
	s.end += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (s *source) ReadByte() (byte, error) {
	if len(s.p) > 0 {
		c := s.p[0]
		s.p = s.p[1:]
		return c, nil
	}
	if s.end == len(ending) {
		return 0, io.EOF
	}
	s.end++
	return ending[s.end-1], nil
}

// over reports whether nothing is left after a last block. A sender may mark its
// own last block as such, and then adds an empty block, of which one zero byte
// travels (RFC 7692 §7.2.3.4). Anything else after the end would be bytes that
// nobody looked at.
func (s *source) over() bool {
	return len(s.p) == 0 || len(s.p) == 1 && s.p[0] == 0
}
