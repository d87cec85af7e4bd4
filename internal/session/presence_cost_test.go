package session

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/node"
	"ringdown/internal/presence"
)

// tally is a link of a watcher who reads at once. It counts what it was given.
type tally struct {
	*fakeLink
	writes, bytes atomic.Int64
}

func (l *tally) Offer(p []byte) int {
	l.writes.Add(1)
	l.bytes.Add(int64(len(p)))
	return len(p)
}

// watchers opens so many who watch a channel.
func watchers(h *house, n int, name string) []*tally {
	h.t.Helper()
	list := make([]*tally, n)
	for i := range list {
		l := &tally{fakeLink: &fakeLink{loop: h.loop, room: -1, more: make(chan struct{})}}
		c := &client{h: h, link: l.fakeLink}
		h.do(func() {
			c.x = h.server.Open(l, Open{Transport: "test", RemoteAddr: netip.MustParseAddrPort("127.0.0.1:1"), Identity: &auth.Identity{User: fmt.Sprint("w", i)}})
			l.session = c.x
		})
		h.t.Cleanup(c.leave)
		c.sendf(`{"type":"subscribe","channel":%q}`, name)
		list[i] = l
	}
	h.settle()
	return list
}

// crowd puts so many members in, as another node would have.
func crowd(h *house, n int, name string) {
	for i := range n {
		h.node.Enter(name, broker.Member{ID: fmt.Sprintf("crowd%07d", i), User: fmt.Sprint("c", i)}, func(error) {})
	}
	h.settle()
}

// TestPresenceBurstIsOneWrite: however many people come into a large room within
// a window, each watcher is written to once for them, not once for each.
func TestPresenceBurstIsOneWrite(t *testing.T) {
	h := presenceHouse(t, houseOptions{})
	crowd(h, 2000, "chat:1")
	time.Sleep(presence.LongestWindow + 100*time.Millisecond) // what the crowd is told of is told
	list := watchers(h, 20, "chat:1")
	var before []int64
	for _, w := range list {
		before = append(before, w.writes.Load())
	}
	const people = 150
	for i := range people {
		h.node.Enter("chat:1", broker.Member{ID: fmt.Sprint("new", i)}, func(error) {})
	}
	told := h.node.Metrics().PresenceTold.Load()
	for h.node.Metrics().PresenceTold.Load() < told+people-1 {
		time.Sleep(10 * time.Millisecond)
	}
	h.settle()
	for i, w := range list {
		if n := w.writes.Load() - before[i]; n > 2 {
			t.Errorf("watcher %d was written to %d times for %d people", i, n, people)
		}
	}
}

// BenchmarkPresenceEnter is one who comes into a room of that many and goes again,
// beside so many who watch. The whole rate is measured, up to the last write: so
// what it costs each watcher is a share of a batch, and what it costs the server
// does not grow with the members.
func BenchmarkPresenceEnter(b *testing.B) {
	for _, members := range []int{1000, 10_000} {
		for _, n := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%d-members/%d-watchers", members, n), func(b *testing.B) { benchmarkEnter(b, members, n) })
		}
	}
}

func benchmarkEnter(b *testing.B, members, n int) {
	h := presenceHouse(b, houseOptions{})
	crowd(h, members, "chat:1")
	time.Sleep(presence.LongestWindow + 100*time.Millisecond)
	list := watchers(h, n, "chat:1")
	var writes, bytes int64
	for _, w := range list {
		writes, bytes = writes-w.writes.Load(), bytes-w.bytes.Load()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m := broker.Member{ID: fmt.Sprint("new", i), User: "ann"}
		h.node.Enter("chat:1", m, func(error) {})
		h.node.Exit("chat:1", m.ID, node.Departure{}, func(error) {})
		i++
	}
	h.settle()
	for _, w := range list {
		writes, bytes = writes+w.writes.Load(), bytes+w.bytes.Load()
	}
	b.ReportMetric(float64(writes)/float64(i)/float64(n), "writes/op/watcher")
	b.ReportMetric(float64(bytes)/float64(i)/float64(n), "B/op/watcher")
}
