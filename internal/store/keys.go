package store

import (
	"bytes"
	"encoding/binary"
)

// The keys of the database. Numbers are big-endian, so that keys sort by them.
//
//	S                            the store: LSN, channels so far
//	C name                       a channel's head
//	E channel offset             a message of its log
//	L channel offset             the latest message of a key
//	K channel key                at which offset the latest message of a key stands
//	G channel offset             a deletion that is remembered: the key
//	D minute name 0 dedupe       an idempotency key
//	F number                     offset up to which forgotten channels went
//
// A channel is a number in all keys but its own, so that names may be long.
const (
	kindStore    = 'S'
	kindChannel  = 'C'
	kindMessage  = 'E'
	kindLatest   = 'L'
	kindKey      = 'K'
	kindDeletion = 'G'
	kindDedupe   = 'D'
	kindFloor    = 'F'
)

// maxName is the longest name of a log, in bytes.
const maxName = 512

var storeKey = []byte{kindStore}

func channelKey(dst []byte, name string) []byte {
	return append(append(dst[:0], kindChannel), name...)
}

func offsetKey(dst []byte, kind byte, id, offset uint64) []byte {
	dst = append(dst[:0], kind)
	dst = binary.BigEndian.AppendUint64(dst, id)
	return binary.BigEndian.AppendUint64(dst, offset)
}

// keyOffset is the offset in a key that offsetKey made.
func keyOffset(key []byte) uint64 { return binary.BigEndian.Uint64(key[9:]) }

func stateKey(dst []byte, id uint64, key string) []byte {
	dst = append(dst[:0], kindKey)
	dst = binary.BigEndian.AppendUint64(dst, id)
	return append(dst, key...)
}

func dedupeKey(dst []byte, minute uint32, name, key string) []byte {
	dst = append(dst[:0], kindDedupe)
	dst = binary.BigEndian.AppendUint32(dst, minute)
	dst = append(append(dst, name...), 0)
	return append(dst, key...)
}

func minuteKey(minute uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kindDedupe}, minute)
}

// isOffsetKey reports whether key has the form that offsetKey makes.
func isOffsetKey(key []byte, kind byte) bool { return len(key) == 17 && key[0] == kind }

// validName reports whether name can be the name of a log.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && bytes.IndexByte([]byte(name), 0) < 0
}
