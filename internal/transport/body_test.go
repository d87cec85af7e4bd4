package transport

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"ringdown/internal/cursor"
	"ringdown/protocol"
)

func text(places map[string]uint64) string {
	var w cursor.Writer
	w.Begin()
	for name, offset := range places {
		w.Add(cursor.KeyOf(name), cursor.Place{Position: protocol.Position{Epoch: "e", Offset: offset}})
	}
	return string(w.Append(nil))
}

// TestBody: what a POST asks for, and from where. The newest word on a position
// counts: that of a client that comes back by itself, that of the channel, that
// of the body.
func TestBody(t *testing.T) {
	body := `{"channels":["a",{"channel":"b","since":{"epoch":"e","offset":7}},{"channel":"c","last":20},{"channel":"d","rate":2},{"channel":"x"}],"cursor":"` + text(map[string]uint64{"a": 1, "b": 2, "x": 3, "later": 4}) + `"}`
	for _, back := range []bool{false, true} {
		r := httptest.NewRequest("POST", "/v1/sse", strings.NewReader(body))
		want := map[string]uint64{"a": 1, "b": 7, "x": 3}
		if back {
			r.Header.Set("Last-Event-ID", text(map[string]uint64{"b": 9, "c": 10}))
			want["b"], want["c"] = 9, 10
		}
		a, err := Read(httptest.NewRecorder(), r)
		if err != nil || len(a.Follow) != 5 || !a.Resumed {
			t.Fatal(a, err)
		}
		for _, f := range a.Follow {
			if at := f.Since; want[f.Channel] == 0 != (at == nil) || at != nil && at.Offset != want[f.Channel] {
				t.Errorf("%s: %v", f.Channel, at)
			}
		}
		if a.Follow[2].Last != 20 || a.Follow[3].Rate != 2 || a.Places.Find("later") == nil {
			t.Errorf("%+v", a)
		}
	}
	for _, empty := range []string{`{}`, `{"channels":[]}`, `{"channels":null,"cursor":null}`} {
		if a, err := Read(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(empty))); err != nil || len(a.Follow) != 0 || a.Resumed {
			t.Errorf("%s: %+v %v", empty, a, err)
		}
	}
}

// TestBodyRefused: what is not understood is named, and none of it is passed over.
func TestBodyRefused(t *testing.T) {
	many := make([]string, cursor.MaxChannels+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"c%d"`, i)
	}
	for body, says := range map[string]string{
		``:                                   "early",
		`[]`:                                 "object",
		"\xEF\xBB\xBF{}":                     "BOM",
		`{"channel":"a"}`:                    `"channel"`,
		`{"channels":"a"}`:                   "array",
		`{"channels":[1]}`:                   "object",
		`{"channels":[{}]}`:                  "needs the field channel",
		`{"channels":[{"chanel":"a"}]}`:      `"chanel"`,
		`{"channels":["a",{"channel":"a"}]}`: "twice",
		`{"channels":[{"channel":"a","last":0}]}`:                                  "last",
		`{"channels":[{"channel":"a","rate":0}]}`:                                  "rate",
		`{"channels":[{"channel":"a","since":{"epoch":"e"}}]}`:                     "since",
		`{"channels":[{"channel":"a","since":{"epoch":"e","offset":1,"x":1}}]}`:    `"x"`,
		`{"channels":[{"channel":"a","last":1,"since":{"epoch":"e","offset":1}}]}`: "exclude",
		`{"cursor":"nonsense"}`:                                                    "cursor",
		`{"cursor":7}`:                                                             "cursor",
		`{} {}`:                                                                    "more",
		`{"channels":[` + strings.Join(many, ",") + `]}`:                           "128",
		`{"cursor":"` + strings.Repeat("x", mostBody) + `"}`:                       "65536",
	} {
		_, err := Read(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(body)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: %v", body, err)
		}
	}
	for _, query := range []string{"channel=a", "cursor=AQ", "last=1", "rate=1"} {
		if _, err := Read(httptest.NewRecorder(), httptest.NewRequest("POST", "/?"+query, strings.NewReader("{}"))); err == nil {
			t.Errorf("%s was passed over", query)
		}
	}
}

// FuzzBody: no body costs more than an error.
func FuzzBody(f *testing.F) {
	f.Add(`{"channels":["a",{"channel":"b","since":{"epoch":"e","offset":7}},{"channel":"c","last":20,"rate":2}],"cursor":"AQ","session":"s"}`)
	f.Add(`{"channels":[[],{}],"cursor":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		a, err := Read(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(body)))
		if err == nil && (len(a.Follow) > cursor.MaxChannels || len(a.Places) > 2*cursor.MaxChannels) {
			t.Errorf("%+v", a)
		}
		if err != nil && protocol.AsError(err).Code == protocol.CodeInternal {
			t.Error(err)
		}
	})
}
