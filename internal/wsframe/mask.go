package wsframe

import (
	"encoding/binary"
	"math/bits"
)

// Mask applies a masking key to p in place (RFC 6455 §5.3); applying it twice
// gives p back. pos is how many bytes of the payload came before p, or any
// number equal to that modulo 4; the return value is the pos for the bytes that
// follow, from 0 to 3. It allocates nothing.
func Mask(p []byte, key [4]byte, pos int) int {
	k := binary.LittleEndian.Uint32(key[:])
	// The key, turned so that its lowest byte is the one for p[0], and doubled.
	k = bits.RotateLeft32(k, -8*(pos&3))
	word := uint64(k)<<32 | uint64(k)
	next := (pos + len(p)) & 3
	for len(p) >= 32 {
		q := p[:32]
		binary.LittleEndian.PutUint64(q[0:], binary.LittleEndian.Uint64(q[0:])^word)
		binary.LittleEndian.PutUint64(q[8:], binary.LittleEndian.Uint64(q[8:])^word)
		binary.LittleEndian.PutUint64(q[16:], binary.LittleEndian.Uint64(q[16:])^word)
		binary.LittleEndian.PutUint64(q[24:], binary.LittleEndian.Uint64(q[24:])^word)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^word)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(word)
		word >>= 8
	}
	return next
}
