package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The database stalls its writers while too much of what was written before waits for
// a flush or a compaction. On a full disk, which takes no more tables, a stall never
// ends, though the journal may still have space. So the committer looks first, and
// refuses a batch that would stall for too long.
const (
	stallMemTables = 3 // of MemTableBytes, which hold the newest writes
	stallLevels    = 12
	stopMemTables  = 2 * stallMemTables // where the database itself would stall
	stopLevels     = stallLevels + 2
	stallTimeout   = 10 * time.Second
	flushPatience  = 3 * time.Second // with a flush that fails and fails
)

// flushes are the results of the database's last flush and compaction. It tries
// again at once those that fail.
type flushes struct {
	mu         sync.Mutex
	flush      error
	compaction error
	ended      chan struct{} // closed when the next one ends; nil: nobody waits
}

// note records the result of one of them.
func (s *flushes) note(of *error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*of = err
	if s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

func (s *flushes) state() (ended <-chan struct{}, flush, compaction error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = make(chan struct{})
	}
	return s.ended, s.flush, s.compaction
}

// awaitNoStall waits until the database takes a batch of so many bytes without a
// stall, and fails if the flush or compaction that it waits for fails. Only the
// committer calls it.
func (s *Store) awaitNoStall(bytes int) error {
	s.unchecked += int64(bytes)
	if !s.stalled && s.unchecked < s.opts.MemTableBytes/4 {
		return nil
	}
	for deadline := time.Now().Add(stallTimeout); ; {
		ended, flush, compaction := s.flushes.state()
		m := s.db.Metrics()
		memory, levels := int64(m.MemTable.Size) > stallMemTables*s.opts.MemTableBytes, m.Levels[0].Sublevels >= stallLevels
		if s.stalled = memory || levels; !s.stalled {
			s.unchecked = 0
			return nil
		}
		err := flush
		if levels {
			err = errors.Join(err, compaction)
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("the disk does not keep up: nothing was sorted for %v", stallTimeout)
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

// flushTables flushes all that was written into tables, and fails if that goes on
// failing for flushPatience.
func (s *Store) flushTables(ctx context.Context) error {
	done, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	patience := time.NewTimer(flushPatience)
	defer patience.Stop()
	for {
		ended, failure, _ := s.flushes.state()
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
