package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/channel"
	"ringdown/internal/schema"
	"ringdown/protocol"
)

// shaped declares an event whose data has a schema.
func shaped(t testing.TB, name, src string) *channel.Event {
	t.Helper()
	shape, err := schema.Compile(name, []byte(src), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &channel.Event{Name: name, Schema: shape}
}

func events(list ...*channel.Event) map[string]*channel.Event {
	m := make(map[string]*channel.Event, len(list))
	for _, e := range list {
		m[e.Name] = e
	}
	return m
}

// stall is a rule that never comes to an end within its budget.
type stall struct{ channel.Rule }

func (stall) Allow(*channel.Request) (bool, error) { return true, channel.ErrBudget }

type broken struct{ channel.Rule }

func (broken) Allow(*channel.Request) (bool, error) { return true, errors.New("a secret of the rule") }

// refusals is a node with a channel for each way to be refused.
func refusals(t *testing.T, hook Hook) *Node {
	t.Helper()
	typed := kept("typed")
	tight := shaped(t, "tight", `{"type":"array","items":{"type":"number"}}`)
	tight.SchemaSteps = 10
	typed.Events = events(shaped(t, "move", `{"type":"object","required":["x"]}`), tight, shaped(t, "bare", `{"type":"null"}`), &channel.Event{Name: "any"}, &channel.Event{Name: "histori"})
	state := kept("state")
	state.History, state.State = nil, &channel.State{}
	state.Events = events(shaped(t, "move", `{"type":"object"}`), &channel.Event{Name: "soft", Ephemeral: true})
	both := kept("both")
	both.State = &channel.State{}
	closed, signed, slow, unsure := kept("closed:{n}"), kept("signed"), kept("slow"), kept("unsure")
	closed.Allow.Publish, signed.Allow.Publish, slow.Allow.Publish, unsure.Allow.Publish = channel.None, channel.SignedIn, stall{channel.Anyone}, broken{channel.Anyone}
	n := begun(t, Options{Table: tableOf(t, kept("open"), fleeting("none"), typed, state, both, closed, signed, slow, unsure)})
	n.SetPublishHook(hook)
	return n
}

// TestRefusalsOfPublish: each has its code and what refused, and none of them
// reaches a log.
func TestRefusalsOfPublish(t *testing.T) {
	denied, err := auth.Assume(json.RawMessage(`{"sub":"ann","ringdown":{"open":["-publish"]}}`), "")
	if err != nil {
		t.Fatal(err)
	}
	hooked := func(_ context.Context, _ *Caller, m *protocol.Message) error {
		switch string(m.Data) {
		case `"refuse"`:
			return protocol.Errorf(protocol.CodeConflict, "not now").WithReason("game_over")
		case `"fail"`:
			return errors.New("a secret of the application")
		}
		return nil
	}
	ann, nobody := &Caller{User: "ann"}, &Caller{}
	numbers := `[` + strings.Repeat("1,", 50) + `1]`
	type want struct {
		code                protocol.Code
		rule, limit, reason string
		meant               string
	}
	for _, c := range []struct {
		name string
		who  *Caller
		m    protocol.Message
		want want
	}{
		{"a bad name", ann, protocol.Message{Channel: "a b"}, want{code: protocol.CodeBadRequest}},
		{"the server's own", application, protocol.Message{Channel: "$presence:open"}, want{code: protocol.CodeForbidden}},
		{"not declared", ann, protocol.Message{Channel: "nowhere"}, want{code: protocol.CodeNotFound}},
		{"closed", ann, protocol.Message{Channel: "closed:1"}, want{code: protocol.CodeForbidden, rule: "closed:{n}.allow.publish"}},
		{"not signed in", nobody, protocol.Message{Channel: "signed"}, want{code: protocol.CodeForbidden, rule: "signed.allow.publish"}},
		{"by the token", &Caller{User: "ann", Caps: denied.Caps}, protocol.Message{Channel: "open"}, want{code: protocol.CodeForbidden, reason: "capability"}},
		{"a dear rule", ann, protocol.Message{Channel: "slow"}, want{code: protocol.CodeRateLimited, limit: "limits.connection.rule_steps"}},
		{"an undecided rule", ann, protocol.Message{Channel: "unsure"}, want{code: protocol.CodeForbidden, rule: "unsure.allow.publish"}},
		{"a bad event", ann, protocol.Message{Channel: "open", Type: "a\nb"}, want{code: protocol.CodeBadRequest}},
		{"a verb", ann, protocol.Message{Channel: "open", Type: protocol.TypeSubscribe}, want{code: protocol.CodeBadRequest}},
		{"almost a verb", ann, protocol.Message{Channel: "typed", Type: "subscrbe"}, want{code: protocol.CodeBadRequest, meant: protocol.TypeSubscribe}},
		{"almost a verb where any event goes", ann, protocol.Message{Channel: "open", Type: "subscrbe"}, want{code: protocol.CodeBadRequest, meant: protocol.TypeSubscribe}},
		{"an event that is not declared", ann, protocol.Message{Channel: "typed", Type: "jump"}, want{code: protocol.CodeInvalidData, reason: "event"}},
		{"data of another shape", ann, protocol.Message{Channel: "typed", Type: "move", Data: []byte(`{"y":1}`)}, want{code: protocol.CodeInvalidData, reason: "schema"}},
		{"no data", ann, protocol.Message{Channel: "typed", Type: "move"}, want{code: protocol.CodeInvalidData, reason: "schema"}},
		{"bytes where JSON is due", ann, protocol.Message{Channel: "typed", Type: "move", Data: []byte{1}, Binary: true}, want{code: protocol.CodeInvalidData, reason: "schema"}},
		{"the server's data too", application, protocol.Message{Channel: "typed", Type: "move", Data: []byte(`1`)}, want{code: protocol.CodeInvalidData, reason: "schema"}},
		{"dear data", ann, protocol.Message{Channel: "typed", Type: "tight", Data: []byte(numbers)}, want{code: protocol.CodeInvalidData, limit: "limits.connection.schema_steps"}},
		{"no key", ann, protocol.Message{Channel: "state", Type: "move", Data: []byte(`{}`)}, want{code: protocol.CodeBadRequest, reason: "key"}},
		{"a key where none is kept", ann, protocol.Message{Channel: "open", Key: "k"}, want{code: protocol.CodeBadRequest}},
		{"a bad key", ann, protocol.Message{Channel: "both", Key: "a\nb"}, want{code: protocol.CodeBadRequest}},
		{"bytes of no key's deletion", ann, protocol.Message{Channel: "state", Type: "move", Key: "k", Data: []byte("null"), Binary: true}, want{code: protocol.CodeInvalidData, reason: "schema"}},
		{"a bad dedupe key", ann, protocol.Message{Channel: "open", Dedupe: "a\nb"}, want{code: protocol.CodeBadRequest}},
		{"a refusal of the hook", ann, protocol.Message{Channel: "open", Data: []byte(`"refuse"`)}, want{code: protocol.CodeConflict, reason: "game_over"}},
		{"a hook that fails", ann, protocol.Message{Channel: "open", Data: []byte(`"fail"`)}, want{code: protocol.CodeInternal}},
	} {
		for _, hook := range []Hook{nil, hooked} {
			if hook == nil && strings.Contains(c.name, "hook") {
				continue
			}
			n := refusals(t, hook)
			n.broker.(*stage).opened = func(name string, _ *channel.Declaration, l broker.Log) broker.Log {
				return &brokertest.Log{Log: l, OnAppend: func(*broker.Publication, broker.Done) { t.Errorf("%s: it was accepted", c.name) }}
			}
			m := c.m
			if m.Type == "" {
				m.Type = "e"
			}
			var h heard
			n.Publish(c.who, &m, &h)
			if h.err == nil || h.calls != 1 {
				t.Errorf("%s: %v, told %d times", c.name, h.err, h.calls)
				continue
			}
			e := protocol.AsError(h.err)
			if got := (want{e.Code, e.Rule, e.Limit, e.Reason, e.DidYouMean}); got != c.want {
				t.Errorf("%s: %+v, want %+v: %s", c.name, got, c.want, e.Message)
			}
			if strings.Contains(e.Message, "secret") || e.Message == "" {
				t.Errorf("%s: the client is told %q", c.name, e.Message)
			}
			if n.Metrics().Refused.Load() != 1 || n.Metrics().Published.Load() != 0 {
				t.Errorf("%s: %d refused, %d published", c.name, n.Metrics().Refused.Load(), n.Metrics().Published.Load())
			}
		}
	}
}

// TestAcceptedByPublish: what is on the right side of each of those lines.
func TestAcceptedByPublish(t *testing.T) {
	ann := &Caller{User: "ann"}
	for _, c := range []struct {
		name   string
		who    *Caller
		m      protocol.Message
		offset uint64
	}{
		{"any event where none is declared", ann, protocol.Message{Channel: "open", Type: "jump"}, 1},
		{"an event much like a verb that is declared", ann, protocol.Message{Channel: "typed", Type: "histori"}, 1},
		{"the server where nobody may", application, protocol.Message{Channel: "closed:1"}, 1},
		{"signed in", ann, protocol.Message{Channel: "signed"}, 1},
		{"kept nowhere", ann, protocol.Message{Channel: "none"}, 0},
		{"data of the shape", ann, protocol.Message{Channel: "typed", Type: "move", Data: []byte(`{"x":1}`)}, 1},
		{"no data where null fits", ann, protocol.Message{Channel: "typed", Type: "bare"}, 1},
		{"an event without a schema", ann, protocol.Message{Channel: "typed", Type: "any", Data: []byte{1}, Binary: true}, 1},
		{"a key", ann, protocol.Message{Channel: "state", Type: "move", Key: "k", Data: []byte(`{}`)}, 1},
		{"a deletion, whatever the shape", ann, protocol.Message{Channel: "state", Type: "move", Key: "k", Data: []byte(`null`)}, 1},
		{"no key on what is ephemeral", ann, protocol.Message{Channel: "state", Type: "soft"}, 0},
		{"no key where there is history", ann, protocol.Message{Channel: "both"}, 1},
		{"a key where there is history", ann, protocol.Message{Channel: "both", Key: "k"}, 1},
	} {
		n := refusals(t, nil)
		m := c.m
		if m.Type == "" {
			m.Type = "e"
		}
		var h heard
		n.Publish(c.who, &m, &h)
		if h.err != nil || h.calls != 1 || h.receipt.Position.Offset != c.offset || h.awaited != 0 || h.spends != 1 {
			t.Errorf("%s: %+v", c.name, h)
		}
		if n.Metrics().Refused.Load() != 0 || n.Metrics().Published.Load() != 1 {
			t.Errorf("%s: %d refused, %d published", c.name, n.Metrics().Refused.Load(), n.Metrics().Published.Load())
		}
	}
}

// TestWhatTheBrokerIsHanded: what a message says of itself arrives, what it may not
// say does not, and the user does only where the channel shows it.
func TestWhatTheBrokerIsHanded(t *testing.T) {
	shows := kept("shows")
	shows.ShowFrom = true
	shows.Events = events(&channel.Event{Name: "soft", Ephemeral: true}, &channel.Event{Name: "hard"})
	s := newStage()
	var got broker.Publication
	s.opened = func(_ string, _ *channel.Declaration, l broker.Log) broker.Log {
		return &brokertest.Log{Log: l, OnAppend: func(p *broker.Publication, d broker.Done) {
			got = *p
			d.Appended(broker.Receipt{}, nil)
		}}
	}
	n := begun(t, Options{Broker: s, Table: tableOf(t, shows, kept("hides"))})
	for _, c := range []struct {
		who       *Caller
		channel   string
		event     string
		from      string
		dedupe    string
		ephemeral bool
	}{
		{&Caller{User: "ann"}, "shows", "soft", "ann", "3 ann k", true},
		{&Caller{User: "ann"}, "shows", "hard", "ann", "3 ann k", false},
		{&Caller{User: "ann"}, "hides", "soft", "", "3 ann k", false},
		{&Caller{Server: true, User: "bob"}, "shows", "hard", "bob", "3 bob k", false},
		{&Caller{Server: true}, "shows", "hard", "", "0  k", false},
		{&Caller{Instance: "i", Connection: func() string { return "c" }}, "hides", "e", "", "a i k", false},
		{&Caller{Connection: func() string { return "c" }}, "hides", "e", "", "c c k", false},
		{&Caller{}, "hides", "e", "", "c  k", false},
	} {
		m := protocol.Message{Type: c.event, Channel: c.channel, Data: []byte{1}, Binary: true, Trace: "t", Dedupe: "k",
			From: "forged", ID: []byte("7"), Offset: 9, Prev: 8, Kept: true, Time: 5}
		var h heard
		n.Publish(c.who, &m, &h)
		want := broker.Publication{Dedupe: c.dedupe, Ephemeral: c.ephemeral,
			Message: protocol.Message{Type: c.event, Channel: c.channel, Data: []byte{1}, Binary: true, Trace: "t", From: c.from}}
		if h.err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%v\n got %+v\nwant %+v", h.err, got, want)
		}
	}
}

