package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/protocol"
)

func TestSubscribeRefusals(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{Subscriptions: 3}}})
	c := h.subscribed("ann", "kept")
	for _, r := range []struct {
		message string
		want    protocol.Code
		says    string
	}{
		{`{"type":"subscribe","id":1}`, protocol.CodeBadRequest, "channel"},
		{`{"type":"subscribe","id":1,"channel":"nowhere"}`, protocol.CodeNotFound, "nowhere"},
		{`{"type":"subscribe","id":1,"channel":"bad name"}`, protocol.CodeBadRequest, ""},
		{`{"type":"subscribe","id":1,"channel":"$sys"}`, protocol.CodeForbidden, "$"},
		{`{"type":"subscribe","id":1,"channel":"closed"}`, protocol.CodeForbidden, "rule closed.allow.subscribe"},
		{`{"type":"subscribe","id":1,"channel":"kept"}`, protocol.CodeConflict, "already"},
		{`{"type":"subscribe","id":1,"channel":"live","data":[]}`, protocol.CodeBadRequest, "object"},
		{`{"type":"subscribe","id":1,"channel":"live","data":{"last":"5"}}`, protocol.CodeBadRequest, "not a string"},
		{`{"type":"subscribe","id":1,"channel":"live","data":{"rate":"5"}}`, protocol.CodeBadRequest, "not a string"},
		{`{"type":"_skip","id":1,"channel":"live"}`, protocol.CodeBadRequest, "begin with _"},
		{`{"type":"_call","id":1}`, protocol.CodeBadRequest, "begin with _"},
		{`{"type":"subscribe","id":1,"channel":"live","data":{"last":0}}`, protocol.CodeBadRequest, "last"},
		{`{"type":"subscribe","id":1,"channel":"live","data":{"last":1001}}`, protocol.CodeBadRequest, "1000"},
		{`{"type":"subscribe","id":1,"channel":"live","data":{"rate":0}}`, protocol.CodeBadRequest, "rate"},
		{`{"type":"subscribe","id":1,"channel":"live","data":{"last":1},"since":{"epoch":"e","offset":1}}`, protocol.CodeBadRequest, "exclude"},
		{`{"type":"subscribe","id":1,"channel":"live","channels":["kept"]}`, protocol.CodeBadRequest, "both"},
		{`{"type":"unsubscribe","id":1,"channel":"live"}`, protocol.CodeNotSubscribed, "live"},
		{`{"type":"auth","id":1}`, protocol.CodeBadRequest, "token"},
	} {
		c.send(r.message)
		m := c.one()
		if got := code(t, m); got != r.want || !strings.Contains(string(m.Data), r.says) {
			t.Errorf("%s: %s", r.message, m.Data)
		}
	}
	// The limit at n and n+1.
	c.send(`{"type":"subscribe","id":1,"channels":["room:1","room:2","room:3"]}`)
	got := c.await(3)
	if got[0].Type != "subscribed" || got[1].Type != "subscribed" || code(t, got[2]) != protocol.CodeLimitExceeded {
		t.Error(show(got))
	}
	c.send(`{"type":"unsubscribe","channel":"room:1","id":2}`)
	c.send(`{"type":"subscribe","channel":"room:3","id":3}`)
	if got := c.await(2); got[0].Type != "unsubscribed" || got[1].Type != "subscribed" {
		t.Error(show(got))
	}
}

