package store

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ringdown/protocol"
)

// dedupeWindow is how long an idempotency key is remembered. Keys are kept by the
// minute, so that old ones go all at once.
const (
	dedupeWindow  = 2 * time.Minute
	dedupeMinutes = 4 // the window, and the minutes it begins and ends in
)

// maxDeletions is how many deletions a state remembers.
const maxDeletions = 1024

// fewDeletes is up to how many messages are deleted one by one. Ranges cost
// readers more than they save while they are small.
const fewDeletes = 512

func minuteOf(ms int64) uint32 { return uint32(ms / time.Minute.Milliseconds()) }

// readClock sets the clock of idempotency keys: it is not before the newest one.
func (s *Store) readClock() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindDedupe}, UpperBound: []byte{kindDedupe + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	s.wall = s.opts.Now().UnixMilli()
	s.clock = s.wall
	if it.Last() && len(it.Key()) > 5 {
		s.clock = max(s.clock, int64(binary.BigEndian.Uint32(it.Key()[1:]))*time.Minute.Milliseconds())
	}
	return it.Error()
}

// remembered finds what was accepted under a's idempotency key.
func (s *Store) remembered(a *Append) (r Result, found bool, err error) {
	g := &s.group
	for m, n := s.minute, uint32(0); n < dedupeMinutes-1 && n <= m; n++ {
		g.key = dedupeKey(g.key, m-n, a.Log, a.Dedupe)
		value, closer, err := g.reader(s).Get(g.key)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return r, false, s.readError(err)
		}
		body, err := unseal(g.key, value)
		if err == nil && len(body) != 32 && len(body) != 24 { // 24: of a version without fingerprints
			err = errBad
		}
		if err != nil {
			closer.Close()
			return r, false, s.readError(err)
		}
		r = Result{Offset: binary.BigEndian.Uint64(body), Time: int64(binary.BigEndian.Uint64(body[8:])), Duplicate: true}
		since := s.clock - int64(binary.BigEndian.Uint64(body[16:]))
		other := len(body) == 32 && binary.BigEndian.Uint64(body[24:]) != a.Fingerprint
		closer.Close()
		switch {
		case since >= dedupeWindow.Milliseconds():
		case other:
			return Result{}, true, a.Reused
		default:
			return r, true, nil
		}
		return Result{}, false, nil // the newest is too old, and so are all
	}
	count := 0
	for _, n := range s.dedupes {
		count += n
	}
	if count >= s.opts.DedupeKeys {
		return r, false, unavailable("too many publications with a dedupe key are remembered; publish without one or try again later", 10*time.Second)
	}
	return Result{}, false, nil
}

func (s *Store) remember(a *Append, r Result) error {
	g := &s.group
	g.key = dedupeKey(g.key, s.minute, a.Log, a.Dedupe)
	g.value = binary.BigEndian.AppendUint64(headroom(g.value), r.Offset)
	g.value = binary.BigEndian.AppendUint64(g.value, uint64(r.Time))
	g.value = binary.BigEndian.AppendUint64(g.value, uint64(s.clock))
	g.value = binary.BigEndian.AppendUint64(g.value, a.Fingerprint)
	g.deduped++
	s.dedupes[s.minute%dedupeMinutes]++
	return g.batch.Set(g.key, seal(g.key, g.value), nil)
}

