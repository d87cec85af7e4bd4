package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// journal is where batches are made durable. A file of it begins with a header
// and goes on with records without gaps; what is behind the last record is not
// looked at, because files are allocated ahead and used again:
//
//	file    magic 4 | sum 4 | number 8 | salt 8 | LSN of its first record 8
//	record  magic 4 | sum of the rest of these 4 | sum of the batch 4 | length 4 |
//	        LSN 8 | LSN that was synced before 8 | batch
//
// The checksums of a record begin with the file's random salt. So nothing that a
// file held in its former use passes for a record, and neither does anything that
// a client has a message carry.
//
// It belongs to the committer.
type journal struct {
	fs   vfs.FS
	dir  string
	size int64 // of a file

	file     vfs.File
	number   uint64 // of the newest file
	offset   int64  // where the next record goes
	salt     uint64
	lsn      uint64 // of the newest record written
	synced   uint64 // of the newest record that is durable
	segments []segment
	buf      []byte
}

// segment is a file of the journal.
type segment struct {
	number uint64
	first  uint64 // LSN of its first record, written yet or not
}

const (
	segmentMagic  = "RDJ1"
	recordMagic   = "RDr1"
	segmentHeader = 32
	recordHeader  = 32
	// maxBatch bounds what a record may say it holds.
	maxBatch = 1 << 30
	diskUse  = vfs.DiskWriteCategory("ringdown-journal")
)

func segmentName(number uint64) string { return fmt.Sprintf("%012d.log", number) }

func (j *journal) path(number uint64) string { return j.fs.PathJoin(j.dir, segmentName(number)) }

func appendSegmentHeader(dst []byte, number, salt, first uint64) []byte {
	start := len(dst)
	dst = append(dst, segmentMagic+"\x00\x00\x00\x00"...)
	for _, v := range [...]uint64{number, salt, first} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	sum := crc32.Checksum(dst[start+8:], castagnoli)
	binary.LittleEndian.PutUint32(dst[start+4:], sum)
	return dst
}

func parseSegmentHeader(p []byte) (number, salt, first uint64, ok bool) {
	if len(p) < segmentHeader || string(p[:4]) != segmentMagic ||
		crc32.Checksum(p[8:segmentHeader], castagnoli) != binary.LittleEndian.Uint32(p[4:]) {
		return 0, 0, 0, false
	}
	u := binary.LittleEndian.Uint64
	return u(p[8:]), u(p[16:]), u(p[24:]), true
}

func recordSum(salt uint64, p []byte) uint32 {
	var seed [8]byte
	binary.LittleEndian.PutUint64(seed[:], salt)
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, p)
}

// entry is a record of the journal.
type entry struct {
	lsn, synced uint64
	batch       []byte
}

func appendEntry(dst []byte, salt uint64, e entry) []byte {
	start := len(dst)
	dst = append(dst, recordMagic+"\x00\x00\x00\x00"...)
	dst = binary.LittleEndian.AppendUint32(dst, recordSum(salt, e.batch))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.batch)))
	dst = binary.LittleEndian.AppendUint64(dst, e.lsn)
	dst = binary.LittleEndian.AppendUint64(dst, e.synced)
	binary.LittleEndian.PutUint32(dst[start+4:], recordSum(salt, dst[start+8:]))
	return append(dst, e.batch...)
}

// parseEntry reads the record that p begins with, and how long it is.
func parseEntry(salt uint64, p []byte) (e entry, n int, ok bool) {
	u := binary.LittleEndian.Uint32
	if len(p) < recordHeader || string(p[:4]) != recordMagic || recordSum(salt, p[8:recordHeader]) != u(p[4:]) {
		return entry{}, 0, false
	}
	length := u(p[12:])
	if length > maxBatch || int64(length) > int64(len(p)-recordHeader) {
		return entry{}, 0, false
	}
	n = recordHeader + int(length)
	e.lsn, e.synced = binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
	e.batch = p[recordHeader:n]
	return e, n, recordSum(salt, e.batch) == u(p[8:])
}

// write writes batch as the record lsn, at the place where the last one ended:
// after a failure the next write takes the same place.
func (j *journal) write(lsn uint64, batch []byte) error {
	need := int64(recordHeader + len(batch))
	if j.file == nil || j.offset+need > j.size && j.offset > segmentHeader {
		if err := j.rotate(lsn); err != nil {
			return err
		}
	}
	j.buf = appendEntry(j.buf[:0], j.salt, entry{lsn, j.synced, batch})
	if _, err := j.file.WriteAt(j.buf, j.offset); err != nil {
		return err
	}
	if cap(j.buf) > 8<<20 {
		j.buf = nil
	}
	j.offset += need
	j.lsn = lsn
	return nil
}

// syncError is an fsync that failed. What the system did with the bytes is not
// known, and a second fsync would not tell.
type syncError struct{ err error }

func (e *syncError) Error() string { return "fsync of the journal failed: " + e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// sync makes what was written durable.
func (j *journal) sync() error {
	if j.file == nil || j.synced == j.lsn {
		return nil
	}
	if err := j.file.SyncData(); err != nil {
		return &syncError{err}
	}
	j.synced = j.lsn
	return nil
}

// rotate begins the next file. It bears its name only once its header is
// durable, so that a file whose header cannot be read is damaged.
func (j *journal) rotate(first uint64) error {
	if err := j.sync(); err != nil {
		return err
	}
	number := j.number + 1
	next := j.fs.PathJoin(j.dir, "next")
	f, err := j.fs.OpenReadWrite(next, diskUse)
	if err != nil {
		return err
	}
	salt := newSalt()
	// Space that is there already is not missing later, and a sync of it is quicker.
	if err = f.Preallocate(0, j.size); err == nil || errors.Is(err, errors.ErrUnsupported) {
		if _, err = f.WriteAt(appendSegmentHeader(nil, number, salt, first), 0); err == nil {
			err = f.Sync()
		}
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = j.fs.Rename(next, j.path(number))
	}
	if err == nil {
		err = syncDir(j.fs, j.dir)
	}
	if err == nil {
		f, err = j.fs.OpenReadWrite(j.path(number), diskUse)
	}
	if err != nil {
		return err
	}
	_ = j.close() // all of it was synced
	j.file, j.number, j.offset, j.salt = f, number, segmentHeader, salt
	j.segments = append(j.segments, segment{number, first})
	return nil
}

func newSalt() uint64 {
	var r [8]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	return binary.LittleEndian.Uint64(r[:])
}

// release gives up the files whose records are all in the database, which is
// durable up to lsn. One of them is kept to be written over: that is quicker than
// a new one.
func (j *journal) release(lsn uint64) {
	for len(j.segments) > 1 && j.segments[1].first <= lsn+1 {
		gone := j.path(j.segments[0].number)
		next := j.fs.PathJoin(j.dir, "next")
		_, err := j.fs.Stat(next)
		if err != nil {
			err = j.fs.Rename(gone, next)
		} else {
			err = j.fs.Remove(gone)
		}
		if err != nil {
			return // it is tried again the next time
		}
		j.segments = j.segments[1:]
	}
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	f := j.file
	j.file = nil
	return f.Close()
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}
