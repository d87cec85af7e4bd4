package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/protocol"
)

// TestErrorsTravelWhole: what another node refuses with arrives as it was.
func TestErrorsTravelWhole(t *testing.T) {
	nodes := cluster(t, 2)
	want := protocol.Error{Code: protocol.CodeConflict, Message: "m", Retryable: true, RetryAfter: 7 * time.Second,
		Rule: "r", Limit: "l", Reason: "s", DidYouMean: "d"}
	for _, to := range nodes {
		to.Handle("whole", func(context.Context, json.RawMessage) (any, error) { told := want; return nil, &told })
		to.Handle("odd", func(context.Context, json.RawMessage) (any, error) { return make(chan int), nil })
		if got := protocol.AsError(nodes[0].Ask(t.Context(), to.Name(), "whole", nil, nil)); *got != want {
			t.Errorf("%+v, want %+v", *got, want)
		}
		if err := nodes[0].Ask(t.Context(), to.Name(), "odd", nil, nil); protocol.AsError(err).Code != protocol.CodeInternal {
			t.Errorf("an answer that is no JSON: %v", err)
		}
		var number int
		if err := nodes[0].Ask(t.Context(), to.Name(), "echo", "x", &number); protocol.AsError(err).Code != protocol.CodeInternal {
			t.Errorf("an answer of another kind: %v", err)
		}
		long := strings.Repeat("v", 1000)
		if err := nodes[0].Ask(t.Context(), to.Name(), long, nil, nil); err == nil || len(err.Error()) > 300 || !strings.Contains(err.Error(), long[:64]) {
			t.Errorf("a long verb: %v", err)
		}
	}
	if err := nodes[0].Ask(t.Context(), nodes[1].Name(), "echo", make(chan int), nil); err == nil {
		t.Error("a request that is no JSON was sent")
	}
	if err := nodes[0].AskAll(t.Context(), "echo", make(chan int), nil); err == nil {
		t.Error("a request that is no JSON was sent to all")
	}
	if n := unanswered(nodes[0]); n != 0 {
		t.Errorf("%d questions are still remembered", n)
	}
}

// TestAskAlone: a node without a bus asks itself, and knows of no other.
func TestAskAlone(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t)})
	n.Handle("echo", func(_ context.Context, r json.RawMessage) (any, error) { return r, nil })
	var got string
	if err := n.Ask(t.Context(), n.Name(), "echo", "hello", &got); err != nil || got != "hello" {
		t.Errorf("it answered itself %q, %v", got, err)
	}
	if err := n.Ask(t.Context(), "another", "echo", "hello", nil); protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("another: %v", err)
	}
	if names, err := n.Nodes(t.Context()); err != nil || !slices.Equal(names, []string{n.Name()}) {
		t.Errorf("there are %v, %v", names, err)
	}
	(*feed)(n).Control("another", []byte(`{"verb":"echo","id":"1"}`))
	if n.Metrics().BadControl.Load() != 1 {
		t.Error("a message of a node that cannot be was taken")
	}
}

// TestNodesAreInOrder, each once, whether or not the bus names the one that asks.
func TestNodesAreInOrder(t *testing.T) {
	nodes := cluster(t, 4)
	var want []string
	for _, n := range nodes {
		want = append(want, n.Name())
	}
	slices.Sort(want)
	if got, err := nodes[2].Nodes(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	delete(nodes[2].broker.(*wired).all, nodes[2].Name())
	if got, err := nodes[2].Nodes(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("without itself: %v, %v; want %v", got, err, want)
	}
}

// TestAskAllTellsWhoFailed, and still gives the answers of the others.
func TestAskAllTellsWhoFailed(t *testing.T) {
	nodes := cluster(t, 3)
	nodes[1].Handle("some", func(context.Context, json.RawMessage) (any, error) {
		return nil, protocol.Errorf(protocol.CodeConflict, "planted")
	})
	for _, n := range []*Node{nodes[0], nodes[2]} {
		n.Handle("some", func(context.Context, json.RawMessage) (any, error) { return 1, nil })
	}
	heard := map[string]string{}
	err := nodes[0].AskAll(t.Context(), "some", nil, func(node string, answer json.RawMessage) { heard[node] = string(answer) })
	if err == nil || !strings.Contains(err.Error(), "planted") || len(heard) != 2 || heard[nodes[2].Name()] != "1" {
		t.Errorf("heard %v, %v", heard, err)
	}
	nodes[1].Handle(verbChannels, nodes[1].control.handlers["some"])
	if page, more, err := nodes[0].List(t.Context(), "", "", 10); err == nil || page != nil || more {
		t.Errorf("a list without one of the nodes: %v, %v, %v", page, more, err)
	}
	nodes[1].Handle(verbChannels, func(context.Context, json.RawMessage) (any, error) { return "odd", nil })
	if _, _, err := nodes[0].List(t.Context(), "", "", 10); err != nil || nodes[0].Metrics().BadControl.Load() != 1 {
		t.Errorf("an answer that cannot be read: %v, %d counted", err, nodes[0].Metrics().BadControl.Load())
	}
}

// TestLargeAnswer is not sent, and whoever asked hears of a timeout.
func TestLargeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, 2)
		nodes[1].Handle("large", func(context.Context, json.RawMessage) (any, error) { return strings.Repeat("x", MaxControl), nil })
		err := nodes[0].Ask(t.Context(), nodes[1].Name(), "large", nil, nil)
		if protocol.AsError(err).Code != protocol.CodeTimeout || nodes[0].Metrics().BadControl.Load() != 0 {
			t.Errorf("%v; %d bad messages came", err, nodes[0].Metrics().BadControl.Load())
		}
	})
}

