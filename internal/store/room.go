package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The database makes its writers wait while it has not sorted into tables what was
// written before. On a disk that takes no more tables that is for ever, while the
// journal may still have room. So the committer looks first, and refuses what it
// would have to wait for.
const (
	crowdedMemTables = 3 // of MemTableBytes, in which the newest writes are
	crowdedLevels    = 12
	stopMemTables    = 2 * crowdedMemTables // where the database would make it wait
	stopLevels       = crowdedLevels + 2
	roomTimeout      = 10 * time.Second
	flushPatience    = 3 * time.Second // with a flush that fails and fails
)

// sorting is how the database's flushes and compactions, which it tries again at
// once, went the last time.
type sorting struct {
	mu         sync.Mutex
	flush      error
	compaction error
	ended      chan struct{} // closed at the end of the next one; nil: nobody waits
}

// note is told of the end of one of them: of which, and how it went.
func (s *sorting) note(of *error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*of = err
	if s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

func (s *sorting) state() (ended <-chan struct{}, flush, compaction error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = make(chan struct{})
	}
	return s.ended, s.flush, s.compaction
}

// awaitRoom waits until the database takes a batch of so many bytes without
// waiting, and fails if what it waits for fails. The committer's own.
func (s *Store) awaitRoom(bytes int) error {
	s.unlooked += int64(bytes)
	if !s.crowded && s.unlooked < s.opts.MemTableBytes/4 {
		return nil
	}
	for deadline := time.Now().Add(roomTimeout); ; {
		ended, flush, compaction := s.sorting.state()
		m := s.db.Metrics()
		memory, levels := int64(m.MemTable.Size) > crowdedMemTables*s.opts.MemTableBytes, m.Levels[0].Sublevels >= crowdedLevels
		if s.crowded = memory || levels; !s.crowded {
			s.unlooked = 0
			return nil
		}
		err := flush
		if levels {
			err = errors.Join(err, compaction)
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("the disk does not keep up: nothing was sorted for %v", roomTimeout)
		}
		if err != nil {
			return fmt.Errorf("what was written before cannot be sorted: %w", err)
		}
		select {
		case <-ended:
		case <-time.After(100 * time.Millisecond): // ended before it was asked for
		}
	}
}

// flushTables sorts all that was written into tables, and fails if that goes on
// failing for a while.
func (s *Store) flushTables(ctx context.Context) error {
	done, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	patience := time.NewTimer(flushPatience)
	defer patience.Stop()
	for {
		ended, failure, _ := s.sorting.state()
		if failure == nil {
			patience.Reset(flushPatience)
		}
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return errors.Join(ctx.Err(), failure)
		case <-patience.C:
			if failure != nil {
				return failure
			}
		case <-ended:
		}
	}
}
