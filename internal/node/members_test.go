package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// TestRename: a member is of another user from then on, and watchers see it; who is
// not here is not renamed.
func TestRename(t *testing.T) {
	both(t, func(t *testing.T, n *Node) {
		rename := func(channel, id, user string) error {
			done := make(chan error, 1)
			n.Rename(channel, id, user, func(err error) { done <- err })
			return <-done
		}
		if err := rename("room", "1", "bob"); err != nil || n.Present() != 0 {
			t.Errorf("where nobody is: %v, %d present", err, n.Present())
		}
		if err := enter(t, n, member("1", "ann")); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"1", "2"} {
			if err := rename("room", id, "bob"); err != nil {
				t.Error(err)
			}
		}
		page, err := n.Members(t.Context(), "room", broker.MemberRange{Limit: 10})
		if err != nil || len(page.Members) != 1 || page.Members[0].User != "bob" || n.Present() != 1 {
			t.Errorf("%+v, %v; %d present", page, err, n.Present())
		}
		if r := n.attendance.find("room", false); r == nil || r.With("bob") != 1 || r.With("ann") != 0 {
			t.Error("the room knows the member by its old user")
		} else {
			n.attendance.release(r)
		}
	})
}

// TestReadMembers answers once, at once or later.
func TestReadMembers(t *testing.T) {
	both(t, func(t *testing.T, n *Node) {
		if err := enter(t, n, member("1", "ann")); err != nil {
			t.Fatal(err)
		}
		answers := make(chan string, 2)
		n.ReadMembers(t.Context(), "room", broker.MemberRange{Limit: 10}, func(p broker.MemberPage, err error) {
			answers <- fmt.Sprint(len(p.Members), err)
		})
		if n.Immediate() && len(answers) != 1 {
			t.Error("a roster in memory did not answer at once")
		}
		synctest.Wait()
		if len(answers) != 1 {
			t.Fatalf("%d answers", len(answers))
		}
		expect(t, "the answer", <-answers, "1 <nil>")
	})
}

// TestChangesThatAreNotTold are counted: the roster has them all the same.
func TestChangesThatAreNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log {
			return &brokertest.Log{Log: l, OnAppend: func(_ *broker.Publication, d broker.Done) {
				d.Appended(broker.Receipt{}, errors.New("planted"))
			}}
		}
		n := newNode(t, s)
		if err := enter(t, n, member("1", "ann")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if told, untold := n.Metrics().PresenceTold.Load(), n.Metrics().PresenceUntold.Load(); told != 1 || untold != 1 {
			t.Errorf("%d changes told, %d of them not", told, untold)
		}
		expect(t, "members", ids(t, n), "1")
	})
}

// TestPresenceOfAChannel: only where it is declared.
func TestPresenceOfAChannel(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, &channel.Declaration{Name: "room", Presence: true}, kept("bare"))})
	for name, want := range map[string]bool{"room": true, "bare": false} {
		target, err := n.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		err = n.HasPresence(target, name)
		if (err == nil) != want || err != nil && protocol.AsError(err).Code != protocol.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
		log, _ := PresenceLog(name)
		if of, ok := PresenceOf(log); !ok || of != name || !protocol.ServerOwned(log) {
			t.Errorf("%s tells of %q", log, of)
		}
	}
	if _, ok := PresenceOf("room"); ok {
		t.Error("a channel is taken for a log of presence")
	}
}

