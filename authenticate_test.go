package ringdown_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/protocol"
)

const ownConf = `
listen: 127.0.0.1:0
origins: [https://shop.example, "*", "null"]
trusted_proxies: [127.0.0.1]
auth: {anonymous: true, jwt: {secret: env:SECRET, algorithm: HS256}, keys: [env:KEY]}
channels:
  - name: own:{name}
    history: {messages: 100}
    allow: {subscribe: user == params.name, publish: 'user == params.name && claims.plan == "gold"'}
`

// bySession is an application whose cookie says who somebody is.
func bySession(r *http.Request) (*ringdown.User, error) {
	c, err := r.Cookie("session")
	if err != nil {
		return nil, nil
	}
	switch c.Value {
	case "gone":
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "the session is over")
	case "banned":
		return nil, protocol.Errorf(protocol.CodeForbidden, "you are banned")
	case "broken":
		return nil, errors.New("the database is away")
	case "panic":
		panic("the database is away")
	case "nameless":
		return &ringdown.User{}, nil
	case "elsewhere":
		return &ringdown.User{ID: r.RemoteAddr}, nil
	}
	return &ringdown.User{ID: c.Value, Claims: map[string]any{"plan": "gold", "sub": "somebody else"}}, nil
}

// ways are the doors, each with how it tells who somebody is: the user's name, "" for
// nobody, or the status or close code with which it refuses.
var ways = map[string]func(t *testing.T, s *ringdown.Server, header ...string) string{
	"websocket": func(t *testing.T, s *ringdown.Server, header ...string) string {
		conn, resp, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws", &websocket.DialOptions{HTTPHeader: headers(header)})
		if err != nil {
			return fmt.Sprint(resp.StatusCode)
		}
		defer conn.CloseNow()
		_, text, err := conn.Read(t.Context())
		if strings.Contains(string(text), `"type":"error"`) {
			_, _, err = conn.Read(t.Context())
		}
		if err != nil {
			return fmt.Sprint(int(websocket.CloseStatus(err)))
		}
		return userOf(t, text)
	},
	"sse": func(t *testing.T, s *ringdown.Server, header ...string) string {
		e := stream(t, s, "channel=own:ann", header...)
		defer e.resp.Body.Close()
		if e.resp.StatusCode != 200 {
			return fmt.Sprint(e.resp.StatusCode)
		}
		m, _ := e.next()
		text, _ := json.Marshal(m)
		return userOf(t, text)
	},
	"poll": func(t *testing.T, s *ringdown.Server, header ...string) string {
		code, text := fetch(t, s, "GET", "/v1/poll?wait=0&channel=own:ann", "", "", header...)
		switch {
		case code != 200:
			return fmt.Sprint(code)
		case strings.Contains(string(text), `"type":"subscribed"`):
			return "ann"
		}
		return ""
	},
	"rest": func(t *testing.T, s *ringdown.Server, header ...string) string {
		code, text := fetch(t, s, "POST", "/v1/channels/own:ann/messages", "", `{"type":"e"}`, header...)
		switch {
		case code == 201:
			return "ann"
		case code == 401 && strings.Contains(string(text), "present a server key"):
			return ""
		}
		return fmt.Sprint(code)
	},
}

func headers(list []string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(list); i += 2 {
		h.Set(list[i], list[i+1])
	}
	return h
}

func userOf(t *testing.T, welcome []byte) string {
	var m struct {
		Type string
		Data struct{ User string }
	}
	if err := json.Unmarshal(welcome, &m); err != nil || m.Type != "welcome" {
		t.Fatalf("no welcome but %s", welcome)
	}
	return m.Data.User
}

