package store

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The files beside the journal and the database.
const (
	controlName  = "STORE"
	markName     = "MARK"
	lockName     = "LOCK"
	restoredName = "RESTORED"
	journalName  = "journal"
	databaseName = "db"
)

// control is the file STORE: one line of JSON and its checksum.
type control struct {
	Format int    `json:"format"`
	Epoch  string `json:"epoch"`
	Fsync  Fsync  `json:"fsync"` // as the store was opened last
	Clean  bool   `json:"clean"` // it was closed, and the database holds everything
	LSN    uint64 `json:"lsn"`   // of the newest batch, if Clean
}

// controlFormat is the newest form of a store, which is what is written. Format 1
// is that of a store that forgets no channel.
const controlFormat = 2

// maxControl bounds what is read of a control file.
const maxControl = 4096

func (c *control) encode() []byte {
	line, _ := json.Marshal(c) // a struct of plain fields always encodes
	return fmt.Appendf(line, "\n%08x\n", crc32.Checksum(line, castagnoli))
}

func (c *control) decode(p []byte) bool {
	line, rest, _ := bytes.Cut(p, []byte("\n"))
	return string(rest) == fmt.Sprintf("%08x\n", crc32.Checksum(line, castagnoli)) && json.Unmarshal(line, c) == nil
}

func readFile(disk vfs.FS, path string) ([]byte, error) {
	f, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxControl))
}

func exists(f vfs.FS, path string) (bool, error) {
	_, err := f.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// readControl returns nil when there is no such file.
func readControl(f vfs.FS, dir string) (*control, error) {
	path := f.PathJoin(dir, controlName)
	p, err := readFile(f, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	c := &control{}
	if !c.decode(p) {
		return nil, &DamageError{File: path, What: "its checksum does not fit", Remedy: remedy}
	}
	if c.Format < 1 || c.Format > controlFormat {
		return nil, fmt.Errorf("%s is of format %d, and this version of the server reads formats up to %d; use the version that wrote it", path, c.Format, controlFormat)
	}
	return c, nil
}

// write replaces the file as a whole.
func (c *control) write(disk vfs.FS, dir string) error {
	c.Format = controlFormat
	return replaceFile(disk, dir, controlName, c.encode())
}

// replaceFile writes a file so that after a crash it is the old one or the new one.
func replaceFile(disk vfs.FS, dir, name string, p []byte) error {
	path := disk.PathJoin(dir, name)
	f, err := disk.Create(path+".new", diskUse)
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = disk.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(disk, dir)
	}
	return err
}

func newEpoch() string {
	var r [6]byte
	rand.Read(r[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(r[:])
}

// mark is the file MARK: the LSN up to which the journal was acknowledged. It is
// written after each sync of the journal, and not synced itself, since it need
// not be exact: it is never ahead of the journal, and after the end of the
// process alone it is exact. It is written to two places in turn, so that one of
// them is always whole.
type mark struct {
	file vfs.File
	next int64
}

const (
	markSize  = 16
	markPlace = 512
)

func (m *mark) set(lsn uint64) error {
	p := binary.LittleEndian.AppendUint64(make([]byte, 8, markSize), lsn)
	copy(p, "RDM1")
	binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(p[8:], castagnoli))
	_, err := m.file.WriteAt(p, m.next*markPlace)
	m.next ^= 1
	return err
}

// readMark returns the newest mark.
func readMark(f vfs.FS, dir string) (lsn uint64, err error) {
	path := f.PathJoin(dir, markName)
	p, err := readFile(f, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("reading %s: %w", path, err)
	}
	found := false
	for _, at := range []int{0, markPlace} {
		if len(p) < at+markSize {
			continue
		}
		q := p[at : at+markSize]
		if string(q[:4]) == "RDM1" && crc32.Checksum(q[8:], castagnoli) == binary.LittleEndian.Uint32(q[4:]) {
			found = true
			lsn = max(lsn, binary.LittleEndian.Uint64(q[8:]))
		}
	}
	if !found {
		return 0, &DamageError{File: path, What: "it is missing or cannot be read, so that nothing proves that the journal is complete", Remedy: remedy}
	}
	return lsn, nil
}

// createMark begins the file anew, in both places, and durably.
func createMark(disk vfs.FS, dir string, lsn uint64) (*mark, error) {
	f, err := disk.OpenReadWrite(disk.PathJoin(dir, markName), diskUse)
	if err != nil {
		return nil, err
	}
	m := &mark{file: f}
	for range 2 {
		if err == nil {
			err = m.set(lsn)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(disk, dir)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}
