package store

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// persist writes the batch to the journal, as durably as the mode says, and then
// to the database.
func (s *Store) persist() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	if err := s.awaitNoStall(s.group.batch.Len()); err != nil {
		return err
	}
	if err := s.journal.write(s.lsn+1, s.group.batch.Repr()); err != nil {
		if _, failed := errors.AsType[*syncError](err); failed {
			s.fail(err)
		}
		return err
	}
	if s.opts.Fsync == Always {
		if err := s.sync(); err != nil {
			return err
		}
	}
	s.lsn++
	if err := s.db.Apply(s.group.batch, pebble.NoSync); err != nil {
		// It is in the journal, and so it is accepted after a restart; now it cannot
		// be read.
		s.fail(err)
		return err
	}
	s.refused.Store(nil)
	s.advanced = false
	return nil
}

func (s *Store) sync() error {
	began := time.Now()
	if err := s.journal.sync(); err != nil {
		s.fail(err)
		return err
	}
	s.syncTook = time.Since(began)
	s.metrics.fsync(s.syncTook)
	s.lastSync = began
	if err := s.mark.set(s.journal.synced); err != nil {
		// The mark may lag, so this loses nothing but a means to find damage.
		s.opts.Logger.Warn("the mark of the journal could not be written", "error", err)
	}
	return nil
}

// syncIn returns when the next sync is due.
func (s *Store) syncIn() time.Duration {
	if s.opts.Fsync != Interval || s.journal.synced == s.journal.lsn {
		return time.Hour
	}
	return max(0, s.opts.Interval-time.Since(s.lastSync))
}

// syncOld syncs if it is due. An error is remembered by sync.
func (s *Store) syncOld() {
	if s.syncIn() == 0 && s.failure.Load() == nil {
		_ = s.sync()
	}
}

// takeBack answers a group that could not be written, and forgets what it did to
// the heads. All of them go, not only those it was to write: one that a message
// made and then was refused for is among none, and has a number that is given out
// again.
func (s *Store) takeBack(err error) {
	g := &s.group
	clear(s.logs)
	s.counters = g.before
	s.dedupes[s.minute%dedupeMinutes] -= g.deduped
	text := "the store of this server could not be written to; try again later"
	if _, failed := errors.AsType[*syncError](err); failed {
		text = "the store of this server failed, and whether this was kept is not known; only with a dedupe key is it safe to try again"
	}
	if s.refused.Swap(&err) == nil {
		s.opts.Logger.Error("the store could not be written to", "error", err)
	}
	for i, it := range g.items {
		if it.position != nil {
			g.results[i] = s.positionOf(it.log)
		}
		if a := it.append; a != nil && g.results[i].err == nil && (a.Keep != nil || a.Dedupe != "") {
			s.metrics.Refused.Add(1)
			g.results[i] = outcome{err: unavailable(text, time.Second)}
		}
	}
}

// release gives up the files of the journal that the database no longer needs.
func (s *Store) release() {
	it, err := s.db.NewIter(&pebble.IterOptions{OnlyReadGuaranteedDurable: true, LowerBound: storeKey, UpperBound: []byte{kindStore + 1}})
	if err != nil {
		return
	}
	defer it.Close()
	if it.First() {
		if lsn, _, err := decodeCounters(it.Value()); err == nil {
			s.journal.release(lsn)
		}
	}
}