// TestDedupeScopes: the same key of the same user is one message, by whatever
// door; of others it is their own.
func TestDedupeScopes(t *testing.T) {
	n := begun(t, Options{Table: tableOf(t, kept("c"))})
	name := func(s string) func() string { return func() string { return s } }
	for i, c := range []struct {
		who       *Caller
		duplicate bool
	}{
		{&Caller{User: "ann", Connection: name("1")}, false},
		{&Caller{User: "ann"}, true},
		{&Caller{User: "bob"}, false},
		{&Caller{Instance: "x", Connection: name("1")}, false},
		{&Caller{Instance: "x", Connection: name("2")}, true},
		{&Caller{Connection: name("1")}, false},
		{&Caller{Connection: name("1")}, true},
		{&Caller{Connection: name("2")}, false},
		{application, false},
		{application, true},
	} {
		var h heard
		n.Publish(c.who, &protocol.Message{Type: "e", Channel: "c", Data: []byte("1"), Dedupe: "k"}, &h)
		if h.err != nil || h.receipt.Duplicate != c.duplicate {
			t.Errorf("number %d: %+v", i, h)
		}
	}
	var h heard
	n.Publish(application, &protocol.Message{Type: "e", Channel: "c", Data: []byte("2"), Dedupe: "k"}, &h)
	if !errors.Is(h.err, broker.ErrReused) {
		t.Errorf("something else under the key: %v", h.err)
	}
}

