package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPowerLoss (F02) pulls the plug under load, many times: of what was not synced
// any part is on the disk or not, and every acknowledged message is there.
func TestPowerLoss(t *testing.T) {
	seeds := 40
	if long() {
		seeds = 10_000
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			powerLoss(t, uint64(seed))
		})
	}
}

func powerLoss(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	fs := vfs.NewCrashableMem()
	o := small(fs)
	s := open(t, o)
	epoch := s.Epoch()
	type acked struct{ log, data string }
	have := map[acked]uint64{}
	for round := range 3 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		stop := make(chan struct{})
		// What is acknowledged before the plug is pulled counts, not what was
		// acknowledged while it was.
		for p := range 6 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					m := acked{fmt.Sprint("c", (p+n)%9), fmt.Sprintf(`"%d %d %d %0*d"`, round, p, n, n%300, 0)}
					if a := <-send(s, m.log, fmt.Sprint("k", n%5), "", m.data, &Keep{State: true}); a.err == nil {
						mu.Lock()
						have[m] = a.Offset
						mu.Unlock()
					}
				}
			}()
		}
		time.Sleep(time.Duration(1+r.IntN(15)) * time.Millisecond)
		mu.Lock()
		before := make(map[acked]uint64, len(have))
		for m, offset := range have {
			before[m] = offset
		}
		mu.Unlock()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		close(stop)
		wg.Wait()
		shut(t, s)
		fs, o.FS = crashed, crashed
		s = open(t, o)
		if s.Epoch() != epoch {
			t.Fatal("the epoch changed")
		}
		found := map[acked]uint64{}
		for c := range 9 {
			log := fmt.Sprint("c", c)
			all, _, err := readAll(s, log, Keep{}, false, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range all {
				if m.offset != uint64(i+1) {
					t.Fatalf("%s: message %d comes after %d others", log, m.offset, i)
				}
				found[acked{log, m.data}] = m.offset
			}
		}
		for m, offset := range before {
			if found[m] != offset {
				t.Fatalf("round %d: %v was acknowledged at %d and is now at %d", round, m, offset, found[m])
			}
		}
		have = found
	}
	shut(t, s)
	verify(t, o)
}

// TestPowerLossUnsynced (F03): where loss cannot be excluded, the epoch changes, and
// the log has no holes.
func TestPowerLossUnsynced(t *testing.T) {
	for _, mode := range []Fsync{Interval, Never} {
		for seed := range 15 {
			t.Run(fmt.Sprint(mode, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(uint64(seed), 3))
				fs := vfs.NewCrashableMem()
				o := small(fs)
				o.Fsync, o.Interval = mode, 3*time.Millisecond
				s := open(t, o)
				epoch := s.Epoch()
				for n := range 400 {
					put(t, s, "c", "", "", fmt.Sprintf(`"%d %0*d"`, n, r.IntN(300), 0), &Keep{})
				}
				o.FS = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
				shut(t, s)
				s = open(t, o)
				if s.Epoch() == epoch {
					t.Error("the epoch is the same")
				}
				all, page, err := readAll(s, "c", Keep{}, false, 0)
				if err != nil || uint64(len(all)) != page.Head {
					t.Fatalf("%d messages up to %d, %v", len(all), page.Head, err)
				}
				put(t, s, "c", "", "", `"after"`, &Keep{})
				// A clean end keeps the new epoch.
				epoch = s.Epoch()
				shut(t, s)
				s = open(t, o)
				if s.Epoch() != epoch {
					t.Error("the epoch changed over a clean end")
				}
				shut(t, s)
				verify(t, o)
			})
		}
	}
}

// TestCloseLate: a store that could not be closed in time is read from the
// journal, and keeps its epoch.
func TestCloseLate(t *testing.T) {
	o := small(vfs.NewMem())
	s := open(t, o)
	epoch := s.Epoch()
	put(t, s, "c", "", "", "1", &Keep{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	defer shut(t, s)
	if all, _, err := readAll(s, "c", Keep{}, false, 0); err != nil || len(all) != 1 || s.Epoch() != epoch {
		t.Errorf("%v, %v, epoch %s after %s", all, err, s.Epoch(), epoch)
	}
}