// The names of parameters are what they are to the letter: LAST is none, and so
// it is ignored as any other that nobody knows.
func TestParametersToTheLetter(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.publish("short", "e", "", "1")
	h.publish("short", "e", "", "2")
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"short","id":1,"data":{"LAST":2,"Rate":0}}`)
	if m := c.one(); m.Type != "subscribed" || m.Offset != 2 {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"history","channel":"short","id":2,"data":{"LIMIT":1}}`)
	if m := c.one(); m.Type != "history" || strings.Count(string(m.Data), `"offset"`) != 2 {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"presence","channel":"short","id":3,"data":{"Action":"get"}}`)
	if m := c.one(); code(t, m) != protocol.CodeBadRequest {
		t.Error(show([]protocol.Message{m}))
	}
}

func TestSubscribeMany(t *testing.T) {
	h := newHouse(t, houseOptions{})
	r := h.publish("short", "e", "", "1")
	c := h.welcomed("ann")
	c.sendf(`{"type":"subscribe","id":"x","channels":["kept","nowhere",{"channel":"short","since":{"epoch":%q,"offset":0}},{"channel":"live","data":{"rate":5}},"closed"]}`, r.Position.Epoch)
	got := c.await(6)
	// The message of short may come in between: only the answers have an order.
	want := []string{"subscribed kept", "error nowhere", "subscribed short", "subscribed live", "error closed"}
	for _, m := range got {
		if m.Type == "e" {
			continue
		}
		if m.Type+" "+m.Channel != want[0] {
			t.Fatalf("want %s: %s", want[0], show(got))
		}
		if want = want[1:]; string(m.ID) != `"x"` {
			t.Errorf("an answer has id %s", m.ID)
		}
	}
}

func TestPublish(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "kept")
	c.send(`{"type":"hello","channel":"kept","id":7,"data":{"a":[1,2]}}`)
	got := c.await(2)
	var ack, event protocol.Message
	for _, m := range got {
		if m.Type == "ack" {
			ack = m
		} else {
			event = m
		}
	}
	if string(ack.ID) != "7" || ack.Offset != 1 || ack.Channel != "kept" {
		t.Error(show(got))
	}
	if event.Type != "hello" || string(event.Data) != `{"a":[1,2]}` || event.Offset != 1 {
		t.Error(show(got))
	}
	// Without an id there is no ack.
	c.send(`{"type":"hello","channel":"kept","data":1}`)
	if m := c.one(); m.Type != "hello" || m.Offset != 2 {
		t.Error(show([]protocol.Message{m}))
	}
	// The trace is carried on, and whom a client left out is nobody else's affair.
	c.send(`{"type":"hello","channel":"kept","data":1,"traceparent":"00-0af7-b7ad-01","exclude":"x"}`)
	if m := c.one(); m.Trace != "00-0af7-b7ad-01" || m.Exclude != "" {
		t.Error(show([]protocol.Message{m}))
	}
	// A channel that keeps nothing acknowledges without an offset.
	c.send(`{"type":"e","channel":"live","id":8}`)
	if m := c.one(); m.Type != "ack" || m.Kept {
		t.Error(show([]protocol.Message{m}))
	}
}

func TestPublishRefusals(t *testing.T) {
	h := newHouse(t, houseOptions{channels: []*channel.Declaration{
		{Name: "c", Allow: open(channel.Anyone), Events: map[string]*channel.Event{"e": {Name: "e", Schema: onlyOne{}}, "free": {Name: "free"}}},
		{Name: "free", Allow: open(channel.Anyone)},
		{Name: "verbs", Allow: open(channel.Anyone), Events: map[string]*channel.Event{"histories": {Name: "histories"}, "subscriber": {Name: "subscriber", Ephemeral: true}}},
		{Name: "words", State: &channel.State{}, Allow: open(channel.Anyone), Events: map[string]*channel.Event{"typing": {Name: "typing", Ephemeral: true}}},
		{Name: "read", Allow: channel.Allow{Subscribe: channel.Anyone}},
		{Name: "s", State: &channel.State{}, Allow: open(channel.Anyone), Events: map[string]*channel.Event{"e": {Name: "e", Schema: onlyOne{}}}},
	}})
	c := h.welcomed("ann")
	for _, r := range []struct {
		message string
		want    protocol.Code
		says    string
	}{
		{`{"type":"e","channel":"c","data":2}`, protocol.CodeInvalidData, "must be 1"},
		{`{"type":"e","channel":"c"}`, protocol.CodeInvalidData, "must be 1"},
		{`{"type":"e","channel":"c","data":null}`, protocol.CodeInvalidData, "must be 1"},
		{`{"type":"e","channel":"s","key":"k","data":2}`, protocol.CodeInvalidData, "must be 1"},
		{`{"type":"e","channel":"s","data":1}`, protocol.CodeBadRequest, "no key"},
		{`{"type":"subscrbe","channel":"free","data":1}`, protocol.CodeBadRequest, `"did_you_mean":"subscribe"`},
		{`{"type":"unsubscribes","channel":"c","data":1}`, protocol.CodeBadRequest, `"did_you_mean":"unsubscribe"`},
		{`{"type":"presense","channel":"free"}`, protocol.CodeBadRequest, `"did_you_mean":"presence"`},
		{`{"type":"histroy","channel":"free"}`, protocol.CodeBadRequest, `"did_you_mean":"history"`},
		{`{"type":"_skip","channel":"free"}`, protocol.CodeBadRequest, "begin with _"},
		{`{"type":"other","channel":"c","data":1}`, protocol.CodeInvalidData, "other"},
		{`{"type":"e","channel":"read","data":1}`, protocol.CodeForbidden, "rule read.allow.publish"},
		{`{"type":"e","channel":"nowhere","data":1}`, protocol.CodeNotFound, "nowhere"},
		{`{"type":"e","channel":"$sys","data":1}`, protocol.CodeForbidden, "$"},
		{`{"type":"free","channel":"c","key":"k","data":1}`, protocol.CodeBadRequest, "key"},
		{`{"type":"free","channel":"c","dedupe":"` + strings.Repeat("d", 65) + `","data":1}`, protocol.CodeBadRequest, ""},
	} {
		c.send(r.message)
		m := c.one()
		if got := code(t, m); got != r.want || !strings.Contains(string(m.Data), r.says) {
			t.Errorf("%s: %s", r.message, m.Data)
		}
	}
	// A deletion is no value that a schema could judge.
	for _, good := range []string{`{"type":"subscriber","channel":"verbs","id":3}`, `{"type":"typing","channel":"words","id":4}`, `{"type":"e","channel":"c","data":1,"id":1}`, `{"type":"e","channel":"s","key":"k","data":null,"id":2}`} {
		c.send(good)
		if m := c.one(); m.Type != "ack" {
			t.Error(show([]protocol.Message{m}))
		}
	}
}

type onlyOne struct{}

func (onlyOne) Validate(data []byte, _ *channel.Budget) error {
	if string(data) != "1" {
		return errors.New("must be 1")
	}
	return nil
}

func TestDedupe(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	a, b := h.welcomed("ann"), h.welcomed("bob")
	n1, n2 := h.welcomed(""), h.welcomed("")
	offset := func(c *client) uint64 {
		t.Helper()
		c.send(`{"type":"e","channel":"kept","id":1,"dedupe":"same","data":1}`)
		m := c.one()
		if m.Type != "ack" {
			t.Fatal(show([]protocol.Message{m}))
		}
		return m.Offset
	}
	first := offset(a)
	if again := offset(a); again != first {
		t.Errorf("repeated at %d, first at %d", again, first)
	}
	if other := h.welcomed("ann"); offset(other) != first {
		t.Error("the same user's other connection is somebody else")
	}
	seen := map[uint64]bool{first: true}
	for _, c := range []*client{b, n1, n2} {
		o := offset(c)
		if seen[o] {
			t.Error("one client's key took another's message")
		}
		seen[o] = true
	}
}

func TestCalls(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{PendingRequests: 2}}, log: &log})
	release := make(chan struct{})
	h.server.HandleCall("add", func(_ context.Context, c *Call) (json.RawMessage, error) {
		var in []int
		if err := json.Unmarshal(c.Data, &in); err != nil {
			return nil, protocol.Errorf(protocol.CodeInvalidData, "give me numbers, %s", c.User)
		}
		return fmt.Appendf(nil, "%d", in[0]+in[1]), nil
	})
	h.server.HandleCall("wait", func(context.Context, *Call) (json.RawMessage, error) { <-release; return nil, nil })
	h.server.HandleCall("fail", func(context.Context, *Call) (json.RawMessage, error) { return nil, errors.New("inner secret") })
	h.server.HandleCall("crash", func(context.Context, *Call) (json.RawMessage, error) { panic("planted in a call") })

	c := h.welcomed("ann")
	c.send(`{"type":"add","id":1,"data":[2,3]}`)
	if m := c.one(); m.Type != "ack" || string(m.Data) != "5" || string(m.ID) != "1" {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"add","id":2,"data":"x"}`)
	if m := c.one(); code(t, m) != protocol.CodeInvalidData || !strings.Contains(string(m.Data), "ann") {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"nothing","id":3}`)
	if m := c.one(); code(t, m) != protocol.CodeNoBackend {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"fail","id":4}`)
	if m := c.one(); code(t, m) != protocol.CodeBackendFailed || strings.Contains(string(m.Data), "secret") {
		t.Error(show([]protocol.Message{m}))
	}
	// Calls overlap, up to the limit.
	c.send(`{"type":"wait","id":5}`)
	c.send(`{"type":"wait","id":6}`)
	c.send(`{"type":"wait","id":7}`)
	if m := c.one(); code(t, m) != protocol.CodeLimitExceeded || string(m.ID) != "7" {
		t.Error(show([]protocol.Message{m}))
	}
	close(release)
	c.await(2)

	other := h.welcomed("bob")
	c.send(`{"type":"crash","id":8}`)
	if got := code(t, c.one()); got != protocol.CodeInternal {
		t.Errorf("told %s", got)
	}
	if got := c.closed(); got != protocol.CloseInternal {
		t.Errorf("closed with %d", got)
	}
	if !strings.Contains(log.String(), "planted in a call") {
		t.Error("the panic's cause is not in the log")
	}
	other.send(`{"type":"ping","id":9}`)
	if m := other.one(); m.Type != "pong" {
		t.Error("somebody else's panic was felt")
	}
}