// TestHookIsAskedOfUsers and not of the application, after the rules, and sees a
// caller and a message that are its own.
func TestHookIsAskedOfUsers(t *testing.T) {
	n := refusals(t, nil)
	var callers []*Caller
	var messages []*protocol.Message
	n.SetPublishHook(func(_ context.Context, c *Caller, m *protocol.Message) error {
		callers, messages = append(callers, c), append(messages, m)
		return nil
	})
	connection := "first"
	who := &Caller{User: "ann", Instance: "i", Door: "ws", RawClaims: json.RawMessage(`{"a":1}`), Budget: new(channel.Budget),
		Claims: func() map[string]any { return nil }, Connection: func() string { return connection }}
	data := []byte(`"one"`)
	m := protocol.Message{Type: "e", Channel: "open", Data: data}
	var h heard
	n.Publish(who, &m, &h)
	connection, who.User = "second", "bob"
	copy(data, `"two"`)
	n.Publish(who, &m, &h)
	if h.calls != 2 || h.err != nil || h.awaited != 2 || len(callers) != 2 {
		t.Fatalf("%+v, asked %d times", h, len(callers))
	}
	for i, want := range []string{"ann first one", "bob second two"} {
		c := callers[i]
		if got := c.User + " " + c.Connection() + " " + strings.Trim(string(messages[i].Data), `"`); got != want {
			t.Errorf("the hook kept %q, want %q", got, want)
		}
		if c.Instance != "i" || c.Door != "ws" || string(c.RawClaims) != `{"a":1}` || c.Claims != nil || c.Budget != nil || c == who {
			t.Errorf("the hook kept %+v", c)
		}
	}
	for _, quiet := range []*protocol.Message{{Type: "e", Channel: "closed:1"}, {Type: "jump", Channel: "typed"}, {Type: "e", Channel: "open", Dedupe: "\n"}} {
		n.Publish(who, quiet, new(heard))
	}
	say(t, n, protocol.Message{Channel: "open", Data: []byte("1")})
	n.SetPublishHook(nil)
	n.Publish(who, &m, &h)
	if len(callers) != 2 || h.awaited != 2 || h.calls != 3 || h.err != nil {
		t.Errorf("the hook was asked %d times", len(callers))
	}
}

