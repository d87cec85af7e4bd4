package attack

import (
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
