package store

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestJournalRelease: a file of the journal goes once the database has all of its
// batches, and not one batch earlier.
func TestJournalRelease(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("journal", 0o700); err != nil {
		t.Fatal(err)
	}
	j := journal{fs: fs, dir: "journal", size: 1 << 10}
	batch := bytes.Repeat([]byte("x"), 300) // two in a file
	for lsn := uint64(1); lsn <= 9; lsn++ {
		if err := j.write(lsn, batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.sync(); err != nil {
		t.Fatal(err)
	}
	defer j.close()
	if len(j.segments) < 3 {
		t.Fatalf("the files are %v", j.segments)
	}
	for durable := uint64(0); durable <= 9; durable++ {
		j.release(durable)
		// What the files hold is everything after what is durable, or more.
		read, err := replay(fs, "journal", durable, false, func(entry) error { return nil })
		if err != nil || read.lsn != 9 || read.batches != int(9-durable) {
			t.Fatalf("with %d batches in the database the journal leads to %d, %v", durable, read.lsn, err)
		}
		oldest := j.segments[0]
		if len(j.segments) > 1 && j.segments[1].first <= durable+1 {
			t.Fatalf("with %d batches in the database, file %d is still there", durable, oldest.number)
		}
	}
	if len(j.segments) != 1 {
		t.Errorf("in the end there are %v", j.segments)
	}
}
