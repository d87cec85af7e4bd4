package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Range asks for a page of a log, oldest first in all cases: the messages after
// After; or if Last is positive the last so many; or if Before is positive the
// newest before that offset and after After.
type Range struct {
	After  uint64
	Before uint64
	Last   int
	Limit  int // messages at most; 0: 256
	Bytes  int // about so many bytes at most, but at least one message; 0: 256 KiB
}

// Page says what a log is, beside the messages that were read.
type Page struct {
	Head      uint64 // offset of the newest message, kept or not
	Oldest    uint64 // all after this offset is kept
	Forgotten uint64 // deletions up to this offset are no longer remembered
	More      bool   // there are messages after those that were read; for Before, before them
}

const (
	defaultLimit = 256
	defaultBytes = 256 << 10
)

// Read calls each with the messages of a page, in order; they are valid during
// the call only. keep says what counts as kept now. Everything comes from one
// moment. An error means that what each was given is not to be used.
func (s *Store) Read(ctx context.Context, log string, keep Keep, r Range, each func(*Record)) (Page, error) {
	return s.view(log, func(v *view) error {
		low, err := v.oldest(keep, s.opts.Now().UnixMilli())
		if err != nil {
			return err
		}
		v.page.Oldest = low
		after := max(low, r.After)
		if r.Last > 0 {
			after = max(low, v.head.offset-min(v.head.offset, uint64(r.Last)))
		}
		more := false
		if r.Before > 0 {
			oldest := after
			if after, err = v.back(oldest, &r); err != nil {
				return err
			}
			more = after > oldest
		}
		want := after + 1
		err = v.iterate(ctx, kindMessage, after, r.Limit, r.Bytes, func(m *Record) (bool, error) {
			if r.Before > 0 && m.Offset >= r.Before {
				return false, errEnd
			}
			if m.Offset != want {
				return false, fmt.Errorf("channel %q: message %d is missing: %w", log, want, errBad)
			}
			want++
			each(m)
			return true, nil
		})
		if r.Before > 0 {
			v.page.More = more
		}
		if errors.Is(err, errEnd) {
			err = nil
		}
		return err
	})
}

// errEnd ends an iteration.
var errEnd = errors.New("that is all")

// back finds the offset after which a page begins that ends before r.Before.
func (v *view) back(oldest uint64, r *Range) (after uint64, err error) {
	limit, size := cmp.Or(r.Limit, defaultLimit), cmp.Or(r.Bytes, defaultBytes)
	after = min(r.Before-1, v.head.offset)
	if after <= oldest {
		return max(oldest, after), nil
	}
	var m Record
	n := 0
	for ok := v.it.SeekLT(offsetKey(nil, kindMessage, v.head.id, after+1)); ok && after > oldest && n < limit; ok = v.it.Prev() {
		if err := readRecord(kindMessage, v.it.Key(), v.it.Value(), &m); err != nil {
			return 0, err
		}
		if size -= m.Size(); size < 0 && n > 0 {
			break
		}
		after = m.Offset - 1
		n++
	}
	return after, v.it.Error()
}

// State is Read for the latest messages of the keys, remembered deletions
// included, whose offsets are after the given one.
func (s *Store) State(ctx context.Context, log string, keep Keep, after uint64, limit, size int, each func(*Record)) (Page, error) {
	return s.view(log, func(v *view) error {
		young := func(*Record) bool { return true }
		if keep.StateFor > 0 {
			young = youngerThan(s.opts.Now().UnixMilli(), keep.StateFor)
		}
		return v.iterate(ctx, kindLatest, after, limit, size, func(m *Record) (bool, error) {
			if !young(m) {
				return false, nil
			}
			each(m)
			return true, nil
		})
	})
}

// view is a log as it is at one moment.
type view struct {
	head head
	it   *pebble.Iterator
	page Page
}

// view calls fn with a view of a log, unless there is none.
func (s *Store) view(log string, fn func(*view) error) (Page, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.db == nil {
		return Page{}, errClosed
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return Page{}, s.readError(err)
	}
	defer it.Close()
	key := channelKey(nil, log)
	if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
		floor, err := uint64(0), it.Error()
		if err == nil {
			floor, err = readFloor(it, log)
		}
		if err != nil {
			return Page{}, s.readError(err)
		}
		return Page{Head: floor, Oldest: floor, Forgotten: floor}, nil
	}
	v := &view{it: it}
	if err := readHead(it.Key(), it.Value(), &v.head); err != nil {
		return Page{}, s.readError(err)
	}
	v.page.Head, v.page.Forgotten = v.head.offset, v.head.forgotten
	switch err := fn(v); {
	case err == nil:
		return v.page, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Page{}, err
	default:
		return Page{}, s.readError(err)
	}
}

// oldest returns the offset after which everything is kept.
func (v *view) oldest(keep Keep, now int64) (low uint64, err error) {
	h := &v.head
	low = h.trimmed
	if n := uint64(keep.Messages); n > 0 && h.offset > n {
		low = max(low, h.offset-n)
	}
	if keep.Bytes > 0 && h.total-h.trimmedTotal > uint64(keep.Bytes) {
		low, err = firstKept(v.it, h.id, low, h.offset, func(r *Record) bool { return h.total-r.total < uint64(keep.Bytes) })
		if err != nil {
			return 0, err
		}
	}
	if keep.For > 0 {
		return firstKept(v.it, h.id, low, h.offset, youngerThan(now, keep.For))
	}
	return low, nil
}

// iterate reads records of a kind after an offset. take reports whether the record
// counts.
func (v *view) iterate(ctx context.Context, kind byte, after uint64, limit, size int, take func(*Record) (bool, error)) error {
	limit, size = cmp.Or(limit, defaultLimit), cmp.Or(size, defaultBytes)
	end := offsetKey(nil, kind, v.head.id+1, 0)
	var r Record
	n, seen := 0, after
	for ok := v.it.SeekGE(offsetKey(nil, kind, v.head.id, after+1)); ok && bytes.Compare(v.it.Key(), end) < 0; ok = v.it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readRecord(kind, v.it.Key(), v.it.Value(), &r); err != nil {
			return err
		}
		if n == limit || n > 0 && size < r.Size() {
			v.page.More = true
			return nil
		}
		counts, err := take(&r)
		if err != nil {
			return err
		}
		if counts {
			n++
			size -= r.Size()
		}
		seen = r.Offset
	}
	if err := v.it.Error(); err != nil {
		return err
	}
	if kind == kindMessage && seen < v.head.offset {
		return fmt.Errorf("message %d is missing: %w", seen+1, errBad)
	}
	return nil
}
