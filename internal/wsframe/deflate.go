package wsframe

import (
	"sync"

	"github.com/klauspost/compress/flate"
)

// DeflateMin is the payload size, in bytes, from which compressing pays. Below
// it the compressor stores what it gets, and the frame would only grow.
const DeflateMin = 256

// tail is what every flushed deflate stream ends with, and what does not travel
// (RFC 7692 §7.2.1): the length fields of an empty stored block.
const tail = "\x00\x00\xff\xff"

// Deflate appends p as one compressed message (RFC 7692 §7.2.1). The message
// refers to nothing before it and keeps nothing for those after it, so that one
// compressed frame serves every connection that negotiated permessage-deflate
// with server_no_context_takeover, and a connection owns no compressor. No back
// reference is longer than the message: one of at most 2^N bytes may go to a
// peer that asked for server_max_window_bits=N, a longer one must go plain.
//
// The result may be longer than p; the caller then sends p itself. It is safe
// for concurrent use.
func Deflate(dst, p []byte) []byte {
	w := writers.Get().(*appender)
	w.p = dst
	// An appender never fails, and nothing else in there can.
	if err := flate.StatelessDeflate(w, p, false, nil); err != nil {
		panic("wsframe: deflate: " + err.Error())
	}
	dst = w.p
	w.p = nil
	writers.Put(w)
	return dst[:len(dst)-len(tail)]
}

var writers = sync.Pool{New: func() any { return new(appender) }}

// appender is an io.Writer onto a slice.
type appender struct{ p []byte }

func (w *appender) Write(p []byte) (int, error) {
	w.p = append(w.p, p...)
	return len(p), nil
}

// DeflateWindow is Deflate for a peer that looks back at most 2^bits bytes
// (server_max_window_bits), where the message is longer than that. It costs more
// than Deflate, which serves whoever takes the whole window of 15 bits.
func DeflateWindow(dst, p []byte, bits int) []byte {
	pool := &windowed[bits&15]
	w, ok := pool.Get().(*windowWriter)
	if !ok {
		w = &windowWriter{out: new(appender)}
		var err error
		if w.flate, err = flate.NewWriterWindow(w.out, 1<<bits); err != nil {
			panic("wsframe: deflate: " + err.Error()) // bits come from the handshake, 8 to 15
		}
	}
	w.out.p = dst
	w.flate.Reset(w.out)
	// An appender never fails.
	if _, err := w.flate.Write(p); err != nil {
		panic("wsframe: deflate: " + err.Error())
	}
	if err := w.flate.Flush(); err != nil {
		panic("wsframe: deflate: " + err.Error())
	}
	dst = w.out.p
	w.out.p = nil
	pool.Put(w)
	return dst[:len(dst)-len(tail)]
}

type windowWriter struct {
	out   *appender
	flate *flate.Writer
}

var windowed [16]sync.Pool
