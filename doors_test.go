package ringdown_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"ringdown"
	"ringdown/protocol"
)

const doorsConf = `
listen: 127.0.0.1:0
auth:
  jwt: {secret: env:SECRET, algorithm: HS256}
  keys: [env:KEY]
limits: {connection: {messages_per_second: 1, messages_burst: 80, schema_steps: 1000, rule_steps: 10000}}
channels:
  - name: open:{name}
    history: {messages: 100}
    state: {}
    presence: true
    allow: {subscribe: signed_in, publish: signed_in, history: signed_in, presence: signed_in}
  - name: plain:{name}
    history: {messages: 100}
    allow: {publish: signed_in}
  - name: keyed:{name}
    state: {}
    allow: {publish: signed_in}
  - name: ruled:{name}
    history: {messages: 100}
    state: {}
    presence: true
    allow: {subscribe: 'user == "bob"', publish: 'user == "bob"', history: 'user == "bob"', presence: 'user == "bob"'}
  - name: denied:{name}
    history: {messages: 100}
    state: {}
    allow: {publish: signed_in}
  - name: dear:{name}
    history: {messages: 100}
    state: {}
    allow: {publish: 'claims.list.exists(a, claims.list.exists(b, claims.list.exists(c, a + b + c == 1)))'}
  - name: shaped:{name}
    history: {messages: 100}
    state: {}
    events: {list: {schema: {type: array, items: {type: integer}}}}
    allow: {publish: signed_in}
`

// seen is what a hook was shown.
type seen struct {
	User, Claims, Channel, Event, Key, Data string
	Transport                               string
	Connected, Addressed                    bool
}

// witness is the application and the log of one server.
type witness struct {
	mu    sync.Mutex
	calls []seen
	lines bytes.Buffer
}

func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.Write(p)
}

// onPublish is the hook of the tests.
func (w *witness) onPublish(_ context.Context, c *ringdown.Connection, m *ringdown.Message) error {
	w.mu.Lock()
	var claims struct{ Sub string }
	_ = json.Unmarshal(c.Claims, &claims) // what is no JSON leaves it empty, which is noticed
	w.calls = append(w.calls, seen{c.User, claims.Sub, m.Channel, m.Event, m.Key, string(m.Data), c.Transport, c.ID != "", strings.HasPrefix(c.RemoteAddr, "127.0.0.1:")})
	w.mu.Unlock()
	switch m.Event {
	case "refused":
		return &protocol.Error{Code: protocol.CodeConflict, Message: "sold out", Reason: "sold_out"}
	case "failing":
		return errors.New("the database is away")
	case "changed":
		m.Data = []byte(`"by the hook"`)
	case "broken":
		m.Data = []byte(`{`)
	}
	return nil
}

// take returns what happened since the last time.
func (w *witness) take(t *testing.T) (calls []seen, lines []map[string]any) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range strings.Split(strings.TrimSpace(w.lines.String()), "\n") {
		var line map[string]any
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] == "refused" {
			delete(line, "time")
			lines = append(lines, line)
		}
	}
	calls, w.calls = w.calls, nil
	w.lines.Reset()
	return calls, lines
}

// doorCase is one thing that somebody does, and what is to come of it.
type doorCase struct {
	name   string
	said   []said
	want   told // of the last
	calls  int  // of the hook
	kept   []string
	parsed bool // it is refused where a message is read, before anybody is asked
	users  bool // it is refused to users only
}

func ok(channel, event, data string) said { return said{"open:" + channel, event, "k", data, ""} }