// latest makes r the newest message of its key.
func (s *Store) latest(log string, h *head, r *Record) error {
	g := &s.group
	offset, deleted, found, err := g.keyAt(s, h.id, r.Key)
	if err != nil {
		return s.readError(err)
	}
	if !found && h.keys >= uint64(s.opts.StateKeys) {
		return protocol.Errorf(protocol.CodeLimitExceeded, "channel %q has its limit of %d keys; delete some (data null) or let them expire", log, s.opts.StateKeys)
	}
	if found {
		err = g.removeLatest(h, r.Key, offset, deleted)
	}
	h.keys++
	g.key = stateKey(g.key, h.id, r.Key)
	g.value = binary.BigEndian.AppendUint64(headroom(g.value), r.Offset)
	g.value = append(g.value, 0)
	if r.Deleted {
		g.value[len(g.value)-1] = 1
	}
	err = errors.Join(err, g.batch.Set(g.key, seal(g.key, g.value), nil), g.put(kindLatest, h.id, r))
	if r.Deleted {
		h.deletions++
		g.key = offsetKey(g.key, kindDeletion, h.id, r.Offset)
		g.value = append(headroom(g.value), r.Key...)
		err = errors.Join(err, g.batch.Set(g.key, seal(g.key, g.value), nil))
	}
	for err == nil && h.deletions > maxDeletions {
		err = s.forgetDeletion(h)
	}
	if err != nil {
		// The head is half changed: nothing of the group can be written.
		g.broken = err
		return s.readError(err)
	}
	return nil
}

// keyAt finds where the latest message of a key stands.
func (g *group) keyAt(s *Store, id uint64, key string) (offset uint64, deleted, found bool, err error) {
	g.key = stateKey(g.key, id, key)
	value, closer, err := g.reader(s).Get(g.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, false, nil
	}
	if err != nil {
		return 0, false, false, err
	}
	defer closer.Close()
	body, err := unseal(g.key, value)
	if err != nil || len(body) != 9 {
		return 0, false, false, errBad
	}
	return binary.BigEndian.Uint64(body), body[8] != 0, true, nil
}

// removeLatest takes the latest message of a key out of the state.
func (g *group) removeLatest(h *head, key string, offset uint64, deleted bool) error {
	h.keys--
	err := errors.Join(
		g.batch.Delete(offsetKey(nil, kindLatest, h.id, offset), nil),
		g.batch.Delete(stateKey(nil, h.id, key), nil))
	if deleted {
		h.deletions--
		err = errors.Join(err, g.batch.Delete(offsetKey(nil, kindDeletion, h.id, offset), nil))
	}
	return err
}

// forgetDeletion drops the oldest deletion that is remembered.
func (s *Store) forgetDeletion(h *head) error {
	g := &s.group
	it, err := g.reader(s).NewIter(span(kindDeletion, h.id, 0))
	if err != nil {
		return err
	}
	defer it.Close()
	if !it.First() {
		return errors.Join(it.Error(), errBad)
	}
	key, err := unseal(it.Key(), it.Value())
	if err != nil {
		return err
	}
	h.forgotten = keyOffset(it.Key())
	return g.removeLatest(h, string(key), h.forgotten, true)
}

// span bounds an iterator to the offsets after one, of a channel.
func span(kind byte, id, after uint64) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: offsetKey(nil, kind, id, after+1), UpperBound: offsetKey(nil, kind, id+1, 0)}
}

// trim deletes what a log no longer keeps by count and bytes, when enough of it
// has gathered. Readers leave it out before.
func (s *Store) trim(h *head) error {
	k := &h.keep
	if n := uint64(k.Messages); n > 0 && h.offset-h.trimmed > n+min(n/8, 1024) {
		if err := s.trimTo(h, h.offset-n); err != nil {
			return err
		}
	}
	if kept := h.total - h.trimmedTotal; k.Bytes > 0 && kept > uint64(k.Bytes+k.Bytes/8) {
		it, err := s.db.NewIter(span(kindMessage, h.id, h.trimmed))
		if err != nil {
			return err
		}
		defer it.Close()
		to, err := firstKept(it, h.id, h.trimmed, h.offset, func(r *Record) bool { return h.total-r.total < uint64(k.Bytes) })
		if err != nil {
			return err
		}
		// What the group itself wrote is not in the database yet; it is kept.
		return s.trimTo(h, to)
	}
	return nil
}

