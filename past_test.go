package ringdown_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
)

const pastConf = `
listen: 127.0.0.1:0
auth:
  anonymous: true
  jwt: {secret: env:SECRET, algorithm: HS256}
  keys: [env:KEY]
channels:
  - name: log
    history: {messages: 100}
    resume: 1s
    allow: {subscribe: signed_in, publish: signed_in, history: none}
  - name: open
    history: {messages: 100}
    state: {}
    resume: 1s
    allow: {subscribe: signed_in, publish: signed_in}
`

// TestPastByEveryWay: who may not read history has the past by none of the ways
// in which it can be asked for: not as history, not as the last messages, and not
// as what was missed so long ago.
func TestPastByEveryWay(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(pastConf)})
	epoch, begun := "", time.Now()
	cursors := map[string]string{}
	denied := userToken(t, "ann", map[string]any{"open": []string{"-history"}})
	for _, channel := range []string{"log", "open"} {
		code, text := fetch(t, s, "GET", "/v1/poll?channel="+channel, denied, "")
		var got struct{ Cursor string }
		if err := json.Unmarshal(text, &got); err != nil || code != 200 {
			t.Fatalf("%d %s", code, text)
		}
		cursors[channel] = got.Cursor
		for n := range 5 {
			code, text := fetch(t, s, "POST", "/v1/channels/"+channel+"/messages", key, fmt.Sprintf(`{"type":"old","data":%d}`, n))
			if code != 201 {
				t.Fatalf("%d %s", code, text)
			}
			var at struct{ Epoch string }
			if err := json.Unmarshal(text, &at); err != nil {
				t.Fatal(err)
			}
			if channel == "log" {
				epoch = at.Epoch
			}
		}
	}
	// While it is fresh, recovery is a subscriber's right.
	if _, text := fetch(t, s, "GET", "/v1/poll?channel=log&wait=0&cursor="+cursors["log"], denied, ""); time.Since(begun) < time.Second && !strings.Contains(string(text), `"type":"old"`) {
		t.Errorf("recovered at once: %s", text)
	}
	time.Sleep(time.Until(begun.Add(2500 * time.Millisecond))) // until it is older than resume

	past := func(way, said string) {
		t.Helper()
		if strings.Contains(said, `"type":"old"`) {
			t.Errorf("%s: was given the past: %s", way, said)
		}
		if !strings.Contains(said, "forbidden") {
			t.Errorf("%s: was not told that it is forbidden: %s", way, said)
		}
	}
	for _, ask := range []string{
		`{"type":"subscribe","channel":"log","id":1,"data":{"last":5}}`,
		`{"type":"subscribe","channel":"log","id":1,"since":{"epoch":"` + epoch + `","offset":1}}`,
		`{"type":"history","channel":"log","id":1}`,
	} {
		p := dial(t, "ws://"+s.Addr().String()+"/v1/ws?token="+url.QueryEscape(denied))
		p.send(ask)
		p.send(`{"type":"ping","id":2}`)
		said := ""
		for m := p.read(); m.Type != "pong"; m = p.read() {
			said += fmt.Sprintf(`{"type":"%s","data":%s}`, m.Type, m.Data)
		}
		past("websocket "+ask, said)
		p.conn.CloseNow()
	}
	for _, channel := range []string{"log", "open"} {
		at := url.QueryEscape(cursors[channel])
		for _, query := range []string{"&last=5", "&cursor=" + at} {
			if channel == "open" && query == "&last=5" {
				continue // a state channel begins with its state
			}
			_, text := fetch(t, s, "GET", "/v1/poll?wait=0&channel="+channel+query, denied, "")
			past("poll "+channel+query, string(text))
			e := stream(t, s, "channel="+channel+query, "Authorization", "Bearer "+denied)
			said := ""
			for m, _ := e.next(); ; m, _ = e.next() {
				text, _ := json.Marshal(m)
				said += string(text)
				if m["type"] == "subscribed" {
					break
				}
			}
			past("sse "+channel+query, said)
			_ = e.resp.Body.Close()
		}
		code, text := fetch(t, s, "GET", "/v1/channels/"+channel+"/messages", denied, "")
		if code != 403 || strings.Contains(string(text), `"old"`) {
			t.Errorf("rest %s: %d %s", channel, code, text)
		}
	}
	// Where nothing is said of history, who may not subscribe may not read either.
	none := userToken(t, "ann", map[string]any{"open": []string{"-subscribe"}})
	for _, what := range []string{"messages", "state"} {
		if code, text := fetch(t, s, "GET", "/v1/channels/open/"+what, none, ""); code != 403 {
			t.Errorf("%s without the right to subscribe: %d %s", what, code, text)
		}
	}
	reader := userToken(t, "ann", map[string]any{"open": []string{"-subscribe", "history"}})
	if code, text := fetch(t, s, "GET", "/v1/channels/open/messages", reader, ""); code != 200 {
		t.Errorf("with the right to read history alone: %d %s", code, text)
	}
}

// TestExpectUser: with ?expect=user a client is welcome by its name or not at
// all, over every transport, though the server lets anonymous ones in.
func TestExpectUser(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(pastConf)})
	base := "ws://" + s.Addr().String() + "/v1/ws?expect=user"
	p := dial(t, base+"&token="+userToken(t, "ann", nil)) // reads the welcome
	p.conn.CloseNow()
	conn, _, err := websocket.Dial(t.Context(), base+"&token=nonsense", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for {
		_, text, err := conn.Read(t.Context())
		if err != nil {
			if websocket.CloseStatus(err) != 4001 {
				t.Errorf("a bad token: %v", err)
			}
			break
		}
		if strings.Contains(string(text), `"welcome"`) {
			t.Errorf("a bad token is welcome: %s", text)
		}
	}
	for _, path := range []string{"/v1/sse?channel=open&expect=user", "/v1/poll?channel=open&expect=user"} {
		if code, text := fetch(t, s, "GET", path, "", ""); code != 401 {
			t.Errorf("%s without a token: %d %s", path, code, text)
		}
	}
	for _, bad := range []string{"expect=anybody", "client=short", "client=" + strings.Repeat("x", 65), "client=" + strings.Repeat("%20", 22)} {
		for _, path := range []string{"/v1/sse?channel=open&", "/v1/poll?channel=open&"} {
			if code, text := fetch(t, s, "GET", path+bad, userToken(t, "ann", nil), ""); code != 400 {
				t.Errorf("%s%s: %d %s", path, bad, code, text)
			}
		}
		conn, resp, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws?"+bad, nil)
		if err == nil {
			conn.CloseNow()
		}
		if resp == nil || resp.StatusCode != 400 {
			t.Errorf("websocket %s: %v", bad, err)
		}
	}
}
