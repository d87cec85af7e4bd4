package store

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ringdown/protocol"
)

// faults makes operations on the journal fail while it is armed.
type faults struct {
	armed atomic.Bool
	once  bool
	kinds []errorfs.OpKind
	err   error
	where string
}

func (f *faults) String() string { return "faults" }

func (f *faults) MaybeError(op errorfs.Op) error {
	if !strings.Contains(op.Path, f.where) {
		return nil
	}
	for _, k := range f.kinds {
		if op.Kind == k && f.armed.Load() {
			if f.once {
				f.armed.Store(false)
			}
			return f.err
		}
	}
	return nil
}

var writes = []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpCreate, errorfs.OpFilePreallocate}

// TestWriteFails (F04): while the journal cannot be written, publications are refused
// and can be tried again, and reads go on; afterwards all goes on without a hole.
func TestWriteFails(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			fs := vfs.NewMem()
			f := &faults{kinds: writes, err: cause, where: journalName}
			o := small(errorfs.Wrap(fs, f))
			s := open(t, o)
			keep := &Keep{State: true}
			put(t, s, "c", "k", "one", `"first"`, keep)
			for round := range 3 {
				f.armed.Store(true)
				for n := range 20 {
					a := <-send(s, "c", "k", fmt.Sprint("x", n), fmt.Sprintf(`"%*d"`, 500*n, n), keep)
					if code(a.err) != protocol.CodeUnavailable || !protocol.AsError(a.err).Retryable {
						t.Fatalf("round %d: %+v", round, a)
					}
				}
				if a := <-send(s, "new", "", "", "1", keep); code(a.err) != protocol.CodeUnavailable {
					t.Fatalf("a new channel: %+v", a)
				}
				if s.Ready() == nil {
					t.Error("the store says that it is ready")
				}
				if got, _, err := readAll(s, "c", *keep, true, 0); err != nil || len(got) != 1 {
					t.Errorf("the state is %v, %v", got, err)
				}
				f.armed.Store(false)
				if r := put(t, s, "c", "k", fmt.Sprint("y", round), `"later"`, keep); r.Offset != uint64(round+2) {
					t.Fatalf("offset %d", r.Offset)
				}
				if err := s.Ready(); err != nil {
					t.Error(err)
				}
			}
			shut(t, s)
			verify(t, o)
		})
	}
}

// TestSyncFailsOnce (F06): one fsync that fails ends all writing. What was not
// acknowledged may be there or not; what was, is.
func TestSyncFailsOnce(t *testing.T) {
	fs := vfs.NewMem()
	f := &faults{kinds: []errorfs.OpKind{errorfs.OpFileSyncData}, err: syscall.EIO, where: journalName, once: true}
	o := small(errorfs.Wrap(fs, f))
	s := open(t, o)
	epoch := s.Epoch()
	put(t, s, "c", "", "", "1", &Keep{})
	f.armed.Store(true)
	for n := range 3 {
		if a := <-send(s, "c", "", "", "2", &Keep{}); code(a.err) != protocol.CodeUnavailable {
			t.Fatalf("try %d: %+v", n, a)
		}
	}
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "opened again") {
		t.Errorf("ready: %v", err)
	}
	if got, _, err := readAll(s, "c", Keep{}, false, 0); err != nil || len(got) != 1 {
		t.Errorf("read %v, %v", got, err)
	}
	// What is not kept needs no disk.
	if a := <-send(s, "c", "", "", "3", nil); a.err != nil {
		t.Error(a.err)
	}
	shut(t, s)
	s = open(t, o)
	defer shut(t, s)
	got, _, err := readAll(s, "c", Keep{}, false, 0)
	if err != nil || len(got) < 1 || len(got) > 2 || got[0].data != "1" || s.Epoch() != epoch {
		t.Errorf("read %v, %v", got, err)
	}
	if r := put(t, s, "c", "", "", "4", &Keep{}); r.Offset != uint64(len(got)+1) {
		t.Errorf("offset %d after %v", r.Offset, got)
	}
}

// TestDatabaseFails (F04): tables that cannot be written, though the journal can,
// leave everything readable and end in refusals: not in a hang, nor in the end of
// the process. All goes on once they can, or after a restart.
func TestDatabaseFails(t *testing.T) {
	for _, mended := range []bool{true, false} {
		t.Run(fmt.Sprint("mended=", mended), func(t *testing.T) {
			f := &faults{kinds: append(writes, errorfs.OpFileSync, errorfs.OpFileSyncData), err: syscall.ENOSPC, where: databaseName + "/"}
			o := small(errorfs.Wrap(vfs.NewMem(), f))
			s := open(t, o)
			put(t, s, "c", "", "", "1", &Keep{})
			f.armed.Store(true)
			accepted, refused := 1, 0
			for n := 0; n < 20_000 && refused < 5; n++ {
				select {
				case a := <-send(s, "c", "", "", fmt.Sprintf(`"%01000d"`, n), &Keep{}):
					switch code(a.err) {
					case "":
						accepted++
					case protocol.CodeUnavailable:
						refused++
					default:
						t.Fatal(a.err)
					}
				case <-time.After(time.Minute):
					t.Fatalf("no answer, after %d that were accepted", accepted)
				}
			}
			if got, _, err := readAll(s, "c", Keep{}, false, 1000); err != nil || len(got) != accepted {
				t.Errorf("read %d messages of %d, %v", len(got), accepted, err)
			}
			if refused == 0 || s.Ready() == nil {
				t.Errorf("%d were accepted and %d refused; ready: %v", accepted, refused, s.Ready())
			}
			if mended {
				f.armed.Store(false)
				for deadline := time.Now().Add(20 * time.Second); s.Ready() != nil; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatal(s.Ready())
					}
				}
				put(t, s, "c", "", "", `"after"`, &Keep{})
				accepted++
			}
			if err := s.Close(t.Context()); (err == nil) != mended {
				t.Errorf("closed: %v", err)
			}
			f.armed.Store(false)
			s = open(t, o)
			defer shut(t, s)
			if got, _, err := readAll(s, "c", Keep{}, false, 1000); err != nil || len(got) != accepted {
				t.Errorf("after a restart %d messages of %d, %v", len(got), accepted, err)
			}
		})
	}
}

