package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// written is a store that was left open, as after a kill, or closed, as files.
func written(t *testing.T, closed bool) (files map[string][]byte, want []message) {
	t.Helper()
	fs := vfs.NewMem()
	o := small(fs)
	s := open(t, o)
	for n := range 300 {
		if n == 200 {
			if err := s.db.Flush(); err != nil { // so that there are tables, too
				t.Fatal(err)
			}
		}
		key := ""
		if n%3 == 0 {
			key = fmt.Sprint("k", n%7)
		}
		put(t, s, fmt.Sprint("c", n%2), key, "", fmt.Sprintf(`{"n":%d,"fill":"%064d"}`, n, n), &Keep{State: true})
	}
	want = contents(t, s)
	if closed {
		shut(t, s)
		return snapshot(t, fs, "store"), want
	}
	files = snapshot(t, fs, "store")
	shut(t, s)
	return files, want
}

func contents(t *testing.T, s *Store) (all []message) {
	t.Helper()
	all, err := tryContents(s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func tryContents(s *Store) (all []message, err error) {
	for c := range 2 {
		for _, state := range []bool{false, true} {
			part, _, err := readAll(s, fmt.Sprint("c", c), Keep{State: true}, state, 1000)
			if err != nil {
				return nil, err
			}
			all = append(all, part...)
		}
	}
	return all, nil
}

// snapshot returns all files below dir.
func snapshot(t *testing.T, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		p := path.Join(dir, name)
		info, err := fs.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			for name, data := range snapshot(t, fs, p) {
				files[name] = data
			}
			continue
		}
		f, err := fs.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		if files[p], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return files
}

func build(t *testing.T, files map[string][]byte) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	for name, data := range files {
		if err := fs.MkdirAll(path.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(bytes.Clone(data))
		f.Close()
	}
	return fs
}

// outcome of opening and reading a damaged store.
func tryDamaged(t *testing.T, files map[string][]byte, want []message, epoch, what string) string {
	t.Helper()
	o := small(build(t, files))
	s, err := Open(o)
	if err != nil {
		if !strings.Contains(err.Error(), "store") {
			t.Errorf("%s: the error names no file: %v", what, err)
		}
		if isDamage(err) && !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: the error names no remedy: %v", what, err)
		}
		return "refused"
	}
	defer s.Close(context.Background())
	got, err := tryContents(s)
	if err != nil {
		if s.Ready() == nil {
			t.Errorf("%s: reading failed (%v), and the store says that it is ready", what, err)
		}
		return "not read"
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: the store serves %d messages, and not the %d that were written; epoch changed: %v", what, len(got), len(want), s.Epoch() != epoch)
		return "wrong"
	}
	return "harmless"
}

func epochOf(t *testing.T, files map[string][]byte) string {
	t.Helper()
	c, err := readControl(build(t, files), "store")
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	return c.Epoch
}

// kind is the sort of file, for counting.
func kind(name string) string {
	base := path.Base(name)
	switch {
	case strings.Contains(name, journalName+"/"):
		return "journal"
	case strings.HasSuffix(base, ".sst"):
		return "table"
	case strings.HasPrefix(base, "MANIFEST"):
		return "manifest"
	case strings.HasPrefix(base, "marker"):
		return "marker"
	case strings.HasPrefix(base, "OPTIONS"):
		return "options"
	}
	return base
}

// TestDamage (F05) changes one bit, cuts the end off, or removes a file, everywhere in
// a store. Whatever it is, either everything acknowledged is served, or somebody
// is told: a wrong or a missing message is never passed over.
func TestDamage(t *testing.T) {
	steps := 24 // places in a file
	if long() {
		steps = 2000
	}
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed=%v", closed), func(t *testing.T) {
			files, want := written(t, closed)
			epoch := epochOf(t, files)
			if got := tryDamaged(t, files, want, epoch, "nothing"); got != "harmless" {
				t.Fatal(got)
			}
			seen := map[string]map[string]int{}
			try := func(name, how string, data []byte) {
				bad := map[string][]byte{}
				for n, d := range files {
					bad[n] = d
				}
				if bad[name] = data; data == nil {
					delete(bad, name)
				}
				k := kind(name)
				if seen[k] == nil {
					seen[k] = map[string]int{}
				}
				seen[k][tryDamaged(t, bad, want, epoch, name+" "+how)]++
			}
			for name, data := range files {
				if path.Base(name) == lockName || path.Base(name) == "LOCK" {
					continue
				}
				// The journal is allocated ahead: damage behind its end is none.
				end := len(bytes.TrimRight(data, "\x00"))
				for i := range min(steps, end) {
					at := i * end / min(steps, end)
					flipped := bytes.Clone(data)
					flipped[at] ^= 1 << (i % 8)
					try(name, fmt.Sprintf("with byte %d changed", at), flipped)
				}
				for i := range min(steps/3, end) {
					at := i * end / min(steps/3, end)
					try(name, fmt.Sprintf("cut to %d of %d bytes", at, len(data)), bytes.Clone(data[:at]))
				}
				try(name, "removed", nil)
			}
			for k, outcomes := range seen {
				t.Log(k, outcomes)
			}
			must := []string{"table", "manifest", controlName}
			if !closed {
				must = append(must, "journal")
			}
			for _, k := range must {
				if seen[k]["refused"]+seen[k]["not read"] == 0 {
					t.Errorf("no damage to a %s was noticed: %v", k, seen[k])
				}
			}
		})
	}
}

