package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// Open opens the store in o.Dir, or makes an empty one there. No other process
// may have it open. An error that is a *DamageError says that something is not as
// it was written; nothing was changed then.
func Open(o Options) (s *Store, err error) {
	o = o.withDefaults()
	switch o.Fsync {
	case Always, Interval, Never:
	default:
		return nil, fmt.Errorf("store: fsync is always, interval or never, not %q", o.Fsync)
	}
	if o.Dir == "" {
		return nil, errors.New("store: it needs a directory")
	}
	s = &Store{opts: o, fs: o.FS, wake: make(chan struct{}, 1), ended: make(chan struct{}), stopping: make(chan struct{}), released: make(chan struct{})}
	s.journal = journal{fs: o.FS, dir: s.path(journalName), size: o.SegmentBytes}
	s.logs = make(map[string]*head)
	s.group.touched = make(map[*head]string)
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening the store in %s: %w", o.Dir, s.explainFull(err)), s.closeFiles())
			s = nil
		}
	}()
	if err := s.lock(); err != nil {
		return s, err
	}
	if err := s.recover(); err != nil {
		return s, err
	}
	o.Logger.Info("the store is open", "dir", o.Dir, "epoch", s.Epoch(), "new_epoch", s.begun, "batches", s.lsn, "channels", s.channels)
	s.start()
	return s, nil
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.opts.Dir, name) }

func (s *Store) lock() error {
	for _, dir := range []string{s.opts.Dir, s.path(journalName)} {
		if err := s.fs.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("%w; name a directory that can be made and written, as store: {dir: …}", err)
		}
	}
	lock, err := s.fs.Lock(s.path(lockName))
	if err != nil {
		return fmt.Errorf("another process has it open (%w); stop that one, or give each its own directory", err)
	}
	s.locked = lock
	return nil
}

// recover brings everything to where it was, or says why that cannot be.
func (s *Store) recover() error {
	restored, err := exists(s.fs, s.path(restoredName))
	if err != nil {
		return err
	}
	old, err := s.readControl(restored)
	if err != nil {
		return err
	}
	s.removeSpare()
	if err := s.probe(); err != nil {
		return err
	}
	// Where loss cannot be excluded, what is torn is cut off, under a new epoch.
	unsure := restored || !old.Clean && old.Fsync != Always
	if err := s.openDatabase(); err != nil {
		return err
	}
	if err := s.readCounters(); err != nil {
		return err
	}
	if err := s.readJournal(old, restored, unsure); err != nil {
		return err
	}
	s.control = control{Epoch: old.Epoch, Fsync: s.opts.Fsync}
	if unsure {
		s.begun, s.control.Epoch = true, newEpoch()
		s.opts.Logger.Warn("the store begins a new epoch, since messages may be missing: clients that come back are told", "restored", restored, "fsync", old.Fsync)
	}
	epoch := s.control.Epoch
	s.epoch.Store(&epoch)
	if err := s.control.write(s.fs, s.opts.Dir); err != nil {
		return err
	}
	if restored {
		if err := s.fs.Remove(s.path(restoredName)); err != nil {
			return err
		}
	}
	s.mark, err = createMark(s.fs, s.opts.Dir, s.lsn)
	return err
}

// probe writes a little, and removes it. A database that is opened where nothing
// can be written tries for ever.
func (s *Store) probe() error {
	const name = "PROBE"
	if err := replaceFile(s.fs, s.opts.Dir, name, make([]byte, 256<<10)); err != nil {
		return fmt.Errorf("nothing can be written there: %w", err)
	}
	return s.fs.Remove(s.path(name))
}

// readControl reads STORE. A store that is begun gets one that says that nothing
// is there.
func (s *Store) readControl(restored bool) (*control, error) {
	old, err := readControl(s.fs, s.opts.Dir)
	var damage *DamageError
	switch {
	case restored && (old == nil && err == nil || errors.As(err, &damage)):
		return &control{Fsync: s.opts.Fsync}, nil
	case err != nil:
		return nil, err
	case old != nil:
		return old, nil
	}
	segments, err := listSegments(s.fs, s.path(journalName))
	if err != nil {
		return nil, err
	}
	database, err := exists(s.fs, s.path(databaseName))
	if err != nil {
		return nil, err
	}
	if len(segments) > 0 || database {
		return nil, &DamageError{File: s.path(controlName), What: "the file is missing, though there is a store", Remedy: remedy}
	}
	s.begun = true
	old = &control{Epoch: newEpoch(), Fsync: s.opts.Fsync, Clean: true}
	if err := s.fs.MkdirAll(s.path(databaseName), 0o700); err != nil {
		return nil, err
	}
	// A crash from here on finds an empty database, or none, and no batch: that is
	// what STORE says.
	return old, errors.Join(old.write(s.fs, s.opts.Dir), syncDir(s.fs, s.fs.PathDir(s.opts.Dir)))
}

func (s *Store) openDatabase() error {
	db, err := pebble.Open(s.path(databaseName), s.databaseOptions())
	if err != nil {
		if pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) {
			return &DamageError{File: s.path(databaseName), What: err.Error(), Remedy: remedyTable}
		}
		return fmt.Errorf("the database in %s does not open: %w; if a file of it is damaged, %s", s.path(databaseName), err, remedyTable)
	}
	s.db = db
	return nil
}

