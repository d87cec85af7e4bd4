package redis

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/protocol"
)

// load publishes to some channels by turns through some nodes, one message of a
// channel at a time, and remembers what was acknowledged. Messages of every other
// channel have dedupe keys and are repeated until they are; what is refused of
// the rest is let go.
type load struct {
	nodes []*node
	names []string
	acked []map[string]broker.Receipt // for each name, by data
	ended atomic.Bool
	work  sync.WaitGroup

	count, failed atomic.Int64
	worst         atomic.Int64 // the longest that a message took, in nanoseconds
}

func publishTo(names []string, nodes ...*node) *load {
	l := &load{nodes: nodes, names: names, acked: make([]map[string]broker.Receipt, len(names))}
	for i := range names {
		l.acked[i] = map[string]broker.Receipt{}
		l.work.Go(func() { l.publish(i) })
	}
	return l
}

func (l *load) publish(i int) {
	for n := 0; !l.ended.Load(); n++ {
		data := fmt.Sprint(n)
		begun := time.Now()
		for !l.ended.Load() {
			key := ""
			if i%2 == 0 {
				key = "key-" + data
			}
			o := l.nodes[n%len(l.nodes)].try(l.names[i], data, key)
			if o.err == nil {
				l.acked[i][data] = o.r
				l.count.Add(1)
				break
			}
			l.failed.Add(1)
			time.Sleep(5 * time.Millisecond)
			if key == "" {
				break
			}
		}
		took := int64(time.Since(begun))
		for was := l.worst.Load(); took > was && !l.worst.CompareAndSwap(was, took); was = l.worst.Load() {
		}
		time.Sleep(3 * time.Millisecond)
	}
}

// judge ends the load and holds what every node heard, and what was
// acknowledged, against the logs. It returns how many acknowledged messages each
// channel lost; those that the epoch does not declare fail the test.
func (l *load) judge(t *testing.T) (lost []int) {
	t.Helper()
	l.ended.Store(true)
	l.work.Wait()
	for i, name := range l.names {
		end := l.nodes[0].eventually(name, `"end"`).Position
		log := l.nodes[0].log(name)
		trimmed := func(offset uint64) bool { return offset+uint64(kept.History.Messages) <= end.Offset }
		for _, n := range l.nodes {
			for _, h := range n.await(name, end) { // which has no hole, and nothing twice
				if h.epoch != end.Epoch || h.data == "" || trimmed(h.offset) {
					continue
				}
				if log[h.offset] != h.data {
					t.Errorf("%s: node %s heard %s at %d, where the log has %s", name, n.node, h.data, h.offset, log[h.offset])
				}
			}
		}
		gone := 0
		for data, r := range l.acked[i] {
			switch {
			case log[r.Position.Offset] == data, r.Position.Epoch == end.Epoch && trimmed(r.Position.Offset):
			case r.Position.Epoch == end.Epoch:
				t.Errorf("%s: %s was acknowledged at %v, where the log has %s", name, data, r.Position, log[r.Position.Offset])
			default:
				gone++
			}
		}
		if i%2 == 0 {
			once := map[string]uint64{}
			for offset, data := range log {
				if other := once[data]; other != 0 {
					t.Errorf("%s: %s is in the log at %d and at %d", name, data, other, offset)
				}
				once[data] = offset
			}
		}
		lost = append(lost, gone)
	}
	if l.count.Load() < int64(10*len(l.names)) {
		t.Errorf("only %d messages were accepted, which proves nothing", l.count.Load())
	}
	t.Logf("%d messages accepted, %d attempts refused; the longest took %v", l.count.Load(), l.failed.Load(), time.Duration(l.worst.Load()).Round(time.Millisecond))
	return lost
}

// log reads all of a channel's log, by offset.
func (n *node) log(name string) map[uint64]string {
	n.t.Helper()
	at := map[uint64]string{}
	for after := uint64(0); ; {
		page, err := n.Open(name, kept).Read(n.t.Context(), broker.Range{After: after})
		if err != nil {
			n.t.Fatal(err)
		}
		for _, e := range page.Entries {
			var m protocol.Message
			if err := e.Message(&m); err != nil {
				n.t.Fatal(err)
			}
			at[e.Offset], after = string(m.Data), e.Offset
		}
		if !page.More {
			return at
		}
	}
}
