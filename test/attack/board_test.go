package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBoardOfManyKeys: the keys of a state channel are written all the
// time, and half of the subscribers read more slowly than that. The server's
// memory stays where it was, and in the end everybody has the latest of each key,
// the slow ones without everything in between.
func TestBoardOfManyKeys(t *testing.T) {
	keys, rate, readers, life, bound := 500, 2_000, 20, 3*time.Second, int64(24<<20)
	slow := 40_000 // bytes a second, a fifth of what is written
	if long() {
		keys, rate, readers, life, bound = 10_000, 10_000, 200, 30*time.Second, 48<<20
		slow = 200_000
	}
	s := serve(t, "epoll", true, generous)
	pub := s.dial(t, "", false)
	value := func(key, n int) string {
		return fmt.Sprintf(`{"type":"moved","channel":"board","key":"key-%d","data":{"n":%d,"pad":%q}}`, key, n, pad)
	}
	for k := range keys {
		pub.send(value(k, 0))
	}
	var crowd sync.WaitGroup
	var checked []*boardReader
	var wires []*wire
	for n := range readers {
		w := s.dial(t, "", n%2 == 1)
		wires = append(wires, w)
		r := &boardReader{wire: w, known: map[string]int{}}
		var from io.Reader = w.conn
		if n%2 == 1 {
			from = &slowly{from: w.conn, perSecond: slow}
			r.slow = true
		}
		w.r.Reset(from)
		w.send(`{"type":"subscribe","channel":"board","id":1}`)
		if n < 4 {
			checked = append(checked, r)
			crowd.Go(r.read)
		} else {
			_ = w.conn.SetReadDeadline(time.Time{})
			crowd.Go(func() { _, _ = io.Copy(nowhere{}, from) })
		}
	}
	for _, r := range checked {
		until(t, "all have the snapshot", 30*time.Second, func() bool { return r.has(0) == keys })
	}
	before, most, written := s.rss(), int64(0), 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < life; <-tick.C {
		for due := int(time.Since(begun).Seconds() * float64(rate)); written < due; written++ {
			pub.send(value(written%keys, 1+written/keys))
		}
		most = max(most, s.rss())
	}
	last := written / keys // every key has been written so often at least
	begun := time.Now()
	for _, r := range checked {
		until(t, "all have the latest", time.Minute, func() bool { return r.has(last) == keys })
	}
	for _, r := range checked {
		t.Logf("slow %v: %d of %d writes given", r.slow, r.given.Load(), written)
		if r.slow && r.given.Load() >= int64(written)/2 {
			t.Error("who reads slowly was given most of what came")
		}
	}
	t.Logf("%d writes to %d keys, %d readers: memory %d KiB before, %d KiB at the most, all had the latest %v after the last write",
		written, keys, readers, before>>10, most>>10, time.Since(begun).Round(time.Millisecond))
	if most-before > bound {
		t.Errorf("the server grew by %d KiB", (most-before)>>10)
	}
	for _, w := range wires {
		w.conn.Close()
	}
	crowd.Wait()
}

// boardReader is a subscriber that keeps what it is given.
type boardReader struct {
	wire  *wire
	slow  bool
	given atomic.Int64

	mu    sync.Mutex
	known map[string]int
}

func (r *boardReader) read() {
	type item struct {
		Key  string
		Data struct{ N int }
	}
	for {
		m, err := r.wire.tryMessage(2 * time.Minute)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.wire.t.Errorf("a subscriber's line ended: %v", err)
			}
			return
		}
		var d struct {
			Items []item
			N     int
		}
		if err := json.Unmarshal(m.Data, &d); len(m.Data) > 0 && err != nil {
			r.wire.t.Error(err)
			return
		}
		r.mu.Lock()
		switch m.Type {
		case "state":
			for _, i := range d.Items {
				r.known[i.Key] = i.Data.N
			}
		case "moved":
			r.given.Add(1)
			r.known[m.Key] = d.N
		}
		r.mu.Unlock()
	}
}

// has counts the keys that it knows in version n or a later one.
func (r *boardReader) has(n int) (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.known {
		if v >= n {
			count++
		}
	}
	return count
}

// slowly reads so many bytes a second.
type slowly struct {
	from      io.Reader
	perSecond int
}

func (s *slowly) Read(p []byte) (int, error) {
	p = p[:min(len(p), s.perSecond/20)]
	time.Sleep(50 * time.Millisecond) // it is the slowness that is tested
	return s.from.Read(p)
}
