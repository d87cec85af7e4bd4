package ringdown_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"ringdown"
	"ringdown/protocol"
)

// TestReadsOfREST: who reads a channel over REST is asked about as one who
// subscribes to it, and has the rate of a connection.
func TestReadsOfREST(t *testing.T) {
	w := &witness{}
	s := start(t, ringdown.Options{Config: []byte(doorsConf), Logger: slog.New(slog.NewJSONHandler(w, nil))})
	var mu sync.Mutex
	var asked []string
	s.OnSubscribe(func(_ context.Context, c *ringdown.Connection, channel string) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprint(c.User, c.Transport, c.ID, strings.HasPrefix(c.RemoteAddr, "127.0.0.1:"), channel))
		switch channel {
		case "open:secret":
			return protocol.Errorf(protocol.CodeForbidden, "not you").WithReason("not_you")
		case "open:broken":
			return errors.New("the database is away")
		}
		return nil
	})
	token := ann(t)
	for what, action := range map[string]string{"messages": "history", "state": "subscribe", "presence": "presence"} {
		for channel, want := range map[string]told{
			"open:r":      {},
			"open:secret": {Code: "forbidden", Reason: "not_you"},
			"open:broken": {Code: "unavailable", Reason: "hook"},
			"ruled:r":     {Code: "forbidden", Rule: "ruled:{name}.allow." + action},
			"nowhere":     {Code: "not_found"},
		} {
			path := "/v1/channels/" + url.PathEscape(channel) + "/" + what
			_, text := fetch(t, s, "GET", path, token, "")
			got := toldBy(t, text)
			got.Message, got.Retryable, got.Offset = "", false, 0
			calls := asked
			if asked = nil; got != want {
				t.Errorf("%s: %s", path, text)
			}
			if ask := strings.HasPrefix(channel, "open:"); ask != (len(calls) == 1) || ask && calls[0] != fmt.Sprint("ann", "rest", "", true, channel) {
				t.Errorf("%s: the hook saw %q", path, calls)
			}
			_, lines := w.take(t)
			if want.Code != "" && (len(lines) != 1 || lines[0]["action"] != action || lines[0]["user"] != "ann" || lines[0]["channel"] != channel || lines[0]["code"] != want.Code) {
				t.Errorf("%s: the log has %v", path, lines)
			}
			if code, _ := fetch(t, s, "GET", path, key, ""); len(asked) > 0 || code != 200 && channel != "nowhere" {
				t.Errorf("%s with a key: %d, and the hook saw %q", path, code, asked)
			}
			w.take(t)
		}
	}
	for range 200 {
		code, text := fetch(t, s, "GET", "/v1/channels/open:r/state", token, "")
		if o := toldBy(t, text); code != 200 {
			if o.Code != "rate_limited" || o.Limit != "limits.connection.messages_per_second" {
				t.Errorf("too often: %d %s", code, text)
			}
			return
		}
	}
	t.Error("nothing is too often")
}

// TestTraceparent: whatever door it comes in by, the trace of a message is what its
// subscribers get.
func TestTraceparent(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(doorsConf)})
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws?token="+url.QueryEscape(ann(t)))
	p.send(`{"type":"subscribe","channel":"open:t","id":1}`)
	for m := p.read(); m.Type != "state"; m = p.read() {
	}
	const trace, other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-11112222333344445555666677778888-00f067aa0ba902b7-01"
	rest := func(method, path, body, header string) func() {
		return func() {
			if code, text := fetch(t, s, method, path, key, body, "Traceparent", header); code > 201 {
				t.Errorf("%s %s: %d %s", method, path, code, text)
			}
		}
	}
	program := func(value string) func() {
		return func() {
			if _, err := s.Publish(t.Context(), "open:t", "e", 1, ringdown.WithTraceparent(value)); err != nil {
				t.Error(err)
			}
		}
	}
	const one = "/v1/channels/open:t/messages"
	for _, c := range []struct {
		publish func()
		want    string
	}{
		{func() { p.send(`{"type":"e","channel":"open:t","traceparent":"` + trace + `"}`) }, trace},
		{rest("POST", one, `{"type":"e"}`, trace), trace},
		{rest("POST", one, `{"type":"e","traceparent":"`+other+`"}`, trace), other},
		{rest("POST", one, `{"type":"e"}`, strings.Repeat("x", 129)), ""},
		{rest("POST", "/v1/messages", `{"messages":[{"channel":"open:t","type":"e"}]}`, trace), trace},
		{rest("PUT", "/v1/channels/open:t/state/k", `{"data":1}`, trace), trace},
		{rest("DELETE", "/v1/channels/open:t/state/k", "", trace), trace},
		{program(trace), trace},
		{program(strings.Repeat("x", 129)), ""},
	} {
		c.publish()
		if m := p.read(); m.Trace != c.want {
			t.Errorf("%q of %+v, want %q", m.Trace, m, c.want)
		}
	}
}
