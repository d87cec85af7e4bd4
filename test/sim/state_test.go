package sim

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/channel"
	"ringdown/test/history"
)

// TestState is TestCluster for a state channel. Whatever a watcher is given was
// written so; it never goes back; what it knows of a key is the latest that there is
// up to where it stands; and at the end everybody has what the store has.
func TestState(t *testing.T) {
	total := map[string]int{}
	of := seeds(t)
	for seed := of.first; seed < of.end; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { state(t, seed, total) })
		})
	}
	t.Logf("%d clusters: %v", of.end-of.first, total)
	for _, name := range []string{"resumed", "anew", "told", "skipped", "deleted"} {
		if total[name] < int(of.end-of.first) {
			t.Errorf("the runs do not show enough: %s is %d in %d runs", name, total[name], of.end-of.first)
		}
	}
}

const board = "c:0"

func state(t *testing.T, seed uint64, total map[string]int) {
	d := &channel.Declaration{Name: "c:{n}", State: &channel.State{}, Buffer: channel.Buffer{Messages: 16, Bytes: 1 << 20},
		Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}}
	s := newStory(t, seed, d, board)
	var watchers []*watcher
	var watching, writing sync.WaitGroup
	for i := range 6 {
		w := &watcher{client: s.client("w", i)}
		watchers = append(watchers, w)
		watching.Go(w.run)
	}
	for i := range 3 {
		w := &writer{client: s.client("p", i)}
		writing.Go(w.run)
	}
	s.faults()
	writing.Wait()
	var behind string
	for range 3000 { // five minutes
		time.Sleep(100 * time.Millisecond)
		if behind = lacking(s.w.f, watchers); behind == "" {
			break
		}
	}
	if behind != "" {
		t.Error(behind)
	}
	s.end(&watching)
	for _, w := range watchers {
		for name, n := range map[string]int{"resumed": w.view.Resumed, "anew": w.view.Anew, "told": w.told, "skipped": w.skipped, "deleted": w.deleted} {
			total[name] += n
		}
	}
}

// lacking says who does not have what the store has.
func lacking(f *fabric, watchers []*watcher) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.log(board)
	alive := 0
	for _, e := range l.latest {
		if !e.Deleted {
			alive++
		}
	}
	for _, w := range watchers {
		w.mu.Lock()
		v := &w.view
		err := w.judge(l)
		switch {
		case err != nil:
		case !v.Whole || v.Epoch != l.epoch || v.Offset < l.head:
			err = fmt.Errorf("stands at %+v (whole: %v), and the store at %d of %s", v.Position, v.Whole, l.head, l.epoch)
		case len(v.Values) != alive:
			err = fmt.Errorf("knows %d keys, and there are %d", len(v.Values), alive)
		}
		w.mu.Unlock()
		if err != nil {
			return fmt.Sprintf("%s: %v", w.name, err)
		}
	}
	return ""
}

// watcher follows a state channel, now fast and now slowly, and comes back.
type watcher struct {
	client
	mu                     sync.Mutex
	view                   history.View
	told, skipped, deleted int
}

func (w *watcher) run() {
	for w.wait(300 * time.Millisecond) {
		l := w.w.machine(w.rng).connect(w.name, 100+w.rng.IntN(3000))
		if l == nil {
			continue
		}
		ask := map[string]any{"type": "subscribe", "id": 1, "channel": board}
		w.mu.Lock()
		if w.view.Whole {
			ask["since"] = w.view.Position
		}
		w.mu.Unlock()
		if w.rng.IntN(3) == 0 {
			ask["data"] = map[string]any{"rate": 0.5 + 20*w.rng.Float64()}
		}
		text, _ := json.Marshal(ask)
		l.write(text)
		pace := w.pace()
		life := time.Now().Add(time.Duration(200+w.rng.IntN(4000)) * time.Millisecond)
		w.converse(l, pace, func() bool { return w.w.calm.Load() && pace == 0 || time.Now().Before(life) }, w.see)
	}
}

func (w *watcher) see(m *message) bool {
	f := w.w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.view.Offset
	typ, err := w.view.Take(m.raw)
	if err == nil {
		err = w.judge(f.log(board))
	}
	if err != nil {
		w.w.t.Errorf("%s, after %s: %v", w.name, m.raw, err)
		return false
	}
	if typ == "m" {
		w.told++
		if m.Offset > before+5 {
			w.skipped++
		}
		if string(m.Data) == "null" {
			w.deleted++
		}
	}
	return typ != "error" && typ != "unsubscribed"
}

// judge holds what a watcher may count on against the log, if it is still that
// log. With both locks held.
func (w *watcher) judge(l *log) error {
	v := &w.view
	if !v.Whole || v.Epoch != l.epoch {
		return nil
	}
	for key, value := range v.Values {
		if l.told[value.Offset] != (told{key, value.Data}) {
			return fmt.Errorf("%s is %+v, which was not written", key, value)
		}
		if e := l.latest[key]; e == nil && l.forgotten <= v.Offset {
			return fmt.Errorf("%s was deleted, and that was forgotten at %d", key, l.forgotten)
		}
	}
	for key, e := range l.latest {
		value, has := v.Values[key]
		switch {
		case e.Offset > v.Offset: // to come
		case e.Deleted && has:
			return fmt.Errorf("stands at %d and has %s, which was deleted at %d", v.Offset, key, e.Offset)
		case !e.Deleted && value.Offset != e.Offset:
			return fmt.Errorf("stands at %d and has %s of %d: it was written at %d", v.Offset, key, value.Offset, e.Offset)
		}
	}
	return nil
}

// writer sets and deletes keys, one after the other.
type writer struct {
	client
	n     int
	waits bool
}

func (p *writer) run() {
	for p.wait(100*time.Millisecond) && !p.w.calm.Load() {
		l := p.w.machine(p.rng).connect(p.name, 1<<20)
		if l == nil {
			continue
		}
		p.waits = false
		life := time.Now().Add(time.Duration(500+p.rng.IntN(3000)) * time.Millisecond)
		p.converse(l, 0, func() bool {
			if !p.waits {
				p.write(l)
			}
			return !p.w.calm.Load() && time.Now().Before(life)
		}, func(m *message) bool {
			if m.Type == "ack" || m.Type == "error" {
				p.waits = false
			}
			return true
		})
	}
}

func (p *writer) write(l *link) {
	p.n++
	p.waits = true
	var data any = fmt.Sprint(p.name, "-", p.n)
	if p.rng.IntN(6) == 0 {
		data = nil
	}
	text, _ := json.Marshal(map[string]any{"type": "m", "channel": board, "id": p.n, "key": fmt.Sprint("k", p.rng.IntN(20)), "data": data})
	l.write(text)
}
