package attack

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSchemaCost: a message cannot be made to cost more by its schema than it is
// long, whether it fits or not, and what would is refused. The server is there
// for others meanwhile.
func TestSchemaCost(t *testing.T) {
	s := serve(t, "epoll", true, generous)
	text := func(depth int, leaf string) string {
		return strings.Repeat(`{"kind":"paragraph","children":[`, depth) + `{"kind":"text","text":` + leaf + `}` + strings.Repeat("]}", depth)
	}
	many := func(item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", 64_000/(len(item)+1)), ",") + "]"
	}
	other := s.dial(t, "", false)
	other.message()
	w := s.dial(t, "", false)
	w.message()
	for i, c := range []struct{ event, data, want string }{
		{"edit", text(12, `"x"`), ""},
		{"edit", text(12, `5`), "text: must be string, not number"},
		{"edit", text(28, `5`), "fits none of the alternatives"},
		{"tags", `{"tags":` + many("1") + `}`, "/tags/0: must be one of 'red'"},
		{"numbers", many("1"), ""},
		{"numbers", many("-1"), "/0: must be at least 0"},
		{"numbers", many("1e999"), ""},
		{"dear", many("7"), "limits.connection.schema_steps"},
	} {
		start := time.Now()
		for range 4 {
			w.send(fmt.Sprintf(`{"type":%q,"channel":"judged","id":%d,"data":%s}`, c.event, i+1, c.data))
		}
		other.send(`{"type":"ping"}`)
		other.message()
		for range 4 {
			m := w.message()
			if c.want == "" && m.Type != "ack" || c.want != "" && (errorCode(m) != "invalid_data" || !strings.Contains(string(m.Data), c.want)) {
				t.Fatalf("%s: %s %.300s, want %q", c.event, m.Type, m.Data, c.want)
			}
		}
		// A tenth of a second at most; the bound is for busy machines.
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: four messages of %d bytes took %v", c.event, len(c.data), took)
		}
	}
}

// TestRuleCost: one message that names a thousand channels cannot keep the
// server deciding: there is only so much work for a message, and it counts
// against the rate of who sends it.
func TestRuleCost(t *testing.T) {
	s := serve(t, "epoll", true, "")
	rooms := make([]string, 300)
	for i := range rooms {
		rooms[i] = fmt.Sprintf("n%dx", i)
	}
	tok := tokenWith(t, map[string]any{"sub": "mallory", "exp": time.Now().Add(time.Hour).Unix(), "rooms": rooms})
	names := func(prefix string) string {
		list := make([]string, 1000)
		for i := range list {
			list[i] = fmt.Sprintf("%q", fmt.Sprint(prefix, ":n", i))
		}
		return `{"type":"subscribe","channels":[` + strings.Join(list, ",") + `],"id":1}`
	}
	// refusals sends a message and counts its answers by what refused.
	refusals := func(w *wire, text string, answers int) map[string]int {
		count := make(map[string]int)
		w.send(text)
		for range answers {
			m := w.message()
			var data struct{ Code, Rule, Limit string }
			if err := json.Unmarshal(m.Data, &data); err != nil || m.Type != "error" {
				t.Fatalf("%s %s", m.Type, m.Data)
			}
			count[data.Code+" "+data.Rule+data.Limit]++
		}
		return count
	}
	w := s.dial(t, "?token="+tok, false)
	w.message()
	// The usual rule is cheap enough for all of them.
	if got := refusals(w, names("mine"), 1000); got["forbidden mine:{room}.allow.subscribe"] != 1000 {
		t.Errorf("the usual rule: %v", got)
	}
	w = s.dial(t, "?token="+tok, false)
	w.message()
	first := refusals(w, names("heavy"), 1000)
	if n := first["rate_limited limits.connection.rule_steps"]; n < 500 || n+first["forbidden heavy:{room}.allow.subscribe"] != 1000 {
		t.Errorf("a rule that takes much: %v", first)
	}
	// Whoever spent all of it has to wait before the next message.
	w.send(names("heavy"))
	if m := w.message(); !strings.Contains(string(m.Data), `"limits.connection.messages_per_second"`) {
		t.Errorf("after a message that took all it may: %s %s", m.Type, m.Data)
	}
}
