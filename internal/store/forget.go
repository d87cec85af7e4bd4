package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"
)

// A log of which nothing is kept any more is forgotten, so that a name that was
// used once does not count for ever. Its epoch is that of the store and goes on,
// so its offsets have to go on, too, if the name is used again. They do so from a
// floor, which it shares with the other names of the same number: where one of
// them came further, a log made anew begins higher than it ended. Whoever was in
// it up to its end is told then that something is missing, which cannot be known.
const floors = 1 << 20

func floorKey(dst []byte, name string) []byte {
	number := crc32.Checksum([]byte(name), castagnoli) % floors
	return binary.BigEndian.AppendUint32(append(dst[:0], kindFloor), number)
}

// idle reports whether nothing of the log is kept, nor of its state.
func (h *head) idle() bool { return h.trimmed == h.offset && h.keys == 0 }

// forget drops a log that is idle.
func (s *Store) forget(name string, h *head) error {
	g := &s.group
	floor, err := s.floor(name)
	if err != nil {
		return err
	}
	g.key = floorKey(g.key, name)
	g.value = binary.BigEndian.AppendUint64(headroom(g.value), max(floor, h.offset))
	if err := g.batch.Set(g.key, seal(g.key, g.value), nil); err != nil {
		return err
	}
	if err := g.batch.Delete(channelKey(nil, name), nil); err != nil {
		return err
	}
	delete(s.logs, name)
	delete(g.touched, h)
	s.channels--
	s.metrics.Forgotten.Add(1)
	return nil
}

// floor returns the offset that a log begins after if it is made now.
func (s *Store) floor(name string) (uint64, error) {
	key := floorKey(nil, name)
	value, closer, err := s.group.reader(s).Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	return decodeFloor(key, value)
}

// readFloor is floor for readers.
func readFloor(it *pebble.Iterator, name string) (uint64, error) {
	key := floorKey(nil, name)
	if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
		return 0, it.Error()
	}
	return decodeFloor(key, it.Value())
}

func decodeFloor(key, value []byte) (uint64, error) {
	body, err := unseal(key, value)
	if err != nil || len(body) != 8 {
		return 0, errBad
	}
	return binary.BigEndian.Uint64(body), nil
}
