package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// Record is a stored message.
type Record struct {
	Offset, Prev uint64
	Time         int64  // Unix milliseconds
	Type         string // of the event
	Channel      string // what the message calls its channel; empty: the name of the log
	Key, From    string
	Data         []byte
	Binary       bool // Data is bytes and not JSON
	Deleted      bool // it has a key, which it deletes

	total uint64 // bytes of the log up to here, trimmed ones included
}

// Size is about the bytes that the record takes in memory.
func (r *Record) Size() int {
	return 160 + len(r.Type) + len(r.Channel) + 2*len(r.Key) + len(r.From) + len(r.Data)
}

const (
	flagBinary = 1 << iota
	flagData   // there is data, perhaps of no bytes
	flagDeleted
	flagMask = 1<<iota - 1
)

// errBad is a value that does not read as what it should be. Only damage or a
// mistake of ours makes one.
var errBad = errors.New("the value is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumSize is what a checksum adds to each value, in front of it.
const sumSize = 4

// seal puts the checksum of key and body into the headroom before the body.
func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[sumSize:])
	binary.LittleEndian.PutUint32(value, sum)
	return value
}

// unseal checks a value of seal and returns its body.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < sumSize {
		return nil, errBad
	}
	body := value[sumSize:]
	if crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body) != binary.LittleEndian.Uint32(value) {
		return nil, errBad
	}
	return body, nil
}

// headroom begins a value whose checksum seal puts in front.
func headroom(dst []byte) []byte { return append(dst[:0], 0, 0, 0, 0) }

func (r *Record) append(dst []byte) []byte {
	flags := byte(0)
	if r.Binary {
		flags |= flagBinary
	}
	if r.Data != nil {
		flags |= flagData
	}
	if r.Deleted {
		flags |= flagDeleted
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, r.Prev)
	dst = binary.AppendVarint(dst, r.Time)
	dst = binary.AppendUvarint(dst, r.total)
	for _, s := range [...]string{r.Type, r.Channel, r.Key, r.From} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return append(dst, r.Data...)
}

// decode reads what append wrote. Data aliases body.
func (r *Record) decode(body []byte) error {
	d := decoder{rest: body}
	flags := d.byte()
	r.Prev, r.Time, r.total = d.uint(), d.int(), d.uint()
	r.Type, r.Channel, r.Key, r.From = d.string(), d.string(), d.string(), d.string()
	r.Binary, r.Deleted = flags&flagBinary != 0, flags&flagDeleted != 0
	r.Data = nil
	if flags&flagData != 0 {
		r.Data = d.rest
	} else if len(d.rest) > 0 {
		d.bad = true
	}
	if d.bad || flags > flagMask {
		return errBad
	}
	return nil
}

// readRecord reads a message from a key and value of kind.
func readRecord(kind byte, key, value []byte, r *Record) error {
	if !isOffsetKey(key, kind) {
		return fmt.Errorf("key %x: %w", key, errBad)
	}
	body, err := unseal(key, value)
	if err == nil {
		err = r.decode(body)
	}
	if err != nil {
		return fmt.Errorf("key %x: %w", key, err)
	}
	r.Offset = keyOffset(key)
	return nil
}

// Keep says what a log keeps. Zero fields do not limit.
type Keep struct {
	Messages int
	Bytes    int64
	For      time.Duration
	State    bool          // the latest message of each key is kept, too
	StateFor time.Duration // until nobody has written to it for so long
}

// head is what is known of a channel without reading its log.
type head struct {
	id           uint64
	offset       uint64 // of the newest message
	trimmed      uint64 // messages up to here are gone
	total        uint64 // bytes of all messages up to the newest, gone ones included
	trimmedTotal uint64 // bytes of all messages up to trimmed
	time         int64  // of the newest message
	keys         uint64 // that the state has, remembered deletions included
	deletions    uint64 // that are remembered
	forgotten    uint64 // deletions up to here are not
	keep         Keep   // as of the newest message
}

func (h *head) append(dst []byte) []byte {
	for _, v := range [...]uint64{h.id, h.offset, h.trimmed, h.total, h.trimmedTotal, h.keys, h.deletions, h.forgotten} {
		dst = binary.AppendUvarint(dst, v)
	}
	state := int64(0)
	if h.keep.State {
		state = 1
	}
	for _, v := range [...]int64{h.time, int64(h.keep.Messages), h.keep.Bytes, int64(h.keep.For), state, int64(h.keep.StateFor)} {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

func (h *head) decode(body []byte) error {
	d := decoder{rest: body}
	for _, v := range [...]*uint64{&h.id, &h.offset, &h.trimmed, &h.total, &h.trimmedTotal, &h.keys, &h.deletions, &h.forgotten} {
		*v = d.uint()
	}
	h.time = d.int()
	h.keep.Messages, h.keep.Bytes, h.keep.For = int(d.int()), d.int(), time.Duration(d.int())
	h.keep.State, h.keep.StateFor = d.int() != 0, time.Duration(d.int())
	if d.bad || len(d.rest) > 0 || h.trimmed > h.offset || h.trimmedTotal > h.total || h.offset > math.MaxInt64 {
		return errBad
	}
	return nil
}

func readHead(key, value []byte, h *head) error {
	body, err := unseal(key, value)
	if err == nil {
		err = h.decode(body)
	}
	if err != nil {
		return fmt.Errorf("the head of channel %q: %w", key[1:], err)
	}
	return nil
}

// decoder reads numbers and strings, and remembers that something was wrong.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.bad = true
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	return advance(d, v, n)
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	return advance(d, v, n)
}

func advance[T any](d *decoder, v T, n int) (zero T) {
	if n <= 0 {
		d.bad = true
		return zero
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}