// TestLateBroker: a broker that answers from elsewhere and later changes
// nothing about the order of answers.
func TestLateBroker(t *testing.T) {
	h := newHouse(t, houseOptions{broker: &lateBroker{driver: memory.New(memory.Options{})}})
	for n := range 30 {
		h.publish("short", "e", "", fmt.Sprint(n))
	}
	epoch := h.publish("short", "e", "", "30").Position.Epoch
	c := h.welcomed("ann")
	c.sendf(`{"type":"subscribe","id":1,"channels":["kept",{"channel":"short","since":{"epoch":%q,"offset":3}},{"channel":"trim","data":{"last":3}},"live"]}`, epoch)
	c.send(`{"type":"e","channel":"kept","id":2,"data":1}`)
	c.send(`{"type":"unsubscribe","channel":"live","id":3}`)
	var answers []string
	var short []protocol.Message
	for _, m := range c.await(4 + 28 + 1 + 1 + 1) {
		if m.Channel == "short" && m.Type == "e" {
			short = append(short, m)
			continue
		}
		answers = append(answers, m.Type+" "+m.Channel)
	}
	if end := run(t, 3, short); end != 31 {
		t.Errorf("short comes to %d", end)
	}
	if got := strings.Join(answers[:4], ", "); got != "subscribed kept, subscribed short, subscribed trim, subscribed live" {
		t.Error(answers)
	}
	c.leave()
	h.settle()
	if n := h.node.Channels(); n != 0 {
		t.Errorf("%d channels are still followed", n)
	}
}

