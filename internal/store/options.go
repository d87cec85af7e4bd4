package store

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Fsync says when publications are on the disk.
type Fsync string

// The modes of fsync.
const (
	// Always acknowledges after the fsync: nothing acknowledged is ever lost.
	Always Fsync = "always"
	// Interval acknowledges after the write and syncs every so often: the system
	// crashing or the power failing loses as much, and begins a new epoch.
	Interval Fsync = "interval"
	// Never leaves syncing to the system.
	Never Fsync = "never"
)

// Options say how a store is kept. Dir is needed; other zero fields mean the
// defaults.
type Options struct {
	Dir      string
	Fsync    Fsync         // default Always
	Interval time.Duration // of syncs in the mode Interval, default 100 ms

	// Channels is how many channels the store may hold; more are refused. One that
	// was kept counts until all of its messages have expired. Default 10,000,000.
	Channels int
	// Followed reports whether somebody follows a log, which is not forgotten then.
	// It is asked on the committer's goroutine. nil: nobody does.
	Followed func(log string) bool
	// DedupeKeys is how many idempotency keys may be remembered; more publications
	// that have one are refused until the oldest expire. Default 1,000,000.
	DedupeKeys int
	// StateKeys is how many keys a state channel may have. Default 100,000.
	StateKeys int
	// QueueBytes is how much may wait for the disk; more is refused. Default 64 MiB.
	QueueBytes int64
	// MinFree is what has to be free on the disk for publications to be accepted,
	// so that what is accepted can be sorted into the database. Default 64 MiB, or
	// a sixteenth of a small disk.
	MinFree int64
	// Sweep is how often messages that are too old are looked for. Default 10 s.
	Sweep time.Duration

	CacheBytes    int64 // of blocks read. Default 32 MiB
	MemTableBytes int64 // of writes that are not sorted into tables yet. Default 16 MiB
	SegmentBytes  int64 // of one file of the journal. Default 16 MiB
	OpenFiles     int   // of the database at a time. Default 1,000
	CachedLogs    int   // channels whose heads are held in memory. Default 65,536

	// Restarted is told, on the committer's goroutine, that everything goes on in a
	// new epoch; head says where a log stands. nil: nobody is told.
	Restarted func(epoch string, head func(log string) (offset uint64, err error))

	FS     vfs.FS           // default the system's
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
}

func (o Options) withDefaults() Options {
	o.Fsync = cmp.Or(o.Fsync, Always)
	o.Interval = positive(o.Interval, 100*time.Millisecond)
	o.Channels = positive(o.Channels, 10_000_000)
	o.DedupeKeys = positive(o.DedupeKeys, 1_000_000)
	o.StateKeys = positive(o.StateKeys, 100_000)
	o.QueueBytes = positive(o.QueueBytes, 64<<20)
	o.MinFree = positive(o.MinFree, 64<<20)
	o.Sweep = positive(o.Sweep, 10*time.Second)
	o.CacheBytes = positive(o.CacheBytes, 32<<20)
	o.MemTableBytes = positive(o.MemTableBytes, 16<<20)
	o.SegmentBytes = positive(o.SegmentBytes, 16<<20)
	o.CachedLogs = positive(o.CachedLogs, 1<<16)
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return o
}

func positive[T int | int64 | time.Duration](v, preset T) T {
	if v > 0 {
		return v
	}
	return preset
}