// TestPresenceWithoutRoster: a broker that keeps no members is told of before
// anything is asked of it.
func TestPresenceWithoutRoster(t *testing.T) {
	n := begun(t, Options{Broker: struct{ broker.Broker }{newStage()}, Table: tableOf(t, &channel.Declaration{Name: "room", Presence: true}, kept("bare"))})
	for name, want := range map[string]string{"room": "does not keep who is present", "bare": "presence: true"} {
		target, err := n.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		err = n.HasPresence(target, name)
		if e := protocol.AsError(err); e == nil || e.Code != protocol.CodeBadRequest || e.Retryable || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestObservedIsBounded: what finds no room is left out, and only changes that can
// matter here are looked at.
func TestObservedIsBounded(t *testing.T) {
	_, nodes, _ := sharing(t, 1)
	n := nodes[0]
	if err := enter(t, n, member("1", "ann")); err != nil {
		t.Fatal(err)
	}
	r := n.attendance.find("room", false) // held, so that nothing can be looked at
	told := func(a presence.Action) *channel.Entry {
		m := protocol.Message{Type: protocol.TypePresence, Channel: "room",
			Data: presence.AppendChange(nil, presence.Change{Action: a, Member: presence.Member{ID: "x", User: "bob"}})}
		return channel.NewEntry(&m, false)
	}
	waiting := func() int {
		n.attendance.observed.mu.Lock()
		defer n.attendance.observed.mu.Unlock()
		return len(n.attendance.observed.pending)
	}
	bytes := channel.NewEntry(&protocol.Message{Type: "e", Channel: "room", Data: []byte(`"action":"leave"`), Binary: true}, false)
	for _, e := range []*channel.Entry{told(presence.Enter), told(presence.Update), bytes} {
		n.attendance.observe("room", e)
	}
	if n.attendance.observed.serving || waiting() != 0 {
		t.Error("something is looked at that does not matter here")
	}
	leave := told(presence.Leave)
	for range 2 * (mostObserved + 2) {
		n.attendance.observe("room", leave)
	}
	if got := waiting(); got != mostObserved || !n.attendance.leftOut.Load() {
		t.Errorf("%d wait", got)
	}
	n.attendance.release(r)
	n.attendance.work.Wait()
	if waiting() != 0 || n.attendance.observed.serving {
		t.Error("it was not all looked at")
	}
	expect(t, "members", ids(t, n), "1")
}

// TestTokenAndRule: what the token denies is denied, what it grants is granted
// unless nobody may; who may not subscribe may not read history that has no rule of
// its own.
func TestTokenAndRule(t *testing.T) {
	closed, own := kept("closed"), kept("own")
	closed.Allow = channel.Allow{}
	own.Allow.History = channel.Anyone
	signed := kept("signed")
	signed.Allow.Subscribe = channel.SignedIn
	table := tableOf(t, kept("open"), closed, own, signed)
	for _, c := range []struct {
		caps    string
		channel string
		op      channel.Op
		want    string
	}{
		{``, "open", channel.OpSubscribe, "yes"},
		{`"open":["-subscribe"]`, "open", channel.OpSubscribe, "capability"},
		{`"open":["-subscribe"]`, "open", channel.OpPublish, "yes"},
		{`"open":["-subscribe"]`, "open", channel.OpHistory, "capability"},
		{`"open":["-subscribe","history"]`, "open", channel.OpHistory, "yes"},
		{`"own":["-subscribe"]`, "own", channel.OpHistory, "yes"},
		{`"own":["-history"]`, "own", channel.OpHistory, "capability"},
		{`"own":["-history"]`, "own", channel.OpSubscribe, "yes"},
		{`"closed":["subscribe"]`, "closed", channel.OpSubscribe, "closed.allow.subscribe"},
		{`"closed":["-subscribe"]`, "closed", channel.OpSubscribe, "capability"},
		{`"signed":["subscribe"]`, "signed", channel.OpSubscribe, "yes"},
		{``, "signed", channel.OpSubscribe, "signed.allow.subscribe"},
		{``, "signed", channel.OpHistory, "signed.allow.subscribe"},
	} {
		who := &Caller{}
		if c.caps != "" {
			assumed, err := auth.Assume(json.RawMessage(`{"sub":"ann","ringdown":{`+c.caps+`}}`), "")
			if err != nil {
				t.Fatal(err)
			}
			who.Caps = assumed.Caps // and no user, so that the token alone can be the reason
		}
		d, _ := table.Match(c.channel)
		got := "yes"
		if err := who.Permit(Target{d}, c.channel, c.op, ""); err != nil {
			e := protocol.AsError(err)
			if got = e.Rule + e.Reason; e.Code != protocol.CodeForbidden {
				t.Errorf("%+v", e)
			}
		}
		if got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.caps, c.op, c.channel, got, c.want)
		}
		if err := application.Permit(Target{d}, c.channel, c.op, ""); err != nil {
			t.Errorf("the application: %v", err)
		}
	}
}

// asks is a rule that notes what it is asked about.
type asks struct {
	channel.Rule
	of *channel.Request
}

func (a asks) Allow(r *channel.Request) (bool, error) { *a.of = *r; return true, nil }

// TestWhatARuleIsAsked: all that it may speak of, for a rule that is no single word.
func TestWhatARuleIsAsked(t *testing.T) {
	var got channel.Request
	d := kept("chat:{room}")
	d.Allow.Publish = asks{channel.Anyone, &got}
	tableOf(t, d)
	asked := 0
	who := &Caller{User: "ann", Budget: new(channel.Budget), Claims: func() map[string]any { return map[string]any{"a": 1} },
		Connection: func() string { asked++; return "c" }}
	if err := who.Permit(Target{d}, "chat:1", channel.OpPublish, "say"); err != nil {
		t.Fatal(err)
	}
	if got.Op != channel.OpPublish || got.User != "ann" || got.Channel != "chat:1" || got.Event != "say" || got.Connection != "c" ||
		got.Params["room"] != "1" || got.Budget != who.Budget || got.Claims()["a"] != 1 {
		t.Errorf("it was asked about %+v", got)
	}
	if err := who.Permit(Target{d}, "chat:1", channel.OpSubscribe, ""); err != nil || asked != 1 {
		t.Errorf("%v; the connection was asked for its name %d times", err, asked)
	}
	if r := who.request; r.Connection != "" || r.Params != nil {
		t.Errorf("a single word was told %+v", r)
	}
}

// TestUndecidedTellsTheLog what the rule failed on.
func TestUndecidedTellsTheLog(t *testing.T) {
	d := kept("c")
	d.Allow.Publish = broken{channel.Anyone}
	tableOf(t, d)
	err := (&Caller{}).Permit(Target{d}, "c", channel.OpPublish, "e")
	if err == nil || !strings.Contains(err.Error(), "a secret of the rule") || strings.Contains(protocol.AsError(err).Error(), "secret") {
		t.Errorf("the log is told %v, the client %v", err, protocol.AsError(err))
	}
}

// failing is a broker that cannot be started.
type failing struct{ *stage }

var errPlanted = errors.New("planted")

func (failing) Start(context.Context, string, broker.Feed) error { return errPlanted }

// TestStartFails with the broker.
func TestStartFails(t *testing.T) {
	n := New(Options{Broker: failing{newStage()}, Table: tableOf(t)})
	if err := n.Start(t.Context()); !errors.Is(err, errPlanted) {
		t.Errorf("%v", err)
	}
	n.control.stop(t.Context())
}
