package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Info is what a store says of itself.
type Info struct {
	Epoch    string
	Fsync    Fsync  // as it was opened last
	Clean    bool   // it was closed
	LSN      uint64 // of the newest batch in the database
	Journal  int    // batches that are only in the journal
	Channels uint64
	Bytes    uint64 // on the disk, of the database
}

// ChannelInfo is what a store knows of a channel.
type ChannelInfo struct {
	Name         string
	Head, Oldest uint64
	Bytes        uint64 // of its log, about
	Time         time.Time
	Keys         uint64 // of its state, remembered deletions included
	Keep         Keep
}

// Kept returns how many messages the log has.
func (c *ChannelInfo) Kept() uint64 { return c.Head - c.Oldest }

// Inspect reads the store in o.Dir without changing it and calls each, unless it
// is nil, with its channels in order of their names. The store must not be open
// anywhere. What is only in the journal is counted, and not in the channels.
func Inspect(ctx context.Context, o Options, each func(ChannelInfo) error) (info Info, err error) {
	s, old, err := openToRead(o)
	if err != nil {
		return Info{}, err
	}
	defer func() { err = errors.Join(err, s.closeFiles()) }()
	info = Info{Epoch: old.Epoch, Fsync: old.Fsync, Clean: old.Clean, LSN: s.lsn, Bytes: s.db.Metrics().DiskSpaceUsage()}
	r, err := replay(s.fs, s.journal.dir, s.lsn, true, func(entry) error { return nil })
	if err != nil {
		return info, err
	}
	info.Journal = r.batches
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindChannel}, UpperBound: []byte{kindChannel + 1}})
	if err != nil {
		return info, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		var h head
		if err := errors.Join(ctx.Err(), readHead(it.Key(), it.Value(), &h)); err != nil {
			return info, err
		}
		info.Channels++
		if each == nil {
			continue
		}
		err := each(ChannelInfo{Name: string(it.Key()[1:]), Head: h.offset, Oldest: h.trimmed, Bytes: h.total - h.trimmedTotal,
			Time: time.UnixMilli(h.time), Keys: h.keys, Keep: h.keep})
		if err != nil {
			return info, err
		}
	}
	return info, it.Error()
}

// openToRead opens what is there, and changes nothing.
func openToRead(o Options) (s *Store, old *control, err error) {
	o = o.withDefaults()
	s = &Store{opts: o, fs: o.FS}
	s.journal = journal{fs: o.FS, dir: s.path(journalName)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("reading the store in %s: %w", o.Dir, err), s.closeFiles())
		}
	}()
	if there, err := exists(s.fs, s.path(controlName)); err != nil || !there {
		return s, nil, errors.Join(err, fmt.Errorf("there is no store: %s is missing: %w", controlName, fs.ErrNotExist))
	}
	if err := s.lock(); err != nil {
		return s, nil, err
	}
	if old, err = readControl(s.fs, o.Dir); err != nil {
		return s, nil, err
	}
	options := s.databaseOptions()
	options.ReadOnly = true
	if s.db, err = pebble.Open(s.path(databaseName), options); err != nil {
		return s, nil, &DamageError{File: s.path(databaseName), What: err.Error(), Remedy: remedyTable}
	}
	return s, old, s.readCounters()
}
