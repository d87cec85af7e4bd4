package store

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ringdown/protocol"
)

// TestFullDisk (F04) fills a small file system: publications are refused and can be
// tried again, reads go on, and once there is room all goes on. Nothing that was
// acknowledged is lost.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for _, minFree := range []int64{1, 4 << 20} { // what the guard leaves: hardly anything, and enough
		t.Run(fmt.Sprint(minFree), func(t *testing.T) {
			o := Options{Dir: filepath.Join(dir, "store"), MinFree: minFree, SegmentBytes: 1 << 20, MemTableBytes: 1 << 20, Logger: silent}
			s := open(t, o)
			t.Cleanup(func() { s.Close(t.Context()) })
			ballast := filepath.Join(dir, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 12<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			accepted, refused, fill := 0, 0, make([]byte, 8<<10)
			for n := 0; n < 4000 && refused < 20; n++ {
				// What cannot be compressed, so that the tables take as much.
				rand.Read(fill)
				a := <-send(s, "c", "", "", fmt.Sprintf(`"%d %x"`, n, fill), &Keep{})
				switch code(a.err) {
				case "":
					accepted++
				case protocol.CodeUnavailable:
					refused++
				default:
					t.Fatal(a.err)
				}
			}
			if refused == 0 || accepted == 0 {
				t.Fatalf("%d were accepted and %d refused", accepted, refused)
			}
			if s.Ready() == nil {
				t.Error("the store says that it is ready")
			}
			if all, _, err := readAll(s, "c", Keep{}, false, 1000); err != nil || len(all) != accepted {
				t.Errorf("%d of %d are read, %v", len(all), accepted, err)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(20 * time.Second)
			for {
				s.look()
				a := <-send(s, "c", "", "", `"after"`, &Keep{})
				if a.err == nil {
					accepted++
					break
				}
				if s.failure.Load() != nil {
					// The database itself met the full disk: it goes on after a restart.
					shut(t, s)
					s = open(t, o)
				}
				if time.Now().After(deadline) {
					t.Fatal("it is still refused with room on the disk:", a.err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			shut(t, s)
			s = open(t, o)
			if all, _, err := readAll(s, "c", Keep{}, false, 1000); err != nil || len(all) != accepted {
				t.Errorf("%d of %d are there after a restart, %v", len(all), accepted, err)
			}
			shut(t, s)
			verify(t, o)
			if err := os.RemoveAll(o.Dir); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestNarrowDisk: a killed store starts on a disk that has no room for its journal
// twice, and where that is not possible says what is to be freed.
func TestNarrowDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	o := Options{Dir: filepath.Join(dir, "store"), MinFree: 1, SegmentBytes: 2 << 20, MemTableBytes: 16 << 20, Logger: silent}
	s := open(t, o)
	fill := make([]byte, 50<<10)
	accepted := 0
	for ; accepted < 100; accepted++ { // 10 MiB, all of it in the journal only
		rand.Read(fill)
		put(t, s, "c", "", "", fmt.Sprintf(`"%d %x"`, accepted, fill), &Keep{})
	}
	killed := o
	killed.Dir += ".killed"
	if err := os.CopyFS(killed.Dir, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	if err := os.RemoveAll(o.Dir); err != nil {
		t.Fatal(err)
	}
	// As when something else has filled the disk up.
	leave := func(free int64) {
		var use unix.Statfs_t
		ballast := filepath.Join(dir, "ballast")
		_ = os.Remove(ballast)
		if err := unix.Statfs(dir, &use); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ballast, make([]byte, int64(use.Bavail)*use.Bsize-free), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leave(64 << 10)
	_, err := Open(killed)
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), "Free 20 MiB") {
		t.Errorf("with no room at all: %v", err)
	}
	leave(5 << 20)
	s = open(t, killed)
	if all, _, err := readAll(s, "c", Keep{}, false, 1000); err != nil || len(all) != accepted {
		t.Errorf("%d of %d are there, %v", len(all), accepted, err)
	}
	// The tables may be in the middle of being merged, which takes what is free, and
	// closing takes some space.
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	verify(t, killed)
}