// TestAnswerThatIsNotSent is in the log, and one that is, is not.
func TestAnswerThatIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, 2)
		var logged strings.Builder
		nodes[0].opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		ask := func(from string) {
			(*feed)(nodes[0]).Control(from, []byte(`{"verb":"echo","id":"1"}`))
			synctest.Wait()
		}
		ask(nodes[1].Name())
		if logged.Len() != 0 {
			t.Errorf("an answer that was sent: %s", &logged)
		}
		ask("nobody")
		if !strings.Contains(logged.String(), "not answered") {
			t.Errorf("the log says %q", &logged)
		}
	})
}

// TestRequestsOfOthersAreBounded: those past the bound are dropped and counted, and
// there is room again when some are answered.
func TestRequestsOfOthersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, 2)
		release := make(chan struct{})
		var answered atomic.Int64
		nodes[0].Handle("wait", func(ctx context.Context, _ json.RawMessage) (any, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > AskTimeout {
				return nil, protocol.Errorf(protocol.CodeInternal, "there is no end to it")
			}
			<-release
			answered.Add(1)
			return nil, nil
		})
		ask := func(number int) {
			(*feed)(nodes[0]).Control(nodes[1].Name(), fmt.Appendf(nil, `{"verb":"wait","id":"%d"}`, number))
		}
		for i := range maxAnswering + 3 {
			ask(i)
		}
		synctest.Wait()
		if got := nodes[0].Metrics().BadControl.Load(); got != 3 {
			t.Errorf("%d were dropped", got)
		}
		release <- struct{}{}
		synctest.Wait()
		ask(0)
		synctest.Wait()
		if got := nodes[0].Metrics().BadControl.Load(); got != 3 {
			t.Errorf("%d were dropped, with room for one", got)
		}
		close(release)
		synctest.Wait()
		if got := answered.Load(); got != maxAnswering+1 {
			t.Errorf("%d were answered", got)
		}
	})
}

// TestListHere: only what somebody is subscribed to, with the prefix, after the
// name, and none of the server's own.
func TestListHere(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("a:{n}"), fleeting("b:{n}"))})
	g := new(counter)
	for _, name := range []string{"a:1", "a:2", "a:3", "b:1"} {
		c := joined(t, n, name, g)
		c.AddSubscribers(1)
		defer c.Leave(g)
	}
	defer joined(t, n, "a:0", g).Leave(g) // which nobody is subscribed to
	log, target := PresenceLog("a:1")
	own := n.Follow(log, target, g, func(*Channel, error) {})
	own.AddSubscribers(1)
	defer own.Leave(g)
	for _, c := range []struct {
		prefix, after string
		limit         int
		want          string
	}{
		{"", "", 10, "a:1 a:2 a:3 b:1"},
		{"", "", 4, "a:1 a:2 a:3 b:1"},
		{"", "", 3, "a:1 a:2 a:3 and more"},
		{"a:", "", 10, "a:1 a:2 a:3"},
		{"", "a:1", 10, "a:2 a:3 b:1"},
		{"a:", "a:1", 1, "a:2 and more"},
		{"b", "b:1", 10, ""},
		{"c", "", 10, ""},
		{"", "", 0, "and more"},
		{"", "", -1, "and more"},
	} {
		page, more, err := n.List(t.Context(), c.prefix, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range page {
			got = append(got, i.Name)
		}
		if more {
			got = append(got, "and more")
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%+v: %q", c, text)
		}
	}
	if err := n.Ask(t.Context(), n.Name(), verbChannels, "odd", nil); err == nil {
		t.Error("a request that cannot be read was answered")
	}
}

// TestListAddsUp: the nodes' subscribers are added, and of one epoch the furthest
// position is told.
func TestListAddsUp(t *testing.T) {
	nodes := cluster(t, 3)
	for i, n := range nodes {
		n.Handle(verbChannels, func(context.Context, json.RawMessage) (any, error) {
			return listAnswer{Channels: []Info{{"c", i + 1, "e", uint64(10 - i)}}, More: i == 1}, nil
		})
	}
	page, more, err := nodes[0].List(t.Context(), "", "", 10)
	if err != nil || !more || len(page) != 1 || page[0] != (Info{"c", 6, "e", 10}) {
		t.Errorf("%+v, more %v, %v", page, more, err)
	}
}

// TestClip: what another node sent takes no more than 64 bytes of a line, of UTF-8.
func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a", strings.Repeat("x", 64): strings.Repeat("x", 64), strings.Repeat("x", 65): strings.Repeat("x", 64),
		strings.Repeat("x", 63) + "é": strings.Repeat("x", 63) + "?", "\xff": "?",
	} {
		if got := clip(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