// TestRemedy: the remedy that damage to the journal names brings back what can be
// read, under a new epoch.
func TestRemedy(t *testing.T) {
	files, want := written(t, false)
	epoch := epochOf(t, files)
	var last string
	for name := range files {
		if kind(name) == "journal" && name > last {
			last = name
		}
	}
	end := len(bytes.TrimRight(files[last], "\x00"))
	bad := bytes.Clone(files[last])
	bad[end/2] ^= 4
	files[last] = bad
	if _, err := Open(small(build(t, files))); !isDamage(err) || !strings.Contains(err.Error(), restoredName) {
		t.Fatal(err)
	}
	files["store/"+restoredName] = nil
	o := small(build(t, files))
	s := open(t, o)
	if s.Epoch() == epoch {
		t.Error("the epoch is the same")
	}
	got := contents(t, s)
	if len(got) == 0 || len(got) >= len(want) {
		t.Errorf("%d messages are left of %d", len(got), len(want))
	}
	put(t, s, "c0", "", "", `"new"`, &Keep{State: true})
	epoch = s.Epoch()
	shut(t, s)
	s = open(t, o)
	if s.Epoch() != epoch {
		t.Error("the marker was not removed")
	}
	shut(t, s)
	verify(t, o)
}

// TestVerify: what reading would find, verifying finds.
func TestVerify(t *testing.T) {
	files, _ := written(t, true)
	r := verify(t, small(build(t, files)))
	if r.Channels != 2 || r.Messages != 300 || r.Keys != 14 || !r.Clean {
		t.Errorf("%+v", r)
	}
	found := 0
	for name, data := range files {
		if kind(name) != "table" {
			continue
		}
		for at := 0; at < len(data); at += 97 {
			bad := bytes.Clone(data)
			bad[at] ^= 1
			files[name] = bad
			r, err := Verify(t.Context(), small(build(t, files)), nil)
			if err != nil || len(r.Damage) > 0 {
				found++
				continue
			}
			// Not all bytes of a table matter: then everything is there.
			if r.Messages != 300 {
				t.Errorf("byte %d of %s: %d messages, and no damage", at, name, r.Messages)
			}
		}
		files[name] = data
	}
	if found == 0 {
		t.Error("no damage was found")
	}
}

func TestBackup(t *testing.T) {
	fs := vfs.NewMem()
	o := small(fs)
	s := open(t, o)
	for n := range 50 {
		put(t, s, "c", "k", "", fmt.Sprint(n), &Keep{State: true})
	}
	if err := s.Backup(t.Context(), "copy"); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), "copy"); err == nil {
		t.Error("a backup was written over")
	}
	put(t, s, "c", "", "", `"after"`, &Keep{State: true})
	was := s.Epoch()
	shut(t, s)
	copied := o
	copied.Dir = "copy"
	verify(t, copied)
	s = open(t, copied)
	if s.Epoch() == was {
		t.Error("a backup begins no new epoch")
	}
	if all, _, err := readAll(s, "c", Keep{}, false, 0); err != nil || len(all) != 50 {
		t.Errorf("%d messages, %v", len(all), err)
	}
	epoch := s.Epoch()
	shut(t, s)
	s = open(t, copied)
	if s.Epoch() != epoch {
		t.Error("the epoch changed again")
	}
	shut(t, s)
	s = open(t, o)
	if s.Epoch() != was {
		t.Error("the store that was copied has another epoch")
	}
	shut(t, s)
}
