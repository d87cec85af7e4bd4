package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// restoredText stands in the marker of a backup.
const restoredText = "This store was copied. What came after the copy is not in it, so whoever opens it begins a new epoch.\n"

// Backup copies the store, as it is at some moment between the call and the
// return, into the directory dst, which must not exist. The store stays open and
// goes on; files are linked where dst is on the same file system. Whoever opens
// the copy begins a new epoch.
func (s *Store) Backup(ctx context.Context, dst string) error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.db == nil {
		return errClosed
	}
	if there, err := exists(s.fs, dst); err != nil || there {
		return errors.Join(err, fmt.Errorf("the backup goes into a new directory, and %s is there already", dst))
	}
	if err := s.fs.MkdirAll(dst, 0o700); err != nil {
		return err
	}
	// The marker comes first: a backup that was broken off is never taken for the store.
	if err := replaceFile(s.fs, dst, restoredName, []byte(restoredText)); err != nil {
		return err
	}
	if err := s.flushTables(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.db.Checkpoint(s.fs.PathJoin(dst, databaseName), pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	c := control{Epoch: s.Epoch(), Fsync: s.opts.Fsync}
	if err := c.write(s.fs, dst); err != nil {
		return err
	}
	return syncDir(s.fs, s.fs.PathDir(dst))
}