func (s *Store) databaseOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                          s.fs,
		FormatMajorVersion:          pebble.FormatTableFormatV6, // tables whose footers have checksums
		DisableWAL:                  true,                       // the journal stands in its place
		CacheSize:                   s.opts.CacheBytes,
		MemTableSize:                uint64(s.opts.MemTableBytes),
		MaxOpenFiles:                s.opts.OpenFiles, // 0 is its own default
		MemTableStopWritesThreshold: stopMemTables,
		L0StopWritesThreshold:       stopLevels,
		L0CompactionThreshold:       4,
		Logger:                      databaseLog{s},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.background(err) },
			DataCorruption:  func(i pebble.DataCorruptionInfo) { s.damaged(i.Path, i.Details) },
			FlushEnd: func(i pebble.FlushInfo) {
				s.flushed.Store(true)
				if i.Err != nil && i.Err.Error() == "pebble: empty table" {
					i.Err = nil // there was nothing to write, and Pebble does not export how it says so
				}
				s.flushes.note(&s.flushes.flush, i.Err)
			},
			CompactionEnd: func(i pebble.CompactionInfo) { s.flushes.note(&s.flushes.compaction, i.Err) },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// readCounters reads how far the database is.
func (s *Store) readCounters() error {
	value, closer, err := s.db.Get(storeKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil // it is empty
	}
	if err == nil {
		err = s.readStoreValue(value)
		closer.Close()
	}
	if err != nil {
		return &DamageError{File: s.path(databaseName), What: err.Error(), Remedy: remedyTable}
	}
	return nil
}

func (s *Store) readStoreValue(value []byte) error {
	lsn, c, err := decodeCounters(value)
	if err == nil {
		s.lsn, s.counters = lsn, c
	}
	return err
}

// readJournal applies what the database does not have, and compares with what is
// known from elsewhere.
func (s *Store) readJournal(old *control, restored, unsure bool) error {
	if old.Clean && !restored && s.lsn != old.LSN {
		return &DamageError{File: s.path(databaseName), Remedy: remedyTable,
			What: fmt.Sprintf("it holds the batches up to %d, but it was closed with %d", s.lsn, old.LSN)}
	}
	began := time.Now()
	r, err := replayFiles(s.fs, s.journal.dir, s.lsn, unsure, s.applyEntry, s.removeApplied)
	if err != nil {
		return err
	}
	if r.cut != nil {
		s.opts.Logger.Warn("the journal is damaged; what could be read was kept", "file", r.cut.File, "what", r.cut.What)
	}
	if !old.Clean && !unsure {
		acknowledged, err := readMark(s.fs, s.opts.Dir)
		if err != nil {
			return err
		}
		if r.lsn < acknowledged {
			return &DamageError{File: s.journal.dir, Remedy: remedy,
				What: fmt.Sprintf("it ends with batch %d, but batches up to %d were acknowledged", r.lsn, acknowledged)}
		}
	}
	if err := s.readCounters(); err != nil {
		return err
	}
	s.journal.segments = r.segments
	if r.batches > 0 || unsure {
		if err := s.flushTables(context.Background()); err != nil {
			return err
		}
		s.opts.Logger.Info("the store was not closed the last time; its journal was read", "batches", r.batches, "took", time.Since(began).Round(time.Millisecond))
	}
	if err := s.readClock(); err != nil {
		return err
	}
	s.journal.lsn, s.journal.synced = s.lsn, s.lsn
	return s.dropJournal()
}

func (s *Store) applyEntry(e entry) error {
	b := s.db.NewBatch()
	defer b.Close()
	// Pebble keeps the bytes, and they are the file's.
	if err := b.SetRepr(append([]byte(nil), e.batch...)); err != nil {
		return err
	}
	if err := s.awaitNoStall(b.Len()); err != nil {
		return err
	}
	return s.db.Apply(b, pebble.NoSync)
}

// dropJournal removes the files, all of which are in the database now.
func (s *Store) dropJournal() error {
	for _, f := range s.journal.segments {
		s.journal.number = f.number
		if err := s.fs.Remove(s.journal.path(f.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.journal.segments = nil
	return nil
}

// closeFiles closes whatever is open.
func (s *Store) closeFiles() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	errs = append(errs, s.journal.close())
	if s.mark != nil {
		errs = append(errs, s.mark.file.Close())
	}
	if s.locked != nil {
		errs = append(errs, s.locked.Close())
	}
	return errors.Join(errs...)
}

// databaseLog is where Pebble writes. What is fatal to it is fatal to writing
// here, and not to the process: what is there can still be read.
type databaseLog struct{ s *Store }

func (l databaseLog) Infof(format string, args ...any) {}

func (l databaseLog) Errorf(format string, args ...any) {
	l.s.opts.Logger.Error("database", "message", fmt.Sprintf(format, args...))
}

func (l databaseLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf("the database cannot go on: "+format, args...))
}

// background hears of errors of flushes and compactions, which Pebble tries again
// at once: not each of them is worth a line.
func (s *Store) background(err error) {
	if n := s.tries.Add(1); n&(n-1) == 0 {
		s.opts.Logger.Error("the database could not sort its tables; it tries again", "error", err, "times", n)
	}
}

// damaged remembers that something was read that is not as it was written.
func (s *Store) damaged(path string, err error) {
	d := &DamageError{File: filepath.Clean(path), What: err.Error(), Remedy: remedyTable}
	if s.damage.CompareAndSwap(nil, d) {
		s.opts.Logger.Error("the store is damaged", slog.Any("error", d))
	}
}
