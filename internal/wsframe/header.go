package wsframe

import (
	"encoding/binary"
	"errors"
)

// Opcode is the kind of a frame (RFC 6455 §5.2).
type Opcode byte

// The opcodes of RFC 6455 §11.8. All others are reserved.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// Control reports whether frames of this kind may come between the fragments of
// a message (RFC 6455 §5.5).
func (op Opcode) Control() bool { return op&0x8 != 0 }

const (
	// MaxHeader is the most bytes that a frame header takes.
	MaxHeader = 14
	// Headroom is the most bytes that the header of an unmasked frame takes, and
	// so what a payload leaves free before itself for Finish.
	Headroom = 10
	// MaxControl is the most payload bytes of a control frame (RFC 6455 §5.5).
	MaxControl = 125
)

// What ParseHeader refuses. All of it is a protocol error: close code 1002.
var (
	ErrOpcode            = errors.New("wsframe: reserved opcode")
	ErrControlFragmented = errors.New("wsframe: fragmented control frame")
	ErrControlTooLong    = errors.New("wsframe: control frame of more than 125 bytes")
	ErrLengthNotMinimal  = errors.New("wsframe: payload length not in its shortest form")
	ErrLengthTooBig      = errors.New("wsframe: payload length of 2^63 or more")
)

// Header is the header of one frame (RFC 6455 §5.2).
type Header struct {
	Fin, RSV1, RSV2, RSV3 bool
	Masked                bool
	Op                    Opcode
	Length                int64   // payload bytes, 0 to 2^63-1
	Key                   [4]byte // masking key; zero unless Masked
}

// ParseHeader reads the header that p begins with and returns its length n. If
// p does not hold all of it, n is 0 and err nil: call again with more bytes. A
// fault is reported as soon as the bytes that show it are there. It allocates
// nothing. RSV bits, masking and fragmentation are the caller's to judge.
func ParseHeader(p []byte) (h Header, n int, err error) {
	if len(p) == 0 {
		return h, 0, nil
	}
	h.Fin, h.RSV1, h.RSV2, h.RSV3 = p[0]&0x80 != 0, p[0]&0x40 != 0, p[0]&0x20 != 0, p[0]&0x10 != 0
	h.Op = Opcode(p[0] & 0x0F)
	if op := h.Op; op > Pong || op > Binary && op < Close {
		return Header{}, 0, ErrOpcode
	}
	if h.Op.Control() && !h.Fin {
		return Header{}, 0, ErrControlFragmented
	}
	if len(p) < 2 {
		return Header{}, 0, nil
	}
	h.Masked = p[1]&0x80 != 0
	length := uint64(p[1] & 0x7F)
	if h.Op.Control() && length > MaxControl {
		return Header{}, 0, ErrControlTooLong
	}
	n = 2
	switch length {
	case 126:
		if len(p) < 4 {
			return Header{}, 0, nil
		}
		length, n = uint64(binary.BigEndian.Uint16(p[2:])), 4
		if length < 126 {
			return Header{}, 0, ErrLengthNotMinimal
		}
	case 127:
		if len(p) > 2 && p[2]&0x80 != 0 {
			return Header{}, 0, ErrLengthTooBig
		}
		if len(p) < 10 {
			return Header{}, 0, nil
		}
		length, n = binary.BigEndian.Uint64(p[2:]), 10
		if length < 1<<16 {
			return Header{}, 0, ErrLengthNotMinimal
		}
	}
	h.Length = int64(length)
	if h.Masked {
		if len(p) < n+4 {
			return Header{}, 0, nil
		}
		h.Key = [4]byte(p[n:])
		n += 4
	}
	return h, n, nil
}

// AppendHeader appends the header to dst, with the key if h.Masked. A client
// draws a new key for every frame, from crypto/rand (RFC 6455 §10.3), and then
// runs Mask over the payload. It panics on a negative Length.
func AppendHeader(dst []byte, h Header) []byte {
	if h.Length < 0 {
		panic("wsframe: negative payload length")
	}
	var mask byte
	if h.Masked {
		mask = 0x80
	}
	dst = append(dst, first(h))
	switch {
	case h.Length < 126:
		dst = append(dst, mask|byte(h.Length))
	case h.Length < 1<<16:
		dst = append(dst, mask|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Length))
	default:
		dst = append(dst, mask|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.Length))
	}
	if h.Masked {
		dst = append(dst, h.Key[:]...)
	}
	return dst
}

func first(h Header) byte {
	b := byte(h.Op) & 0x0F
	if h.Fin {
		b |= 0x80
	}
	if h.RSV1 {
		b |= 0x40
	}
	if h.RSV2 {
		b |= 0x20
	}
	if h.RSV3 {
		b |= 0x10
	}
	return b
}

// Finish makes a whole unmasked frame of buf, which is Headroom spare bytes and
// then the payload: it writes the header directly before the payload and returns
// the frame, a sub-slice of buf. So a payload is built once and never moved. It
// panics if buf is shorter than Headroom.
func Finish(buf []byte, op Opcode, rsv1 bool) []byte {
	length := len(buf) - Headroom
	size := 2
	switch {
	case length >= 1<<16:
		size = 10
	case length >= 126:
		size = 4
	}
	frame := buf[Headroom-size:]
	AppendHeader(frame[:0], Header{Fin: true, RSV1: rsv1, Op: op, Length: int64(length)})
	return frame
}
