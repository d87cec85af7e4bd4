package store

import (
	"bytes"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// sweepChannels is how many channels a sweep looks at; the next goes on from
// there. What is too old and still there does no harm: readers leave it out.
const sweepChannels = 10_000

// lookEvery is how often the free space of the disk is looked at.
const lookEvery = time.Second

// sweeps is the sweeper's goroutine: it finds channels that hold messages that
// are too old, which nobody publishes to, and it watches the disk.
func (s *Store) sweeps() {
	defer s.sweeping.Done()
	sweep, look := time.NewTicker(s.opts.Sweep), time.NewTicker(lookEvery)
	defer sweep.Stop()
	defer look.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case <-look.C:
			s.look()
			if s.refused.Load() != nil && s.failure.Load() == nil && !s.full.Load() {
				// Who waits for the store to be ready does not publish to it.
				_ = s.push(item{try: true}) // refused only when the store is closing
			}
		case <-sweep.C:
			if err := s.sweep(); err != nil {
				_ = s.readError(err) // it logs
			}
		}
	}
}

// look notes whether the disk is full.
func (s *Store) look() {
	use, err := s.fs.GetDiskUsage(s.opts.Dir)
	if err != nil {
		return // a file system that cannot tell
	}
	full := s.isFull(use)
	if s.full.Swap(full) != full {
		if full {
			s.opts.Logger.Error("the disk is full; publications are refused until there is room", "free", use.AvailBytes, "dir", s.opts.Dir)
		} else {
			s.opts.Logger.Info("the disk has room again", "free", use.AvailBytes)
		}
	}
}

// sweep asks the committer to look at those of the next channels that hold
// something too old.
func (s *Store) sweep() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	now := s.opts.Now().UnixMilli()
	start := append(s.swept, 0)
	if s.swept == nil {
		start = []byte{kindChannel}
	}
	var names []string
	var h head
	ok := it.SeekGE(start)
	for n := 0; ok && n < sweepChannels && it.Key()[0] == kindChannel; n++ {
		if err := readHead(it.Key(), it.Value(), &h); err != nil {
			return err
		}
		key := bytes.Clone(it.Key())
		s.swept = key
		stale, err := h.stale(it, now)
		if err != nil {
			return err
		}
		if stale {
			names = append(names, string(key[1:]))
		}
		ok = it.SeekGE(append(key, 0))
	}
	if !ok || it.Key()[0] != kindChannel {
		s.swept = nil // from the first one again
	}
	for _, name := range names {
		_ = s.push(item{trim: true, log: name}) // refused only when the store is closing
	}
	return it.Error()
}

// stale reports whether anything of the log or the state is too old, or all is gone.
func (h *head) stale(it *pebble.Iterator, now int64) (bool, error) {
	tooOld := func(kind byte, after uint64, age time.Duration) (bool, error) {
		if age <= 0 || !it.SeekGE(offsetKey(nil, kind, h.id, after+1)) {
			return false, it.Error()
		}
		if key := it.Key(); !isOffsetKey(key, kind) || bytes.Compare(key, offsetKey(nil, kind, h.id+1, 0)) >= 0 {
			return false, nil
		}
		var r Record
		if err := readRecord(kind, it.Key(), it.Value(), &r); err != nil {
			return false, err
		}
		return !youngerThan(now, age)(&r), nil
	}
	if h.idle() {
		return true, nil
	}
	stale, err := tooOld(kindMessage, h.trimmed, h.keep.For)
	if stale || err != nil || h.keys == 0 {
		return stale, err
	}
	return tooOld(kindLatest, 0, h.keep.StateFor)
}
