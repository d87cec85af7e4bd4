// Package cursor is the text in which a client that keeps no state of its own
// carries its positions: the id of Server-Sent Events and the cursor of a
// long-poll. One cursor holds the positions of all the channels of a stream.
//
// To clients it is opaque. It is not signed, because there is nothing to gain by
// forging one: it names positions and nothing else, and with each use the rules
// are asked as for a subscribe with since, which anybody may send.
package cursor

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"strings"

	"ringdown/protocol"
)

// The bounds of a cursor.
const (
	MaxChannels = 128     // positions in one cursor
	MaxText     = 8 << 10 // bytes of its text: a header line that proxies let pass
	maxEpoch    = 64
)

// version begins every cursor. Another form gets another one.
const version = 1

// Place is where a client stands in one channel.
type Place struct {
	protocol.Position
	// Within says that it was given the state which the channel had at Position
	// only in part: what was written last up to the offset Given.
	Within bool
	Given  uint64
}

// Key stands for the name of a channel: 48 bits of its hash, so that a hundred
// long names fit into a header line. Two names with the same key cost their own
// reader a "recovered":false, since their epochs differ.
type Key uint64

const keyBytes = 6

// within is a flag in the byte of an epoch's length: the offset up to which the
// state was given follows the position.
const within = 0x80

// KeyOf returns the key of a name. It is the same on every node.
func KeyOf(channel string) Key {
	h := fnv.New64a()
	_, _ = h.Write([]byte(channel)) // never fails
	return Key(h.Sum64() >> 16)
}

// Writer builds one cursor after the other in the same memory. The zero value is
// ready to use, after Begin. It is not safe for concurrent use.
type Writer struct {
	raw    []byte
	places int
}

// Begin begins a cursor without positions.
func (w *Writer) Begin() { w.raw, w.places = append(w.raw[:0], version), 0 }

// Add adds a place. Those past MaxChannels, and epochs that cannot be carried,
// are left out: their channels begin anew.
func (w *Writer) Add(k Key, p Place) {
	if p.Epoch == "" || len(p.Epoch) > maxEpoch || w.places == MaxChannels || len(w.raw) > MaxText*3/4-keyBytes-1-maxEpoch-2*binary.MaxVarintLen64 {
		return
	}
	w.places++
	n := byte(len(p.Epoch))
	if p.Within {
		n |= within
	}
	w.raw = append(w.raw, byte(k>>40), byte(k>>32), byte(k>>24), byte(k>>16), byte(k>>8), byte(k), n)
	w.raw = append(w.raw, p.Epoch...)
	w.raw = binary.AppendUvarint(w.raw, p.Offset)
	if p.Within {
		w.raw = binary.AppendUvarint(w.raw, p.Given)
	}
}

// None is the cursor without positions, of who follows only what keeps no messages.
const None = "AQ"

// Empty reports whether no position was added since Begin.
func (w *Writer) Empty() bool { return len(w.raw) <= 1 }

// Append appends the cursor's text: letters, digits, - and _.
func (w *Writer) Append(dst []byte) []byte {
	return base64.RawURLEncoding.AppendEncode(dst, w.raw)
}

// Cursor is a cursor that was read. The nil map is one without positions.
type Cursor map[Key]Place

// Parse reads the text of a cursor; the empty one has no positions. Errors are
// bad_request *protocol.Errors.
func Parse(text string) (Cursor, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > MaxText {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the cursor has %d bytes, and none that this server gives out has more than %d", len(text), MaxText)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || raw[0] != version { // the decoder passes line breaks over
		return nil, errForeign
	}
	c := Cursor{}
	for p := raw[1:]; len(p) > 0; {
		var k Key
		var at Place
		if k, at, p = next(p); p == nil {
			return nil, errForeign
		}
		if _, twice := c[k]; twice || len(c) == MaxChannels {
			return nil, errForeign
		}
		c[k] = at
	}
	return c, nil
}

// next takes one position off p, and returns a nil rest if there is none.
func next(p []byte) (k Key, at Place, rest []byte) {
	if len(p) < keyBytes+1 {
		return 0, at, nil
	}
	var key [8]byte
	copy(key[8-keyBytes:], p)
	n := int(p[keyBytes] &^ within)
	at.Within = p[keyBytes]&within != 0
	p = p[keyBytes+1:]
	if n == 0 || n > maxEpoch || n >= len(p) {
		return 0, at, nil
	}
	at.Epoch, p = string(p[:n]), p[n:]
	if at.Offset, p = offset(p); p != nil && at.Within {
		if at.Given, p = offset(p); at.Given > at.Offset {
			return 0, at, nil
		}
	}
	return Key(binary.BigEndian.Uint64(key[:])), at, p
}

// offset takes an offset off p, and returns a nil rest if there is none.
func offset(p []byte) (uint64, []byte) {
	n, size := binary.Uvarint(p)
	if size <= 0 || n > protocol.MaxOffset || size > 1 && p[size-1] == 0 {
		return 0, nil
	}
	return n, p[size:]
}

var errForeign = protocol.Errorf(protocol.CodeBadRequest, "the cursor is not one that this server gave out; begin anew without it")

// Find returns the place in a channel, nil if the cursor has none.
func (c Cursor) Find(channel string) *Place {
	if at, ok := c[KeyOf(channel)]; ok {
		return &at
	}
	return nil
}
