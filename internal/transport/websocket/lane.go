package websocket

import (
	"sync/atomic"

	"ringdown/internal/wsframe"
)

// lane is what the connections of one event loop share: memory to work in, and
// counters that only this loop adds to. It is the loop's, but for the counters,
// which may be read from anywhere.
type lane struct {
	inflater wsframe.Inflater
	plain    []byte // a decompressed message, while the app has it
	packed   []byte // a compressed one, on its way out

	framesIn, bytesIn   atomic.Uint64
	framesOut, bytesOut atomic.Uint64

	_ [64]byte // the next lane's counters stand on another cache line
}

// keptScratch is the largest buffer that is kept for the next message.
const keptScratch = 64 << 10

// keep returns buf to be used again, unless it is one that a rare message made
// large.
func keep(buf []byte) []byte {
	if cap(buf) > keptScratch {
		return nil
	}
	return buf[:0]
}
