package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ringdown/protocol"
)

// Store is an open store. All methods are safe for concurrent use; only Close,
// Read and State wait for anything.
type Store struct {
	opts    Options
	fs      vfs.FS
	db      *pebble.DB
	control control
	epoch   atomic.Pointer[string] // control.Epoch
	begun   bool                   // the epoch began in this process
	locked  io.Closer
	metrics Metrics

	mu     sync.Mutex
	queue  []item
	queued int64 // bytes in queue
	closed bool

	wake     chan struct{} // the queue is no longer empty; one place
	stopping chan struct{} // closed by Close
	ended    chan struct{} // closed when the committer has ended
	released chan struct{} // closed when Close has
	sweeping sync.WaitGroup
	reading  sync.RWMutex // guards db against being closed

	failure atomic.Pointer[error]       // nothing can be written any more
	damage  atomic.Pointer[DamageError] // something was read that is not as it was written
	refused atomic.Pointer[error]       // writing failed the last time, and is tried again
	tries   atomic.Int64                // of the database in the background that failed
	full    atomic.Bool                 // the disk is
	flushed atomic.Bool                 // the database flushed since the journal was last looked at
	flushes flushes

	// The committer's own.
	journal journal
	mark    *mark
	lsn     uint64
	counters
	logs      map[string]*head
	wall      int64  // when the newest group was made, Unix milliseconds
	clock     int64  // the same by the clock of idempotency keys
	minute    uint32 // the same in minutes
	advanced  bool   // minute is new, and what is older is still to be deleted
	dedupes   [dedupeMinutes]int
	lastSync  time.Time
	syncTook  time.Duration
	group     group
	unchecked int64 // bytes written to the database since it was asked whether it stalls
	stalled   bool  // it did

	swept []byte // the sweeper's: the key of the channel that it looked at last
}

// Appender hears what became of an Append, on the committer's goroutine and in
// the order of the log. It must not block.
type Appender interface {
	// Appended is called exactly once. A nil err means that the message is as
	// durable as the store promises; a.Message has Offset, Prev, Time and Kept set,
	// unless it is a duplicate. An error is a *protocol.Error.
	Appended(a *Append, r Result, err error)
}

// Append is a message to be accepted. The store reads and sets Message until
// Appended was called.
type Append struct {
	Log     string // the name of the log, 1 to 512 bytes, none of them 0
	Message *protocol.Message
	Keep    *Keep  // nil: the message is not kept, and gets no offset
	Dedupe  string // idempotency key; empty: none
	// Fingerprint tells messages with the same key apart. An append whose key was
	// remembered with another one fails with Reused.
	Fingerprint uint64
	Reused      error
	Done        Appender
}

// Result says where an accepted message stands.
type Result struct {
	Offset    uint64 // 0: it is not kept
	Time      int64  // Unix milliseconds
	Duplicate bool   // it was accepted before, under the same idempotency key
}

// item is what waits in the queue: one of the five.
type item struct {
	append   *Append
	position func(offset uint64, err error) // of log
	trim     bool                           // look at log: messages may have become too old, or all of it
	try      bool                           // write something: perhaps that works again
	claim    *protocol.Position             // somebody says that log was there
	log      string
	bytes    int64
}

// Now returns the time by the clock of the store.
func (s *Store) Now() time.Time { return s.opts.Now() }

// Epoch returns what all offsets belong to.
func (s *Store) Epoch() string { return *s.epoch.Load() }

// Metrics returns the counters.
func (s *Store) Metrics() *Metrics { return &s.metrics }

func (s *Store) start() {
	s.lastSync = time.Now()
	s.look()
	go s.commits()
	s.sweeping.Add(1)
	go s.sweeps()
}

// Append queues a.
func (s *Store) Append(a *Append) {
	m := a.Message
	it := item{append: a, bytes: int64(256 + len(m.Data) + len(m.Key) + len(m.From))}
	if err := s.admit(a); err != nil {
		s.metrics.Refused.Add(1)
		a.Done.Appended(a, Result{}, err)
		return
	}
	if err := s.push(it); err != nil {
		s.metrics.Refused.Add(1)
		a.Done.Appended(a, Result{}, err)
	}
}

// admit refuses at once what could not be written.
func (s *Store) admit(a *Append) error {
	if !validName(a.Log) {
		return protocol.Errorf(protocol.CodeBadRequest, "a channel's name has 1 to %d bytes", maxName)
	}
	if a.Keep == nil && a.Dedupe == "" {
		return nil
	}
	if err := s.failure.Load(); err != nil {
		return unavailable("this server cannot write to its store until it is started again; its log says why", 0)
	}
	if s.full.Load() {
		return unavailable("the disk of this server is full; try again later", 10*time.Second)
	}
	return nil
}

func unavailable(text string, after time.Duration) *protocol.Error {
	return &protocol.Error{Code: protocol.CodeUnavailable, Message: text, Retryable: true, RetryAfter: after}
}

var errClosed = unavailable("this server is stopping; try again", time.Second)

func (s *Store) push(it item) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	if s.queued+it.bytes > s.opts.QueueBytes && it.append != nil {
		s.mu.Unlock()
		return unavailable("the disk of this server does not keep up; try again later", time.Second)
	}
	s.queue = append(s.queue, it)
	s.queued += it.bytes
	first := len(s.queue) == 1
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// Position calls fn once with the offset of the newest message of a log, 0 when
// there is none: on the committer's goroutine, after the Appended of everything
// up to that offset and before that of everything after it. fn must not block.
func (s *Store) Position(log string, fn func(offset uint64, err error)) {
	if err := s.push(item{position: fn, log: log}); err != nil {
		fn(0, err)
	}
}

// Ready returns nil when messages can be accepted now, and nothing is wrong.
func (s *Store) Ready() error {
	if err := s.failure.Load(); err != nil {
		return fmt.Errorf("the store cannot be written to until it is opened again: %w", *err)
	}
	if d := s.damage.Load(); d != nil {
		return d
	}
	if s.full.Load() {
		return errors.New("the disk is full")
	}
	if err := s.refused.Load(); err != nil {
		return fmt.Errorf("the store could not be written to: %w", *err)
	}
	return nil
}

// fail ends all writing until the store is opened again.
func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &err) {
		s.opts.Logger.Error("the store cannot be written to any more; start the server again", "error", err)
	}
}

// Close writes everything down, notes that it did, and lets go of the directory.
// What is in the queue is committed first. When ctx ends before, the store is
// still closed, but the next opening reads the journal.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		<-s.released
		return nil
	}
	defer close(s.released)
	close(s.stopping)
	<-s.ended
	s.sweeping.Wait()
	var errs []error
	if s.failure.Load() == nil && ctx.Err() == nil {
		errs = append(errs, s.journal.sync(), s.flushTables(ctx))
		if errors.Join(errs...) == nil {
			errs = append(errs, s.journal.close(), s.dropJournal())
		}
	}
	s.reading.Lock()
	errs = append(errs, s.db.Close())
	s.db = nil
	s.reading.Unlock()
	if s.failure.Load() == nil && ctx.Err() == nil && errors.Join(errs...) == nil {
		s.control.Clean, s.control.LSN = true, s.lsn
		errs = append(errs, s.control.write(s.fs, s.opts.Dir))
	}
	return errors.Join(append(errs, s.closeFiles())...)
}