// TestPublishAllocations is the budget of an inbound publish with an ack, from the
// decoded frame to the nudge: the entry and its bytes. What delivery takes is the
// budget of TestSweepAllocations there.
func TestPublishAllocations(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	link := &nullLink{fakeLink: c.link}
	h.do(func() { c.x.link = link })
	c.send(`{"type":"subscribe","channel":"kept","id":1}`)
	frame := []byte(`{"type":"message","channel":"kept","id":17,"data":{"text":"hello"}}`)
	h.do(func() {
		var m protocol.Message
		one := func() {
			if err := protocol.DecodeJSON(frame, &m); err != nil {
				t.Error(err)
			}
			c.x.Message(&m)
		}
		for range 3000 { // rings and histories reach their size
			one()
		}
		if n := testing.AllocsPerRun(1000, one); n > 2.1 {
			t.Errorf("a publish and its delivery allocate %v times, want 2", n)
		}
	})
	h.settle()
	if link.offered == 0 || link.sent == 0 {
		t.Error("nothing was delivered, or nothing acknowledged")
	}
}

// nullLink takes everything and keeps nothing.
type nullLink struct {
	*fakeLink
	offered, sent int
}

func (l *nullLink) Offer(p []byte) int { l.offered += len(p); return len(p) }
func (l *nullLink) Send(event.Event)   { l.sent++ }
func (l *nullLink) Blocked() bool      { return false }