var doorCases = []doorCase{
	{name: "accepted", said: []said{ok("a", "note", "1")}, calls: 1, kept: []string{"1"}},
	{name: "deleted", said: []said{ok("b", "note", "1"), ok("b", "note", "null")}, calls: 2, kept: []string{"1", "null"}},
	{name: "an undeclared channel", said: []said{{"nowhere", "note", "k", "1", ""}}, want: told{Code: "not_found"}},
	{name: "the server's own channel", said: []said{{"$sys", "note", "k", "1", ""}}, want: told{Code: "forbidden"}},
	{name: "by rule", said: []said{{"ruled:a", "note", "k", "1", ""}}, want: told{Code: "forbidden", Rule: "ruled:{name}.allow.publish"}, users: true},
	{name: "a delete by rule", said: []said{{"ruled:b", "note", "k", "null", ""}}, want: told{Code: "forbidden", Rule: "ruled:{name}.allow.publish"}, users: true},
	{name: "by capability", said: []said{{"denied:a", "note", "k", "1", ""}}, want: told{Code: "forbidden", Reason: "capability"}, users: true},
	{name: "a rule that takes too much", said: []said{{"dear:a", "note", "k", "1", ""}}, want: told{Code: "forbidden", Rule: "dear:{name}.allow.publish"}, users: true},
	{name: "an undeclared event", said: []said{{"shaped:a", "other", "k", "1", ""}}, want: told{Code: "invalid_data", Reason: "event"}},
	{name: "a misspelt verb", said: []said{ok("c", "histroy", "1")}, want: told{Code: "bad_request", DidYouMean: "history"}},
	{name: "a name that is kept", said: []said{ok("d", "_later", "1")}, want: told{Code: "bad_request"}},
	{name: "a name that is kept, nowhere", said: []said{{"nowhere", "_later", "k", "1", ""}}, want: told{Code: "bad_request"}},
	{name: "a verb of the server", said: []said{ok("e", "welcome", "1")}, want: told{Code: "bad_request"}},
	{name: "against the schema", said: []said{{"shaped:b", "list", "k", `["x"]`, ""}}, want: told{Code: "invalid_data", Reason: "schema"}, calls: 1},
	{name: "over the schema's budget", said: []said{{"shaped:c", "list", "k", "[" + strings.Repeat("1,", 2000) + "1]", ""}},
		want: told{Code: "invalid_data", Limit: "limits.connection.schema_steps"}, calls: 1},
	{name: "a key on a plain channel", said: []said{{"plain:a", "note", "k", "1", ""}}, want: told{Code: "bad_request"}},
	{name: "no key on a state channel", said: []said{{"keyed:a", "note", "", "1", ""}}, want: told{Code: "bad_request", Reason: "key"}},
	{name: "a bad dedupe key", said: []said{{"open:f", "note", "k", "1", strings.Repeat("x", 65)}}, want: told{Code: "bad_request"}, parsed: true},
	{name: "a dedupe key of control characters", said: []said{{"open:g", "note", "k", "1", "a\x01"}}, want: told{Code: "bad_request"}},
	{name: "the same dedupe key twice", said: []said{{"open:h", "note", "k", "1", "d"}, {"open:h", "note", "k", "1", "d"}}, calls: 2, kept: []string{"1"}},
	{name: "a dedupe key for something else", said: []said{{"open:i", "note", "k", "1", "d"}, {"open:i", "note", "k", "2", "d"}},
		want: told{Code: "invalid_data"}, calls: 2, kept: []string{"1"}},
	{name: "the hook refuses", said: []said{ok("j", "refused", "1")}, want: told{Code: "conflict", Reason: "sold_out"}, calls: 1, users: true},
	{name: "the hook fails", said: []said{ok("k", "failing", "1")}, want: told{Code: "unavailable", Reason: "hook"}, calls: 1, users: true},
	{name: "the hook breaks the data", said: []said{ok("l", "broken", "1")}, want: told{Code: "unavailable", Reason: "hook"}, calls: 1, users: true},
	{name: "the hook changes the data", said: []said{ok("m", "changed", "1")}, calls: 1, kept: []string{`"by the hook"`}},
}

// outcome is all that there is to be seen of a case.
type outcome struct {
	Told  told
	Kept  []string
	Calls []seen
	Lines []map[string]any
}

// TestDoors: whatever door a user's message comes in by, the same is decided, asked,
// stored, answered and logged.
func TestDoors(t *testing.T) {
	all := map[string]map[string]outcome{}
	for name, d := range doors {
		got := map[string]outcome{}
		all[name] = got
		t.Run(name, func(t *testing.T) {
			w := &witness{}
			s := start(t, ringdown.Options{Config: []byte(doorsConf), Logger: slog.New(slog.NewJSONHandler(w, nil))})
			s.OnPublish(w.onPublish)
			say := d.open(t, s)
			for _, c := range doorCases {
				if o, known := c.try(t, s, w, say); known {
					got[c.name] = o
					c.check(t, d, o)
				}
			}
			overRate(t, d, w, say)
		})
	}
	for name, got := range all {
		for _, c := range doorCases {
			o, known := got[c.name]
			if !known || doors[name].server || c.parsed {
				continue
			}
			if one, other := alike(all["websocket"][c.name]), alike(o); !reflect.DeepEqual(one, other) {
				t.Errorf("%s: by websocket\n%+v\nand by %s\n%+v", c.name, one, name, other)
			}
		}
	}
}

