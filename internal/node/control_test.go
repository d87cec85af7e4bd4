package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wired is a broker whose bus reaches the other nodes of the test.
type wired struct {
	*memory.Broker
	name string
	feed broker.Feed
	all  map[string]*wired
	lose bool // what this one sends gets lost
}

func (w *wired) Start(ctx context.Context, node string, feed broker.Feed) error {
	w.name, w.feed = node, feed
	w.all[node] = w
	return w.Broker.Start(ctx, node, feed)
}

func (w *wired) Nodes(context.Context) (names []string, err error) {
	for name := range w.all {
		names = append(names, name)
	}
	return names, nil
}

func (w *wired) Send(_ context.Context, to string, payload []byte) error {
	other := w.all[to]
	switch {
	case other == nil:
		return protocol.Errorf(protocol.CodeNotFound, "no node %q", to)
	case !w.lose:
		other.feed.Control(w.name, payload)
	}
	return nil
}

// unanswered returns how many questions of the node wait for an answer.
func unanswered(n *Node) (count int) {
	n.control.waiting.Range(func(any, any) bool { count++; return true })
	return count
}

// cluster starts nodes that answer the verb "echo", "fail" and "panic".
func cluster(t *testing.T, size int) []*Node {
	t.Helper()
	table, err := channel.NewTable([]*channel.Declaration{{Name: "c:{n}", Allow: channel.Allow{Subscribe: channel.Anyone}}})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*wired{}
	var nodes []*Node
	for range size {
		n := New(Options{Broker: &wired{Broker: memory.New(memory.Options{}), all: all}, Table: table, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		n.Handle("echo", func(_ context.Context, r json.RawMessage) (any, error) { return []any{n.Name(), r}, nil })
		n.Handle("fail", func(context.Context, json.RawMessage) (any, error) {
			return nil, protocol.Errorf(protocol.CodeConflict, "planted")
		})
		n.Handle("secret", func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("a secret of the machine") })
		n.Handle("panic", func(context.Context, json.RawMessage) (any, error) { panic("planted") })
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return nodes
}

func TestAsk(t *testing.T) {
	nodes := cluster(t, 2)
	a, b := nodes[0], nodes[1]
	for _, to := range []*Node{a, b} {
		var got []any
		if err := a.Ask(t.Context(), to.Name(), "echo", "hello", &got); err != nil || len(got) != 2 || got[0] != to.Name() || got[1] != "hello" {
			t.Fatalf("asked %s: %v, %v", to.Name(), got, err)
		}
		for verb, want := range map[string]protocol.Code{"fail": protocol.CodeConflict, "panic": protocol.CodeInternal, "secret": protocol.CodeInternal, "nothing": protocol.CodeBadRequest} {
			err := a.Ask(t.Context(), to.Name(), verb, 1, nil)
			if err == nil || protocol.AsError(err).Code != want || strings.Contains(err.Error(), "secret of") {
				t.Errorf("%s: %v, want %s", verb, err, want)
			}
		}
	}
	if err := a.Ask(t.Context(), "nobody", "echo", 1, nil); protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("asked nobody: %v", err)
	}
	if err := a.Ask(t.Context(), b.Name(), "echo", strings.Repeat("x", MaxControl), nil); protocol.AsError(err).Code != protocol.CodeTooLarge {
		t.Errorf("asked too much: %v", err)
	}
}

func TestAskAll(t *testing.T) {
	nodes := cluster(t, 3)
	heard := map[string]bool{}
	if err := nodes[0].AskAll(t.Context(), "echo", 1, func(node string, _ json.RawMessage) { heard[node] = true }); err != nil || len(heard) != 3 {
		t.Fatalf("heard of %v, %v", heard, err)
	}
}

// follow subscribes somebody to a channel on a node.
func follow(t *testing.T, n *Node, name string) {
	t.Helper()
	target, err := n.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	g := new(deaf)
	followed := make(chan *Channel, 1)
	n.Follow(name, target, g, func(c *Channel, err error) {
		if err != nil {
			t.Error(err)
		}
		followed <- c
	})
	c := <-followed
	c.AddSubscribers(1)
	t.Cleanup(func() { c.AddSubscribers(-1); c.Leave(g) })
}

type deaf struct{ _ byte } // not empty: two of them are not the same

func (*deaf) Nudge() {}

// TestListOverNodes: pages hold the channels of all nodes in order, with the
// subscribers of all of them.
func TestListOverNodes(t *testing.T) {
	nodes := cluster(t, 3)
	follow(t, nodes[0], "c:1")
	follow(t, nodes[0], "c:3")
	follow(t, nodes[1], "c:3")
	follow(t, nodes[1], "c:2")
	follow(t, nodes[2], "c:3")
	follow(t, nodes[2], "c:0")
	var got []string
	after := ""
	for more := true; more; {
		page, m, err := nodes[0].List(t.Context(), "c:", after, 1)
		if err != nil || len(page) != 1 {
			t.Fatalf("after %q: %v, %v", after, page, err)
		}
		got, after, more = append(got, fmt.Sprint(page[0].Name, "=", page[0].Subscribers)), page[0].Name, m
	}
	if text := strings.Join(got, " "); text != "c:0=1 c:1=1 c:2=1 c:3=3" {
		t.Error(text)
	}
}

// TestAskSilence: who is not answered is told so in time, and a late or forged
// answer does nothing.
func TestAskSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, 2)
		a, b := nodes[0], nodes[1]
		b.broker.(*wired).lose = true
		err := a.Ask(t.Context(), b.Name(), "echo", 1, nil)
		if e := protocol.AsError(err); e.Code != protocol.CodeTimeout || !e.Retryable {
			t.Fatalf("a silent node: %v", err)
		}
		if unanswered(a) != 0 {
			t.Error("the question is still remembered")
		}
		(*feed)(a).Control(b.Name(), []byte(`{"id":"1","body":1}`))
	})
}

// TestHostileControl: what cannot be read is counted and dropped.
func TestHostileControl(t *testing.T) {
	n := cluster(t, 1)[0]
	bad := []string{"", "{", "null", "[]", `{"verb":"echo"}`, `{"verb":1,"id":"1"}`, strings.Repeat("x", MaxControl+1)}
	for _, payload := range bad {
		(*feed)(n).Control("x", []byte(payload))
	}
	if got := n.metrics.BadControl.Load(); got != uint64(len(bad)) {
		t.Errorf("%d of %d were counted", got, len(bad))
	}
}

func FuzzControl(f *testing.F) {
	f.Add([]byte(`{"verb":"echo","id":"1","body":{"a":1}}`))
	f.Add([]byte(`{"id":"1","error":{"code":"conflict","message":"m"}}`))
	table, err := channel.NewTable(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		n := New(Options{Broker: memory.New(memory.Options{}), Table: table, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		(*feed)(n).Control("x", p)
		n.control.stop(t.Context())
	})
}
