package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// small makes a store whose files are small, so that a test reaches the places
// where one file ends and the next begins.
func small(fs vfs.FS) Options {
	return Options{Dir: "store", FS: fs, SegmentBytes: 16 << 10, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, CachedLogs: 4, Logger: silent}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// answer is what Appended was told.
type answer struct {
	Result
	err error
}

type waiter chan answer

func (w waiter) Appended(_ *Append, r Result, err error) { w <- answer{r, err} }

// send appends without waiting.
func send(s *Store, log, key, dedupe, data string, keep *Keep) waiter {
	w := make(waiter, 1)
	s.Append(&Append{Log: log, Keep: keep, Dedupe: dedupe, Done: w,
		Message: &protocol.Message{Type: "e", Channel: log, Key: key, From: "ann", Data: []byte(data)}})
	return w
}

func put(t testing.TB, s *Store, log, key, dedupe, data string, keep *Keep) Result {
	t.Helper()
	a := <-send(s, log, key, dedupe, data, keep)
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.Result
}

func code(err error) protocol.Code {
	if err == nil {
		return ""
	}
	return protocol.AsError(err).Code
}

// message is a record that was read.
type message struct {
	offset  uint64
	key     string
	data    string
	deleted bool
}

func (m message) String() string { return fmt.Sprintf("%d %s=%s", m.offset, m.key, m.data) }

// readAll pages through a log, or through a state.
func readAll(s *Store, log string, keep Keep, state bool, limit int) (all []message, p Page, err error) {
	after := uint64(0)
	for {
		each := func(r *Record) {
			all = append(all, message{r.Offset, r.Key, string(r.Data), r.Deleted})
			after = r.Offset
		}
		if state {
			p, err = s.State(context.Background(), log, keep, after, limit, 0, each)
		} else {
			p, err = s.Read(context.Background(), log, keep, Range{After: after, Limit: limit}, each)
		}
		if err != nil || !p.More {
			return all, p, err
		}
	}
}

func position(s *Store, log string) (offset uint64, err error) {
	done := make(chan struct{})
	s.Position(log, func(o uint64, e error) {
		offset, err = o, e
		close(done)
	})
	<-done
	return offset, err
}

func isDamage(err error) bool {
	var d *DamageError
	return errors.As(err, &d)
}