// TestHookChangesData, which is then judged as if it had come so.
func TestHookChangesData(t *testing.T) {
	n := refusals(t, func(_ context.Context, _ *Caller, m *protocol.Message) error {
		m.Data = []byte(strings.Replace(string(m.Data), "z", "x", 1))
		return nil
	})
	g := new(counter)
	c := joined(t, n, "typed", g)
	defer c.Leave(g)
	for _, step := range []struct {
		data   string
		reason string
	}{{`{"z":1}`, ""}, {`{"x":1}`, ""}, {`{"y":1}`, "schema"}} {
		var h heard
		n.Publish(&Caller{}, &protocol.Message{Type: "move", Channel: "typed", Data: []byte(step.data)}, &h)
		if e := protocol.AsError(h.err); (e == nil) != (step.reason == "") || e != nil && e.Reason != step.reason {
			t.Errorf("%s: %v", step.data, h.err)
		}
		if h.spends != 1 || h.spent == 0 {
			t.Errorf("%s: %d steps were charged, %d times", step.data, h.spent, h.spends)
		}
	}
	if got, _, _ := texts(c, channel.Cursor{}, false); g.nudges.Load() != 2 || strings.Contains(got, "z") {
		t.Errorf("%d nudges for %s", g.nudges.Load(), got)
	}
}

