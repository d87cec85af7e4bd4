package broker

import (
	"encoding/binary"
	"hash/fnv"
	"io"

	"ringdown/protocol"
)

// Fingerprint tells publications with the same dedupe key apart by their content.
// Drivers remember it with the key. It is the same on every node and after every
// restart, and never 0, which stands for a key that was remembered without one.
//
// Data with other spaces, for instance, counts as other data: a client that repeats a
// publication sends the same bytes.
func (p *Publication) Fingerprint() uint64 {
	m := &p.Message
	h := fnv.New64a()
	kind := byte('j')
	if m.Binary {
		kind = 'b'
	}
	// With the lengths in front, no two messages run into the same text.
	var lengths [17]byte
	lengths[0] = kind
	binary.BigEndian.PutUint64(lengths[1:], uint64(len(m.Type)))
	binary.BigEndian.PutUint64(lengths[9:], uint64(len(m.Key)))
	_, _ = h.Write(lengths[:])
	_, _ = io.WriteString(h, m.Type)
	_, _ = io.WriteString(h, m.Key)
	_, _ = h.Write(m.Data)
	return max(1, h.Sum64())
}

// ErrReused is what a driver answers to a publication whose dedupe key was used for
// another one inside the window. It is no duplicate: its receipt would claim that
// this publication was stored.
var ErrReused error = protocol.Errorf(protocol.CodeInvalidData,
	"this dedupe key (Idempotency-Key) was used for another message in the last two minutes; give every message a key of its own, and repeat one unchanged")
