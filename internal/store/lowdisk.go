package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store that was killed writes its journal into tables when it is opened, and then
// removes the journal. Where the disk has no space for both, it does so file by file,
// so that each file makes space for the next.

// removeSpare removes the file that is kept to be written over by the journal, where
// the disk has hardly any space.
func (s *Store) removeSpare() {
	use, err := s.fs.GetDiskUsage(s.opts.Dir)
	if err == nil && s.isFull(use) {
		// The file only makes the journal faster.
		_ = s.fs.Remove(s.fs.PathJoin(s.journal.dir, "next"))
	}
}

// removeApplied removes a file of the journal that was applied to the database, where
// the disk has no space for the rest of the journal in tables.
func (s *Store) removeApplied(f segment) error {
	if free, ok := s.free(); !ok || free >= s.journalBytes() {
		return nil // there is space: the whole journal is removed in the end
	}
	if err := s.flushTables(context.Background()); err != nil {
		return err
	}
	if err := s.fs.Remove(s.journal.path(f.number)); err != nil {
		return err
	}
	s.journal.number = f.number
	return syncDir(s.fs, s.journal.dir)
}

// free returns how much is free on the disk, if that can be told.
func (s *Store) free() (bytes uint64, ok bool) {
	use, err := s.fs.GetDiskUsage(s.opts.Dir)
	return use.AvailBytes, err == nil
}

// isFull reports whether too little is free for publications to be accepted.
func (s *Store) isFull(use vfs.DiskUsage) bool {
	return use.AvailBytes < min(uint64(s.opts.MinFree), use.TotalBytes/16)
}

// journalBytes is how large the files of the journal are.
func (s *Store) journalBytes() (sum uint64) {
	names, err := s.fs.List(s.journal.dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		if info, err := s.fs.Stat(s.fs.PathJoin(s.journal.dir, name)); err == nil {
			sum += uint64(info.Size())
		}
	}
	return sum
}

// explainFull says what to do where an opening failed because the disk is full.
func (s *Store) explainFull(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	free, _ := s.free()
	more := uint64(2*s.opts.SegmentBytes + s.opts.MemTableBytes)
	more = max(more-min(free, more), uint64(s.opts.SegmentBytes))
	return fmt.Errorf("the disk is full: %s are free. Free %s on it, or move the directory to a larger one, and start again; nothing is lost: %w",
		mebibytes(free), mebibytes(more), err)
}

func mebibytes(n uint64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