// alike takes away what differs from door to door.
func alike(o outcome) outcome {
	for i := range o.Calls {
		o.Calls[i].Transport, o.Calls[i].Connected = "", false
	}
	for _, line := range o.Lines {
		delete(line, "door")
		delete(line, "connection")
	}
	return o
}

func (c *doorCase) try(t *testing.T, s *ringdown.Server, w *witness, say func(p said) (told, bool)) (o outcome, known bool) {
	t.Helper()
	for _, p := range c.said {
		if o.Told, known = say(p); !known {
			return o, false
		}
	}
	o.Calls, o.Lines = w.take(t)
	// Of a channel without history nothing is to be kept in any case.
	page, _ := s.History(t.Context(), c.said[0].channel, ringdown.HistoryRange{})
	for _, m := range page.Messages {
		o.Kept = append(o.Kept, string(m.Data))
	}
	return o, true
}

// check holds what came of a case against what should, by one door.
func (c *doorCase) check(t *testing.T, d door, o outcome) {
	t.Helper()
	want, kept, calls := c.want, c.kept, c.calls
	if d.server {
		if c.users {
			want, kept = told{}, nil
			for _, p := range c.said {
				kept = append(kept, p.data)
			}
		}
		if calls = 0; c.name == "the hook changes the data" {
			kept = []string{"1"}
		}
	}
	got := o.Told
	got.Message, got.Retryable, got.Offset = "", false, 0
	if got != want {
		t.Errorf("%s: %+v, want %+v", c.name, o.Told, want)
	}
	if !slices.Equal(o.Kept, kept) {
		t.Errorf("%s: %q is kept, want %q", c.name, o.Kept, kept)
	}
	if len(o.Calls) != calls {
		t.Errorf("%s: the hook was asked %d times, want %d", c.name, len(o.Calls), calls)
	}
	for _, call := range o.Calls {
		if call.User != "ann" || call.Claims != "ann" || call.Transport != d.name || call.Connected != d.connected || !call.Addressed {
			t.Errorf("%s: the hook saw %+v", c.name, call)
		}
	}
	if !c.parsed {
		checkLines(t, d, c.name, want, o.Lines)
	}
}

// checkLines holds the log against what was told.
func checkLines(t *testing.T, d door, name string, want told, lines []map[string]any) {
	t.Helper()
	switch {
	case want.Code == "" || d.silent:
		if len(lines) > 0 {
			t.Errorf("%s: the log has %v", name, lines)
		}
		return
	case len(lines) != 1:
		t.Errorf("%s: the log has %d lines: %v", name, len(lines), lines)
		return
	}
	line := lines[0]
	text := func(name string) string { v, _ := line[name].(string); return v }
	user := "ann"
	if d.server {
		user = ""
	}
	if text("code") != want.Code || text("rule") != want.Rule || text("limit") != want.Limit || text("door") != d.name || text("action") != "publish" ||
		text("user") != user || text("address") != "127.0.0.1" || text("channel") == "" || (text("connection") != "") != d.connected || text("reason") == "" {
		t.Errorf("%s: the log has %v", name, line)
	}
}

// overRate publishes until that is too often.
func overRate(t *testing.T, d door, w *witness, say func(p said) (told, bool)) {
	t.Helper()
	for range 200 {
		o, _ := say(ok("rate", "note", "1"))
		_, lines := w.take(t)
		if o.Code == "" {
			continue
		}
		want := told{Code: "rate_limited", Limit: "limits.connection.messages_per_second", Retryable: true, Message: "more than 1 messages a second"}
		if d.server || o != want {
			t.Errorf("too often: %+v", o)
		}
		checkLines(t, d, "too often", want, lines)
		return
	}
	if !d.server {
		t.Error("nothing is too often")
	}
}
