package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// DamageError says that something on the disk is not as it was written, or that
// something acknowledged is missing.
type DamageError struct {
	File   string
	What   string
	Remedy string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the store is damaged: %s: %s; %s", e.File, e.What, e.Remedy)
}

// remedy is what can be done about damage in general.
const remedy = "restore a backup, or, to go on without what is lost, create an empty file " + restoredName +
	" in the directory of the store: it then keeps what can be read, under a new epoch, so that clients are told"

// remedyTable is what can be done about damage to the database itself.
const remedyTable = "restore a backup; without one, move the directory of the store away and begin with an empty one"

// replayed is what reading the journal came to.
type replayed struct {
	lsn      uint64    // of the newest batch, in the journal or the database
	segments []segment // all files, oldest first
	batches  int
	cut      *DamageError // damage that was cut off, in a lenient replay
}

// replay hands the batches after the LSN after to apply, in their order. Damage
// is an error, unless lenient: then all from there on is left out.
func replay(fs vfs.FS, dir string, after uint64, lenient bool, apply func(e entry) error) (r replayed, err error) {
	return replayFiles(fs, dir, after, lenient, apply, func(segment) error { return nil })
}

// replayFiles is replay that calls done with each file, but the last, of which
// everything was applied.
func replayFiles(fs vfs.FS, dir string, after uint64, lenient bool, apply func(e entry) error, done func(segment) error) (r replayed, err error) {
	r.lsn = after
	numbers, err := listSegments(fs, dir)
	if err != nil {
		return r, err
	}
	var files []segmentFile
	for _, n := range numbers {
		f := segmentFile{segment: segment{number: n}, path: fs.PathJoin(dir, segmentName(n))}
		if err := f.load(fs); err != nil {
			if damage, ok := errors.AsType[*DamageError](err); ok && lenient {
				r.cut = damage
				r.segments = append(r.segments, f.segment)
				continue
			}
			return r, err
		}
		r.segments = append(r.segments, f.segment)
		files = append(files, f)
	}
	for i, f := range files {
		last := i == len(files)-1
		if !last && files[i+1].first <= r.lsn+1 {
			// The database has all of it.
			if err := done(f.segment); err != nil {
				return r, err
			}
			continue
		}
		damage, err := f.replay(&r, apply)
		if err != nil {
			return r, err
		}
		if damage == nil && !last && files[i+1].first != r.lsn+1 {
			damage = f.damage(fmt.Sprintf("it ends with batch %d, but the next file begins with batch %d", r.lsn, files[i+1].first))
		}
		if damage != nil {
			if lenient {
				r.cut = damage
				return r, nil
			}
			return r, damage
		}
		if !last {
			if err := done(f.segment); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// listSegments returns the numbers of the journal's files, in order.
func listSegments(fs vfs.FS, dir string) ([]uint64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		var n uint64
		if _, err := fmt.Sscanf(name, "%d.log", &n); err == nil && name == segmentName(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// segmentFile is a file of the journal that is read.
type segmentFile struct {
	segment
	path string
	salt uint64
	data []byte // all of it
}

func (f *segmentFile) damage(what string) *DamageError {
	return &DamageError{File: f.path, What: what, Remedy: remedy}
}

// load reads the file. Files are bounded by the size of a segment and one batch.
func (f *segmentFile) load(fs vfs.FS) error {
	file, err := fs.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 2*maxBatch {
		return f.damage(fmt.Sprintf("it has %d bytes, which is more than any file of a journal", info.Size()))
	}
	if f.data, err = io.ReadAll(file); err != nil {
		return fmt.Errorf("reading %s: %w", f.path, err)
	}
	number, salt, first, ok := parseSegmentHeader(f.data)
	if !ok || number != f.number {
		return f.damage("its header cannot be read")
	}
	f.salt, f.first = salt, first
	return nil
}

// replay applies the records after r.lsn. What ends the file is damage if there
// is proof that more was written.
func (f *segmentFile) replay(r *replayed, apply func(entry) error) (*DamageError, error) {
	at, next := segmentHeader, f.first
	if next > r.lsn+1 {
		return f.damage(fmt.Sprintf("it begins with batch %d, but the database ends with batch %d", next, r.lsn)), nil
	}
	for {
		e, n, ok := parseEntry(f.salt, f.data[at:])
		if !ok || e.lsn != next {
			break
		}
		if e.lsn > r.lsn {
			if err := apply(e); err != nil {
				return nil, fmt.Errorf("batch %d of %s: %w", e.lsn, f.path, err)
			}
			r.lsn = e.lsn
			r.batches++
		}
		at += n
		next++
	}
	if proof, ok := f.proof(at, next); ok {
		return f.damage(fmt.Sprintf("batch %d, at byte %d, cannot be read, but batch %d behind it says that it was synced", next, at, proof)), nil
	}
	if next <= r.lsn {
		return f.damage(fmt.Sprintf("batch %d, at byte %d, cannot be read, and the database has it already", next, at)), nil
	}
	return nil, nil
}

// proof looks behind a record that cannot be read for one that was written when
// it was synced already.
func (f *segmentFile) proof(at int, lsn uint64) (uint64, bool) {
	for at < len(f.data) {
		i := bytes.Index(f.data[at:], []byte(recordMagic))
		if i < 0 {
			break
		}
		at += i
		if e, _, ok := parseEntry(f.salt, f.data[at:]); ok && e.synced >= lsn {
			return e.lsn, true
		}
		at++
	}
	return 0, false
}
