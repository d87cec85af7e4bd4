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

	mu   sync.Mutex
	view history.View
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
	if w.view.Whole {
		ask["since"] = w.view.Position
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
	w.mu.Lock()
	defer w.mu.Unlock()
	typ, err := w.view.Take(p)
	if err != nil {
		w.t.Errorf("%s: %v", w.name, err)
	}
	return err == nil && typ != "error" && typ != "unsubscribed" && typ != "reconnect"
}

// knows returns what it may count on; nil: it waits for a snapshot.
func (w *watcher) knows() map[string]history.Value {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Clone()
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
		anew += w.view.Anew
	}
	t.Logf("seed %d: %d keys set or deleted; %d at the end; %d resumed, %d begun with a snapshot", s.seed, acked[0]+acked[1], len(final), again, anew)
	if acked[0]+acked[1] < 50 || again < 5 || anew < len(watchers) {
		t.Error("this run did not test what it is for")
	}
}

func resumed(watchers []*watcher) (n int) {
	for _, w := range watchers {
		w.mu.Lock()
		n += w.view.Resumed
		w.mu.Unlock()
	}
	return n
}

// agree waits until all have the values that a newcomer is given.
func (s *story) agree(watchers []*watcher, channel string) map[string]history.Value {
	s.t.Helper()
	for deadline := time.Now().Add(rest); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithCancel(s.ctx)
		fresh := &watcher{t: s.t, name: "newcomer", address: func() string { return s.servers[0].addr }, channel: channel}
		var done sync.WaitGroup
		done.Go(func() { fresh.run(ctx) })
		for fresh.knows() == nil && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		want := fresh.knows()
		cancel()
		done.Wait()
		var differs string
		for _, w := range watchers {
			if got := w.knows(); !maps.Equal(got, want) {
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
