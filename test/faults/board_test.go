package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/test/history"
)

const boards = "  - name: board:{n}\n    state: {for: 1h}\n    buffer: {messages: 32, bytes: 65536}\n    allow: {subscribe: signed_in, publish: signed_in}\n"

// watcher keeps the latest value of each key of a state channel, the way that
// docs/protocol.md tells clients to.
type watcher struct {
	t       *testing.T
	name    string
	address func() string
	channel string

	mu      sync.Mutex
	epoch   string
	offset  uint64
	whole   bool // the snapshot has come to its end
	values  map[string]value
	partial map[string]value // of a snapshot under way
	resumed int
	anew    int
}

type value struct {
	offset uint64
	data   string
}

type item struct {
	Key    string
	Offset uint64
	Data   json.RawMessage
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.watch(ctx)
		if !pause(ctx, 100*time.Millisecond) {
			return
		}
	}
}

func (w *watcher) watch(ctx context.Context) {
	c, err := dial(ctx, w.address(), w.name)
	if err != nil {
		return
	}
	defer c.close()
	ask := map[string]any{"type": "subscribe", "channel": w.channel, "id": 1}
	w.mu.Lock()
	if w.whole {
		ask["since"] = history.Position{Epoch: w.epoch, Offset: w.offset}
	}
	w.mu.Unlock()
	if c.write(ask) != nil {
		return
	}
	for {
		_, p, err := c.conn.Read(c.ended)
		if err != nil {
			return
		}
		c.heard.Store(time.Now().UnixNano())
		if !w.take(p) {
			return
		}
	}
}

func (w *watcher) take(p []byte) bool {
	var m struct {
		item
		Type, Epoch string
		Data        json.RawMessage
	}
	if json.Unmarshal(p, &m) != nil {
		w.t.Errorf("%s was sent %q", w.name, p)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m.Type {
	case "subscribed":
		var d struct{ Recovered bool }
		_ = json.Unmarshal(m.Data, &d)
		w.epoch, w.offset = m.Epoch, m.Offset
		if d.Recovered {
			w.resumed++
			return true
		}
		w.anew++
		w.whole, w.partial = false, map[string]value{}
	case "gap":
		var d struct {
			To     uint64
			Reason string
		}
		_ = json.Unmarshal(m.Data, &d)
		if w.offset = d.To; d.Reason == "epoch" {
			w.epoch, w.offset = m.Epoch, m.Offset
		}
		w.whole, w.partial = false, map[string]value{}
	case "state":
		var d struct {
			Items []item
			More  bool
		}
		_ = json.Unmarshal(m.Data, &d)
		for _, i := range d.Items {
			w.partial[i.Key] = value{i.Offset, string(i.Data)}
		}
		if !d.More {
			w.values, w.partial, w.whole = w.partial, nil, true
		}
	case "m":
		if !w.whole {
			w.t.Errorf("%s was given %s in the middle of a snapshot", w.name, p)
		}
		if m.Offset <= w.offset {
			w.t.Errorf("%s stands at %d and was given %s", w.name, w.offset, p)
		}
		w.offset = m.Offset
		if string(m.Data) == "null" {
			delete(w.values, m.Key)
		} else {
			w.values[m.Key] = value{m.Offset, string(m.Data)}
		}
	case "error", "unsubscribed", "reconnect":
		return false
	}
	return true
}

func (w *watcher) view() map[string]value {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.whole {
		return nil
	}
	return maps.Clone(w.values)
}

// write sets and deletes keys until ctx ends, one after the other.
func write(ctx context.Context, name string, address func() string, channel string, acked *int) {
	for n := 0; ctx.Err() == nil; {
		c, err := dial(ctx, address(), name)
		for err == nil && ctx.Err() == nil {
			n++
			data := fmt.Sprintf(`"%s %d %s"`, name, n, strings.Repeat("x", 200))
			if n%7 == 0 {
				data = "null"
			}
			_, err = ask(c, map[string]any{"type": "m", "channel": channel, "id": n, "key": fmt.Sprint("k", n*n%97), "data": json.RawMessage(data)}, "ack")
			if err == nil {
				*acked++
			}
		}
		if c != nil {
			c.close()
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// TestBoard: whatever happens to lines and to the server, everybody who follows a
// state channel ends up with the same values, and is never taken back.
func TestBoard(t *testing.T) {
	for name, more := range map[string]string{"memory": "", "store": storeIn(t.TempDir())} {
		t.Run(name, func(t *testing.T) { board(t, more) })
	}
}

func board(t *testing.T, more string) {
	srv := newServer(t, "server", boards+more)
	quiet := cast{channels: 1, subscribers: 0, publishers: 0}
	s := tell(t, memory(), quiet, srv)
	const channel = "board:1"
	watching, stop := context.WithCancel(s.ctx)
	defer stop()
	var watchers []*watcher
	for i := range 8 {
		w := &watcher{t: t, name: fmt.Sprint("w", i), address: s.address, channel: channel}
		watchers = append(watchers, w)
		s.reads.Go(func() { w.run(watching) })
	}
	writing, end := context.WithCancel(s.ctx)
	acked := make([]int, 2)
	for i := range acked {
		s.writes.Go(func() { write(writing, fmt.Sprint("p", i), s.address, channel, &acked[i]) })
	}
	until := time.Now().Add(either(3*time.Second, time.Minute))
	for time.Now().Before(until) || resumed(watchers) < 8 && time.Now().Before(until.Add(rest)) {
		s.breakLines()
		s.sleep(100*time.Millisecond, 400*time.Millisecond)
		if s.rng.IntN(8) == 0 {
			s.during(srv.name, "kill", func() { srv.kill(); srv.start() })
		}
	}
	for _, p := range s.lines { // else whoever is half-open notices only after a while
		for _, l := range p.some(s.rng, 1) {
			l.cut()
		}
	}
	end()
	s.writes.Wait()
	final := s.agree(watchers, channel)
	stop()
	s.reads.Wait()
	again, anew := resumed(watchers), 0
	for _, w := range watchers {
		anew += w.anew
	}
	t.Logf("seed %d: %d keys set or deleted; %d at the end; %d resumed, %d begun with a snapshot", s.seed, acked[0]+acked[1], len(final), again, anew)
	if acked[0]+acked[1] < 50 || again < 5 || anew < len(watchers) {
		t.Error("this run did not test what it is for")
	}
}

func resumed(watchers []*watcher) (n int) {
	for _, w := range watchers {
		w.mu.Lock()
		n += w.resumed
		w.mu.Unlock()
	}
	return n
}

// agree waits until all have the values that a newcomer is given.
func (s *story) agree(watchers []*watcher, channel string) map[string]value {
	s.t.Helper()
	for deadline := time.Now().Add(rest); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithCancel(s.ctx)
		fresh := &watcher{t: s.t, name: "newcomer", address: func() string { return s.servers[0].addr }, channel: channel}
		var done sync.WaitGroup
		done.Go(func() { fresh.run(ctx) })
		for fresh.view() == nil && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		want := fresh.view()
		cancel()
		done.Wait()
		var differs string
		for _, w := range watchers {
			if got := w.view(); !maps.Equal(got, want) {
				differs = fmt.Sprintf("%s has %d keys, and a newcomer is given %d", w.name, len(got), len(want))
			}
		}
		if differs == "" {
			return want
		}
		if time.Now().After(deadline) {
			s.t.Errorf("after %v %s", rest, differs)
			return want
		}
	}
}
