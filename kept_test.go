package ringdown_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringdown"
	"ringdown/internal/auth"
	"ringdown/protocol"
)

// userToken makes a token of the configuration's kind.
func userToken(t *testing.T, user string, caps map[string]any) string {
	t.Helper()
	claims := map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()}
	if caps != nil {
		claims["ringdown"] = caps
	}
	token, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"}, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// testKept reads and writes what channels keep, by REST.
func testKept(t *testing.T, r *rest) {
	t.Helper()
	const history = "/v1/channels/{channel}/messages"
	const state = "/v1/channels/{channel}/state"
	ann, driver := userToken(t, "ann", nil), userToken(t, "driver", nil)
	for n := range 30 {
		body := fmt.Sprintf(`{"type":"e","data":%d}`, n+1)
		if n == 4 {
			body = `{"type":"e","data64":"AAH/"}`
		}
		r.call("POST", history, key, body, "{channel}", "lab:h")
	}
	for query, want := range map[string]string{
		"":                    "1..30 false",
		"?limit=10":           "21..30 true",
		"?before=21&limit=10": "11..20 true",
		"?after=0&limit=10":   "1..10 true",
		"?after=25":           "26..30 false",
		"?after=30":           "none false",
		"?before=1":           "none false",
	} {
		code, got := r.call("GET", history+query, ann, "", "{channel}", "lab:h")
		list, _ := got["messages"].([]any)
		span := "none"
		if len(list) > 0 {
			span = fmt.Sprintf("%v..%v", list[0].(map[string]any)["offset"], list[len(list)-1].(map[string]any)["offset"])
		}
		if s := fmt.Sprint(span, " ", got["more"]); code != 200 || s != want {
			t.Errorf("%s: %d %s, want %s", query, code, s, want)
		}
	}
	if _, got := r.call("GET", history+"?after=4&limit=1", key, "", "{channel}", "lab:h"); got["messages"].([]any)[0].(map[string]any)["data64"] != "AAH/" {
		t.Errorf("a payload of bytes: %v", got)
	}
	for _, c := range []struct {
		method, path, channel, credential, body string
		status                                  int
	}{
		{"GET", history, "lab:h", "", "", 401},
		{"GET", history, "past:x", ann, "", 200},
		{"GET", history, "nowhere", key, "", 404},
		{"GET", history, "trucks:eu", key, "", 400}, // keeps no history
		{"GET", history + "?limit=0", "lab:h", key, "", 400},
		{"GET", history + "?limit=1001", "lab:h", key, "", 400},
		{"GET", history + "?after=-1", "lab:h", key, "", 400},
		{"GET", history + "?after=9007199254740992", "lab:h", key, "", 400},
		{"GET", history + "?before=0", "lab:h", key, "", 400},
		{"GET", history + "?before=x", "lab:h", key, "", 400},
		{"GET", history, "lab:h", userToken(t, "bob", map[string]any{"lab:*": []string{"-history"}}), "", 403},
		{"GET", state, "lab:h", key, "", 400},
		{"GET", state, "trucks:eu", "", "", 401},
		{"GET", state, "trucks:eu", ann, "", 200},
		{"GET", state + "?cursor=x", "trucks:eu", key, "", 400},
		{"GET", state + "?cursor=1.2.another-epoch", "trucks:eu", key, "", 409},
		{"GET", state + "?limit=x", "trucks:eu", key, "", 400},
		{"PUT", state + "/{key}", "trucks:eu", ann, `{"data":[1]}`, 403},
		{"PUT", state + "/{key}", "trucks:eu", "", `{"data":[1]}`, 401},
		{"PUT", state + "/{key}", "trucks:eu", key, `{"data":7}`, 422},
		{"PUT", state + "/{key}", "trucks:eu", key, `{}`, 400},
		{"PUT", state + "/{key}", "trucks:eu", key, `{"type":"other","data":[1]}`, 422},
		{"PUT", state + "/{key}", "lab:h", key, `{"type":"e","data":[1]}`, 400},
		{"DELETE", state + "/{key}", "trucks:eu", ann, "", 403},
		{"DELETE", state + "/{key}", "lab:h", key, "", 400},
		{"DELETE", state + "/{key}", "trucks:eu", key, strings.Repeat("x", 5000), 413},
	} {
		if code, got := r.call(c.method, c.path, c.credential, c.body, "{channel}", c.channel, "{key}", "a/b %é"); code != c.status {
			t.Errorf("%s %s of %s: %d %v, want %d", c.method, c.path, c.channel, code, got, c.status)
		}
	}
	testState(t, r, driver)
}