// firstKept searches for the first message of a log, after low and up to high,
// that is kept, and returns the offset before it. kept is false up to some
// message and true from there on; what the iterator does not see is taken for kept.
func firstKept(it *pebble.Iterator, id, low, high uint64, kept func(*Record) bool) (after uint64, err error) {
	// Nearly always the first one is.
	for next := low; low < high; next = low + (high-low)/2 {
		if !it.SeekGE(offsetKey(nil, kindMessage, id, next+1)) {
			if it.Error() != nil {
				return 0, it.Error()
			}
			high = next
			continue
		}
		var r Record
		if err := readRecord(kindMessage, it.Key(), it.Value(), &r); err != nil {
			return 0, err
		}
		if kept(&r) {
			high = next
		} else {
			low = r.Offset
		}
	}
	return low, nil
}

// trimTo deletes the messages up to an offset.
func (s *Store) trimTo(h *head, to uint64) error {
	g := &s.group
	if to <= h.trimmed {
		return nil
	}
	value, closer, err := g.reader(s).Get(offsetKey(nil, kindMessage, h.id, to))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		// It was written by this very group, which cannot read itself; so the sum
		// is that of the whole log, less what the rest is estimated at.
		h.trimmedTotal += (h.total - h.trimmedTotal) * (to - h.trimmed) / max(1, h.offset-h.trimmed)
	case err != nil:
		return err
	default:
		var r Record
		err := readRecord(kindMessage, offsetKey(nil, kindMessage, h.id, to), value, &r)
		closer.Close()
		if err != nil {
			return err
		}
		h.trimmedTotal = r.total
	}
	from := h.trimmed
	h.trimmed = to
	s.metrics.Trimmed.Add(to - from)
	if to-from > fewDeletes {
		return g.batch.DeleteRange(offsetKey(nil, kindMessage, h.id, from+1), offsetKey(nil, kindMessage, h.id, to+1), nil)
	}
	for o := from + 1; o <= to; o++ {
		g.key = offsetKey(g.key, kindMessage, h.id, o)
		if err := g.batch.Delete(g.key, nil); err != nil {
			return err
		}
	}
	return nil
}

// expire deletes what has become too old in a log, and in its state.
func (s *Store) expire(name string) error {
	g := &s.group
	h, err := s.head(name)
	if err != nil || h == nil {
		return err
	}
	g.touched[h] = name
	it, err := g.reader(s).NewIter(span(kindMessage, h.id, h.trimmed))
	if err != nil {
		return err
	}
	defer it.Close()
	if h.keep.For > 0 {
		to, err := firstKept(it, h.id, h.trimmed, h.offset, youngerThan(g.now, h.keep.For))
		if err != nil {
			return err
		}
		if err := s.trimTo(h, to); err != nil {
			return err
		}
	}
	if h.keep.StateFor > 0 {
		err = s.expireState(h)
	}
	if err == nil && h.idle() && (s.opts.Followed == nil || !s.opts.Followed(name)) {
		err = s.forget(name, h)
	}
	return err
}

func youngerThan(now int64, age time.Duration) func(*Record) bool {
	before := now - age.Milliseconds()
	return func(r *Record) bool { return r.Time >= before }
}

// expireKeys is how many keys go at a time; the sweeper comes again.
const expireKeys = 4096

func (s *Store) expireState(h *head) error {
	g := &s.group
	it, err := g.reader(s).NewIter(span(kindLatest, h.id, 0))
	if err != nil {
		return err
	}
	defer it.Close()
	young := youngerThan(g.now, h.keep.StateFor)
	n := 0
	for ok := it.First(); ok && n < expireKeys; ok = it.Next() {
		var r Record
		if err := readRecord(kindLatest, it.Key(), it.Value(), &r); err != nil {
			return err
		}
		if young(&r) {
			break
		}
		if err := g.removeLatest(h, r.Key, r.Offset, r.Deleted); err != nil {
			return err
		}
		n++
	}
	return it.Error()
}
