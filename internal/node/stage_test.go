package node

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// stage is a broker whose logs a test may look into or put others in front of.
type stage struct {
	*memory.Broker
	// opened is told of every log that is opened, and may wrap it.
	opened func(name string, d *channel.Declaration, l broker.Log) broker.Log
}

func (s *stage) Open(name string, d *channel.Declaration) broker.Log {
	l := s.Broker.Open(name, d)
	if s.opened == nil {
		return l
	}
	return s.opened(name, d, l)
}

func newStage() *stage { return &stage{Broker: memory.New(memory.Options{})} }

// kept declares a channel that keeps what it gets, open to anyone.
func kept(name string) *channel.Declaration {
	return &channel.Declaration{Name: name, History: &channel.History{Messages: 100},
		Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}}
}

// fleeting declares one that keeps nothing.
func fleeting(name string) *channel.Declaration {
	d := kept(name)
	d.History = nil
	return d
}

func tableOf(t testing.TB, ds ...*channel.Declaration) *channel.Table {
	t.Helper()
	table, err := channel.NewTable(ds)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// begun starts a node with the options, of which the broker and the logger are
// filled in.
func begun(t *testing.T, o Options) *Node {
	t.Helper()
	if o.Broker == nil {
		o.Broker = newStage()
	}
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	n := New(o)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// counter counts its nudges.
type counter struct{ nudges atomic.Int64 }

func (c *counter) Nudge() { c.nudges.Add(1) }

// readied notes what somebody who follows was told.
type readied struct {
	calls int
	c     *Channel
	err   error
}

func (r *readied) ready(c *Channel, err error) { r.calls++; r.c, r.err = c, err }

// joined follows a channel of a broker that answers at once.
func joined(t *testing.T, n *Node, name string, g Nudger) *Channel {
	t.Helper()
	target, err := n.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	var r readied
	c := n.Follow(name, target, g, r.ready)
	if r.calls != 1 || r.err != nil || r.c != c || c == nil {
		t.Fatalf("%s is not followed: %+v, %v", name, r, c)
	}
	return c
}

// heard is a Door at which nothing has to wait.
type heard struct {
	receipt broker.Receipt
	err     error
	calls   int
	awaited int
	spent   int
	spends  int
	gone    bool // nobody waits for what Await finds
}

func (h *heard) Appended(r broker.Receipt, err error) { h.calls++; h.receipt, h.err = r, err }
func (h *heard) Spend(steps int)                      { h.spends++; h.spent += steps }
func (h *heard) Await(work func(ctx context.Context) error, next func(err error)) {
	h.awaited++
	if err := work(context.Background()); !h.gone {
		next(err)
	}
}

var application = &Caller{Server: true}

// say publishes as the application.
func say(t *testing.T, n *Node, m protocol.Message) broker.Receipt {
	t.Helper()
	if m.Type == "" {
		m.Type = "e"
	}
	var h heard
	n.Publish(application, &m, &h)
	if h.err != nil || h.calls != 1 {
		t.Fatalf("published on %s: %v, told %d times", m.Channel, h.err, h.calls)
	}
	return h.receipt
}

// texts returns what comes after a cursor, as the data of messages.
func texts(c *Channel, from channel.Cursor, conflate bool) (string, *channel.Gap, channel.Cursor) {
	var b channel.Batch
	gap := c.Fill(&b, from, 1<<30, conflate)
	var out []string
	for line := range strings.SplitSeq(string(b.Bytes(channel.FormText, b.From)), `"data":`) {
		if value, _, ok := strings.Cut(line, "}"); ok {
			out = append(out, value)
		}
	}
	return strings.Join(out, " "), gap, b.To
}