func testState(t *testing.T, r *rest, driver string) {
	t.Helper()
	const state = "/v1/channels/{channel}/state"
	write := func(method, key, body string) {
		t.Helper()
		if code, got := r.call(method, state+"/{key}", driver, body, "{channel}", "trucks:eu", "{key}", key); code != 200 || got["offset"] == nil {
			t.Fatalf("%s %s: %d %v", method, key, code, got)
		}
	}
	for n := range 6 {
		write("PUT", fmt.Sprint("truck ", n, "/ü"), fmt.Sprintf(`{"data":[%d]}`, n))
	}
	write("DELETE", "truck 2/ü", "")
	pages := func(between func()) string {
		known := map[string]any{}
		for cursor, n := "", 0; ; n++ {
			query := "?limit=2"
			if cursor != "" {
				query += "&cursor=" + cursor
			}
			code, got := r.call("GET", state+query, driver, "", "{channel}", "trucks:eu")
			if code != 200 || n > 20 {
				t.Fatalf("page %d: %d %v", n, code, got)
			}
			for _, item := range got["items"].([]any) {
				i := item.(map[string]any)
				if i["data"] == nil {
					delete(known, i["key"].(string))
				} else {
					known[i["key"].(string)] = i["data"]
				}
			}
			if got["cursor"] == nil {
				return fmt.Sprint(known)
			}
			cursor = got["cursor"].(string)
			if n == 0 {
				between()
			}
		}
	}
	if got := pages(func() {}); got != "map[truck 0/ü:[0] truck 1/ü:[1] truck 3/ü:[3] truck 4/ü:[4] truck 5/ü:[5]]" {
		t.Errorf("the state is %s", got)
	}
	// Written during the walk: before where it stands, and behind.
	if got := pages(func() {
		write("PUT", "truck 0/ü", `{"type":"position","data":[10]}`)
		write("DELETE", "truck 1/ü", "")
		write("DELETE", "truck 5/ü", "")
	}); got != "map[truck 0/ü:[10] truck 3/ü:[3] truck 4/ü:[4]]" {
		t.Errorf("after changes the state is %s", got)
	}
}

// TestHistoryAndState reads what channels keep from Go.
func TestHistoryAndState(t *testing.T) {
	s := start(t, ringdown.Options{})
	for n := range 5 {
		if _, err := s.Publish(t.Context(), "lab:x", "e", n+1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		r           ringdown.HistoryRange
		first, last uint64
		more        bool
	}{
		{ringdown.HistoryRange{}, 1, 5, false},
		{ringdown.HistoryRange{Limit: 2}, 1, 2, true},
		{ringdown.HistoryRange{After: 2}, 3, 5, false},
		{ringdown.HistoryRange{Before: ringdown.End, Limit: 2}, 4, 5, true},
		{ringdown.HistoryRange{Before: 3, Limit: 2}, 1, 2, false},
	} {
		p, err := s.History(t.Context(), "lab:x", c.r)
		if err != nil || p.Messages[0].Offset != c.first || p.Messages[len(p.Messages)-1].Offset != c.last || p.More != c.more || p.Epoch == "" {
			t.Errorf("%+v: %+v, %v", c.r, p, err)
		}
		if m := p.Messages[0]; string(m.Data) != fmt.Sprint(m.Offset) || m.Event != "e" || m.Channel != "lab:x" || time.Since(m.Time) > time.Minute {
			t.Errorf("%+v", m)
		}
	}
	for key, data := range map[string]any{"a": []int{1}, "b": []int{2}, "c": nil} {
		if _, err := s.Publish(t.Context(), "trucks:eu", "position", data, ringdown.WithKey(key)); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.State(t.Context(), "trucks:eu")
	if err != nil || len(st.Values) != 2 || string(st.Values["b"].Data) != "[2]" || st.Offset != 3 || st.Epoch == "" {
		t.Errorf("%+v, %v", st, err)
	}
	_, noHistory := s.History(t.Context(), "trucks:eu", ringdown.HistoryRange{})
	_, noState := s.State(t.Context(), "lab:x")
	_, limit := s.History(t.Context(), "lab:x", ringdown.HistoryRange{Limit: -1})
	_, nowhere := s.State(t.Context(), "nowhere")
	for err, want := range map[error]protocol.Code{noHistory: protocol.CodeBadRequest, noState: protocol.CodeBadRequest, limit: protocol.CodeBadRequest, nowhere: protocol.CodeNotFound} {
		if err == nil || protocol.AsError(err).Code != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