// nth makes one read of the database fail: that many after it was armed.
type nth struct{ left atomic.Int64 }

func (n *nth) String() string { return "nth" }

func (n *nth) MaybeError(op errorfs.Op) error {
	if op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, databaseName+"/") && n.left.Add(-1) == 0 {
		return syscall.EIO
	}
	return nil
}

// TestTwoFaults: a channel whose first message was refused because the disk did
// not read, in a time when it then did not write either, shares nothing with the
// channel that is made next.
func TestTwoFaults(t *testing.T) {
	fs := vfs.NewMem()
	keep := &Keep{State: true, Messages: 4}
	o := small(fs)
	o.CacheBytes = 1
	s := open(t, o)
	for n := range 100 { // so much that messages and keys are in different blocks
		put(t, s, "many", fmt.Sprint("k", n), "", fmt.Sprintf(`"%01000d"`, n), &Keep{State: true})
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{255}, false); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	refused := 0
	for n := 1; n <= 16; n++ {
		reads, f := &nth{}, &faults{kinds: writes, err: syscall.EIO, where: journalName}
		o.FS = errorfs.Wrap(errorfs.Wrap(fs, f), reads)
		s := open(t, o)
		a, b := fmt.Sprint("a", n), fmt.Sprint("b", n)
		// Both faults have to meet one group.
		begun, goOn := make(chan struct{}), make(chan struct{})
		s.Position(a, func(uint64, error) { close(begun); <-goOn })
		<-begun
		first, second := send(s, a, "k", "", `"of a"`, keep), send(s, "many", "", "", `"refused"`, keep)
		reads.left.Store(int64(n))
		f.armed.Store(true)
		close(goOn)
		if x := <-first; code(x.err) == protocol.CodeInternal {
			refused++
		}
		<-second
		reads.left.Store(0)
		f.armed.Store(false)
		put(t, s, b, "k", "", `"of b"`, keep)
		put(t, s, a, "k", "", `"of a"`, keep)
		for name, want := range map[string]string{a: `"of a"`, b: `"of b"`} {
			got, _, err := readAll(s, name, *keep, true, 10)
			if err != nil || len(got) != 1 || got[0].data != want {
				t.Errorf("read %d failed: %s has %v, %v", n, name, got, err)
			}
		}
		_ = s.Close(t.Context())
	}
	if refused == 0 {
		t.Error("no read was refused")
	}
	o.FS = fs
	verify(t, o)
}

// TestReadyAgain: the store finds out by itself that it can be written again.
func TestReadyAgain(t *testing.T) {
	f := &faults{kinds: writes, err: syscall.ENOSPC, where: journalName}
	s := open(t, small(errorfs.Wrap(vfs.NewMem(), f)))
	defer shut(t, s)
	f.armed.Store(true)
	if a := <-send(s, "c", "", "", "1", &Keep{}); code(a.err) != protocol.CodeUnavailable || s.Ready() == nil {
		t.Fatalf("%+v, ready: %v", a, s.Ready())
	}
	f.armed.Store(false)
	for deadline := time.Now().Add(10 * time.Second); s.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(s.Ready())
		}
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	fs := vfs.NewMem()
	shut(t, open(t, small(fs)))
	f := &faults{kinds: writes, err: syscall.EROFS}
	f.armed.Store(true)
	if s, err := Open(small(errorfs.Wrap(fs, f))); !errors.Is(err, syscall.EROFS) {
		t.Fatalf("%v, %v", s, err)
	}
	shut(t, open(t, small(fs)))
}

// TestLowDisk: publications end before the disk does.
func TestLowDisk(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, small(fs))
	defer shut(t, s)
	put(t, s, "c", "", "", "1", &Keep{})
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 1 << 40})
	s.look()
	if a := <-send(s, "c", "", "", "2", &Keep{}); code(a.err) != protocol.CodeUnavailable {
		t.Errorf("%+v", a)
	}
	if s.Ready() == nil {
		t.Error("the store says that it is ready")
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 40})
	s.look()
	if r := put(t, s, "c", "", "", "2", &Keep{}); r.Offset != 2 {
		t.Errorf("%+v", r)
	}
}

func TestLocked(t *testing.T) {
	o := Options{Dir: t.TempDir(), Logger: silent}
	s := open(t, o)
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Error(err)
	}
	if _, err := Verify(t.Context(), o, nil); err == nil {
		t.Error("an open store was verified")
	}
	shut(t, s)
	shut(t, open(t, o))
}
