// Package sim runs clusters that do not exist: real nodes and sessions in one
// process, on a store, a network and a clock of the test's own, so that a minute
// of faults takes a moment and a thousand of them can be tried. What clients saw
// is held against the promise (test/history).
package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/channel"
	"ringdown/test/history"
)

type reporter interface {
	Error(args ...any)
	Errorf(format string, args ...any)
}

type swich = atomic.Bool

// TestCluster (H04): three nodes on one store. Clients come and go, read slowly, and
// find another node each time; ways to the store take their time, break, and fall
// silent; nodes are stopped and killed; logs are lost and begin a new epoch.
func TestCluster(t *testing.T) {
	of := seeds(t)
	total := map[string]int{}
	for seed := of.first; seed < of.end; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var events []history.Event
			var p history.Policy
			synctest.Test(t, func(t *testing.T) { events, p = live(t, seed) })
			for name, n := range history.Summarize(events, p).Counts {
				total[name] += n
			}
			check(t, seed, events, p)
		})
	}
	t.Logf("%d clusters: %v", of.end-of.first, total)
	for _, name := range []string{history.CountUnknown, history.CountRetried, history.CountRecovered, history.CountUnrecovered, history.CountGaps, history.CountEpochs} {
		if total[name] < int(of.end-of.first) {
			t.Errorf("the runs do not show enough: %s is %d in %d runs", name, total[name], of.end-of.first)
		}
	}
}

// check holds a run against its policy, and writes down one that fails.
func check(t *testing.T, seed uint64, events []history.Event, p history.Policy) {
	found := history.Check(events, p)
	for _, v := range found {
		t.Error(v)
	}
	if len(found) == 0 {
		return
	}
	f, err := os.CreateTemp("", "ringdown-history-*.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := history.Write(f, events, p, seed); err != nil {
		t.Fatal(err)
	}
	t.Errorf("judge it again with: go run ./test/history/replay %s", f.Name())
}

// span is the seeds from first to before end.
type span struct{ first, end uint64 }

func seeds(t *testing.T) span {
	n := number(t, "RINGDOWN_SEEDS", 25)
	if os.Getenv("RINGDOWN_LONG") != "" {
		n = number(t, "RINGDOWN_SEEDS", 1000)
	}
	first := number(t, "RINGDOWN_SEED", 0)
	return span{first, first + n}
}

// number reads how many, or which, from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

const simKept = 60

// live is one run: a while of faults, and then rest.
func live(t *testing.T, seed uint64) ([]history.Event, history.Policy) {
	d := &channel.Declaration{Name: "c:{n}", History: &channel.History{Messages: simKept}, Buffer: channel.Buffer{Messages: 16, Bytes: 1 << 20},
		Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}}
	s := newStory(t, seed, d, "c:0", "c:1")
	var subs []*subscriber
	var reading, writing sync.WaitGroup
	for i := range 6 {
		sub := &subscriber{client: s.client("s", i), at: map[string]*history.Position{}, answer: map[string]bool{}, left: map[string]int{}}
		subs = append(subs, sub)
		reading.Go(sub.run)
	}
	for i := range 4 {
		p := &publisher{client: s.client("p", i)}
		writing.Go(p.run)
	}
	s.faults()
	writing.Wait()
	s.w.rest(subs, func(sub *subscriber, name string, p history.Position) bool { return !sub.has(name, p) })
	s.end(&reading)
	p := history.Policy{Store: "simulated", Kept: simKept, Lags: true, Ends: []string{"lose"}}
	return s.w.rec.Events(), p
}

// story is a cluster of three nodes and what happens to it, all from one seed.
type story struct {
	t    *testing.T
	w    *world
	d    *channel.Declaration
	rng  *rand.Rand
	seed uint64
	stop context.CancelFunc
}

func newStory(t *testing.T, seed uint64, d *channel.Declaration, channels ...string) *story {
	s := &story{t: t, d: d, rng: rand.New(rand.NewPCG(seed, 0)), seed: seed}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.w = &world{t: t, rec: history.NewRecorder(), f: newFabric(s.dice()), ctx: ctx, channels: channels}
	for i := range 3 {
		s.w.machines = append(s.w.machines, newMachine(t, fmt.Sprint("node", i), s.w.f, d))
	}
	return s
}

// dice returns a source of chance that is one goroutine's own.
func (s *story) dice() *rand.Rand { return rand.New(rand.NewPCG(s.seed, s.rng.Uint64())) }

func (s *story) client(kind string, i int) client {
	return client{fmt.Sprint(kind, i), s.w, s.dice()}
}

// faults is the while in which things happen.
func (s *story) faults() {
	for range 12 {
		time.Sleep(time.Duration(s.rng.IntN(1500)) * time.Millisecond)
		s.w.fault(s.t, s.rng, s.d)
	}
	s.w.calm.Store(true)
}

func (s *story) end(clients *sync.WaitGroup) {
	s.stop()
	clients.Wait()
	for _, m := range s.w.machines {
		m.stop(false)
	}
}

// fault does one thing to the cluster.
func (w *world) fault(t *testing.T, rng *rand.Rand, d *channel.Declaration) {
	i := rng.IntN(len(w.machines))
	m := w.machines[i]
	note := func(k history.Kind, who, kind string) { w.rec.Add(history.Event{Kind: k, Client: who, Reason: kind}) }
	switch rng.IntN(4) {
	case 0: // as far as clients see: a node dies, another is started
		note(history.Fault, m.name, "kill")
		m.stop(rng.IntN(2) == 0)
		fresh := newMachine(t, m.name, w.f, d)
		w.mu.Lock()
		w.machines[i] = fresh
		w.mu.Unlock()
		note(history.Heal, m.name, "kill")
	case 1:
		note(history.Fault, m.name, "deaf")
		m.port.deafen(true)
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		m.port.deafen(false)
		note(history.Heal, m.name, "deaf")
	case 2:
		note(history.Fault, "store", "lose")
		w.f.lose(w.channels[rng.IntN(len(w.channels))])
		note(history.Heal, "store", "lose")
	case 3: // nothing this time
	}
}

// rest lets everybody catch up, and records what the logs hold.
func (w *world) rest(subs []*subscriber, lacks func(s *subscriber, name string, p history.Position) bool) {
	for range 3000 { // five minutes
		time.Sleep(100 * time.Millisecond)
		behind := 0
		w.f.mu.Lock()
		for _, name := range w.channels {
			l := w.f.log(name)
			for _, s := range subs {
				if lacks(s, name, history.Position{Epoch: l.epoch, Offset: l.head}) {
					behind++
				}
			}
		}
		w.f.mu.Unlock()
		if behind == 0 {
			break
		}
	}
	w.rec.Add(history.Event{Kind: history.Quiet})
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	for _, name := range w.channels {
		l := w.f.log(name)
		for _, e := range l.entries {
			w.rec.Add(history.Event{Kind: history.Hist, Channel: name, Epoch: l.epoch, Offset: e.Offset, Prev: e.Prev, ID: idOf(e)})
		}
		w.rec.Add(history.Event{Kind: history.HistEnd, Channel: name, Epoch: l.epoch, Offset: l.head, From: l.oldest})
	}
}