// TestDearDataIsJudgedElsewhere: what takes more than a fraction of a millisecond
// goes through the door's Await, and is charged once with all that it took.
func TestDearDataIsJudgedElsewhere(t *testing.T) {
	d := kept("c")
	d.Events = events(shaped(t, "list", `{"type":"array","items":{"type":"number"}}`))
	n := begun(t, Options{Table: tableOf(t, d)})
	list := func(size int, last string) []byte {
		return []byte(`[` + strings.Repeat("1,", size) + last + `]`)
	}
	// judged returns how many steps some data takes.
	judged := func(data []byte) int {
		steps, err := judge(d, d.Events["list"], &protocol.Message{Type: "list", Data: data}, math.MaxInt)
		if err != nil && protocol.AsError(err).Reason != "schema" {
			t.Fatal(err)
		}
		return steps
	}
	for _, c := range []struct {
		data    []byte
		awaited int
		code    protocol.Code
	}{
		{list(10, "1"), 0, ""},
		{list(10, `"x"`), 0, protocol.CodeInvalidData},
		{list(SmallSteps, "1"), 1, ""},
		{list(SmallSteps, `"x"`), 1, protocol.CodeInvalidData},
	} {
		var h heard
		n.Publish(application, &protocol.Message{Type: "list", Channel: "c", Data: c.data}, &h)
		var code protocol.Code
		if h.err != nil {
			code = protocol.AsError(h.err).Code
		}
		if h.awaited != c.awaited || code != c.code || h.spends != 1 || h.calls != 1 {
			t.Errorf("%d bytes: %s, %+v", len(c.data), code, h)
		}
		if small := h.spent <= SmallSteps; small != (c.awaited == 0) || h.spent == 0 {
			t.Errorf("%d bytes: %d steps were charged", len(c.data), h.spent)
		}
	}
	data := list(SmallSteps, "1")
	var h heard
	n.Publish(application, &protocol.Message{Type: "list", Channel: "c", Data: data}, &h)
	if want := judged(data); h.spent != want {
		t.Errorf("%d steps were charged, %d taken", h.spent, want)
	}
}

// TestCallerWhoLeavesMeanwhile is told nothing, and nothing of it is published.
func TestCallerWhoLeavesMeanwhile(t *testing.T) {
	n := refusals(t, func(context.Context, *Caller, *protocol.Message) error { return nil })
	h := heard{gone: true}
	n.Publish(&Caller{}, &protocol.Message{Type: "e", Channel: "open"}, &h)
	if h.awaited != 1 || h.calls != 0 || n.Metrics().Published.Load() != 0 {
		t.Errorf("%+v", h)
	}
}

// TestExplainJudgesTheMessage to the end of what it may take, and names the limit.
func TestExplainJudgesTheMessage(t *testing.T) {
	table := refusals(t, nil).Table()
	for data, limit := range map[string]string{`[1]`: "", `[` + strings.Repeat("1,", 50) + `1]`: "limits.connection.schema_steps"} {
		d := Explain(table, &Caller{}, Action{Op: channel.OpPublish, Message: &protocol.Message{Type: "tight", Data: []byte(data)}}, "typed")
		if d.Allowed != (limit == "") || d.Err != nil && d.Err.Limit != limit {
			t.Errorf("%s: %+v", data, d)
		}
	}
	d := Explain(table, &Caller{}, Action{Op: channel.OpPublish}, "unsure")
	if d.Allowed || d.Cause == nil || d.Err == nil || d.Err.Rule != "unsure.allow.publish" {
		t.Errorf("%+v", d)
	}
}