// TestAuthenticate: the application's own sessions say who somebody is, on every door.
func TestAuthenticate(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(ownConf), Authenticate: bySession})
	self := "http://" + s.Addr().String()
	for _, c := range []struct {
		name   string
		header []string
		want   string // "websocket other-doors", where they differ
	}{
		{"a session", []string{"Cookie", "session=ann"}, "ann"},
		{"a page of the same host", []string{"Cookie", "session=ann", "Origin", self}, "ann"},
		{"a page of the same host, with no origin", []string{"Cookie", "session=ann", "Sec-Fetch-Site", "same-origin"}, "ann"},
		{"a page that is listed", []string{"Cookie", "session=ann", "Origin", "https://shop.example", "Sec-Fetch-Site", "cross-site"}, "ann"},
		{"a page of any other site", []string{"Cookie", "session=ann", "Origin", "https://evil.example"}, ""},
		{"a page without an origin", []string{"Cookie", "session=ann", "Origin", "null"}, ""},
		{"an image of another site", []string{"Cookie", "session=ann", "Sec-Fetch-Site", "cross-site"}, ""},
		{"a page of a sister", []string{"Cookie", "session=ann", "Sec-Fetch-Site", "same-site"}, ""},
		{"nobody", nil, ""},
		{"a token", []string{"Authorization", "Bearer " + token(t, "ann")}, "ann"},
		{"a token of a page of any site", []string{"Cookie", "session=bob", "Origin", "https://evil.example", "Authorization", "Bearer " + token(t, "ann")}, "ann"},
		{"a session goes before a token", []string{"Cookie", "session=ann", "Authorization", "Bearer " + token(t, "bob")}, "ann"},
		{"a session that is over", []string{"Cookie", "session=gone"}, "4001 401"},
		{"a session that is over, and a token", []string{"Cookie", "session=gone", "Authorization", "Bearer " + token(t, "ann")}, "4001 401"},
		{"banned", []string{"Cookie", "session=banned"}, "4001 403"},
		{"a failure", []string{"Cookie", "session=broken"}, "4102 503"},
		{"a panic", []string{"Cookie", "session=panic"}, "4102 503"},
		{"a user without a name", []string{"Cookie", "session=nameless"}, "4102 503"},
	} {
		for way, ask := range ways {
			want, others, differ := strings.Cut(c.want, " ")
			if differ && way != "websocket" {
				want = others
			}
			if way == "rest" && strings.HasPrefix(c.name, "a token") {
				want = "403" // it has no claim plan
			}
			if got := ask(t, s, c.header...); got != want {
				t.Errorf("%s by %s: %q, want %q", c.name, way, got, want)
			}
		}
	}
	if got := ways["websocket"](t, s, "Cookie", "session=elsewhere", "X-Forwarded-For", "203.0.113.7"); got != "203.0.113.7:0" {
		t.Errorf("the address behind a proxy is %s", got)
	}
	if code, _ := fetch(t, s, "GET", "/v1/connections", key, "", "Cookie", "session=ann"); code != 200 {
		t.Errorf("a server key beside a cookie: %d", code)
	}
}

// TestCookiesOfOtherSites: what a page can make a browser send without asking first
// does nothing in anybody's name, and only listed pages may read answers to cookies.
func TestCookiesOfOtherSites(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(ownConf), Authenticate: bySession})
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", ""} {
		if code, _ := fetch(t, s, "POST", "/v1/tickets", "", "", "Cookie", "session=ann", "Content-Type", kind); code != 401 {
			t.Errorf("a ticket by %q: %d", kind, code)
		}
	}
	if code, text := fetch(t, s, "POST", "/v1/tickets", "", "", "Cookie", "session=ann"); code != 201 {
		t.Errorf("a ticket: %d %s", code, text)
	}
	for _, path := range []string{"/v1/poll?wait=0&channel=own:ann", "/v1/channels/own:ann/messages"} {
		for origin, want := range map[string]string{"https://shop.example": "true", "https://evil.example": "", "null": ""} {
			for _, method := range []string{"GET", "OPTIONS"} {
				resp, text := exchange(t, s, method, path, "", "Origin: "+origin)
				if got := resp.Header.Get("Access-Control-Allow-Credentials"); got != want {
					t.Errorf("%s %s from %s: %q, want %q: %s", method, path, origin, got, want, text)
				}
			}
		}
	}
	strict := start(t, ringdown.Options{Config: []byte(strings.Replace(ownConf, `, "*", "null"`, "", 1)), Authenticate: bySession})
	for way, ask := range ways {
		if got := ask(t, strict, "Cookie", "session=ann", "Origin", "https://evil.example"); got != "403" {
			t.Errorf("a page of another site by %s: %q", way, got)
		}
		if got := ask(t, strict, "Cookie", "session=ann", "Origin", "http://"+strict.Addr().String()); got != "ann" {
			t.Errorf("a page of its own by %s: %q", way, got)
		}
	}
	without := start(t, ringdown.Options{Config: []byte(ownConf)})
	if resp, _ := exchange(t, without, "GET", "/v1/channels", "", "Origin: https://shop.example"); resp.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("a server that takes no cookies lets pages send them")
	}
}

// TestSessionEnds: a connection ends when the session does that it was opened with.
func TestSessionEnds(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(ownConf), Authenticate: func(*http.Request) (*ringdown.User, error) {
		return &ringdown.User{ID: "ann", Expires: time.Now().Add(50 * time.Millisecond)}, nil
	}})
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	if m := p.read(); m.Type != "error" {
		t.Errorf("%+v", m)
	}
	if _, _, err := p.conn.Read(t.Context()); websocket.CloseStatus(err) != 4004 {
		t.Errorf("closed with %v", err)
	}
}
