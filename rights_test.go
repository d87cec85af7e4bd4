package ringdown_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"ringdown"
)

const rightsConf = `
listen: 127.0.0.1:0
auth:
  anonymous: true
  jwt: {secret: env:SECRET, algorithm: HS256}
  keys: [env:KEY]
channels:
  - name: m:anyone
    history: {messages: 100}
    presence: true
    allow: {subscribe: anyone, publish: anyone, presence: anyone}
  - name: m:signed
    history: {messages: 100}
    presence: true
    allow: {subscribe: signed_in, publish: signed_in, history: signed_in, presence: signed_in}
  - name: m:{name}:only
    history: {messages: 100}
    presence: true
    allow: {subscribe: 'user == params.name', publish: 'user == params.name', history: 'user == params.name', presence: 'user == params.name'}
  - name: m:none
    history: {messages: 100}
    presence: true
    allow: {subscribe: none, publish: none, history: none, presence: none}
`

// somebody is who asks.
type somebody struct {
	name, user, credential string
	grant, deny, server    bool
}

// may is what the documents say of rules and capabilities, for channels that say
// the same of every operation.
func (w somebody) may(channel string) bool {
	switch {
	case strings.HasPrefix(channel, "$"):
		return false // the server's own
	case w.server:
		return true
	case w.deny || channel == "m:none":
		return false
	case w.grant || channel == "m:anyone":
		return true
	case channel == "m:signed":
		return w.user != ""
	}
	return channel == "m:"+w.user+":only"
}

// TestRights tries every operation of a channel for everybody, on every rule, by
// every way in (C10), and so on the names that are the server's own (C09).
func TestRights(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(rightsConf)})
	everybody := []somebody{
		{name: "nobody"},
		{name: "ann", user: "ann", credential: userToken(t, "ann", nil)},
		{name: "bob", user: "bob", credential: userToken(t, "bob", nil)},
		{name: "bob with a grant", user: "bob", grant: true,
			credential: userToken(t, "bob", map[string]any{"m:*": []string{"subscribe", "publish", "history", "presence"}})},
		{name: "ann denied", user: "ann", deny: true,
			credential: userToken(t, "ann", map[string]any{"m:*": []string{"-subscribe", "-publish", "-history", "-presence"}})},
		{name: "bob, both", user: "bob", grant: true, deny: true,
			credential: userToken(t, "bob", map[string]any{"m:*": []string{"subscribe", "publish", "history", "presence"}, "m:anyone": []string{"-subscribe", "-publish", "-history", "-presence"},
				"m:s*": []string{"-subscribe", "-publish", "-history", "-presence"}, "m:ann:*": []string{"-subscribe", "-publish", "-history", "-presence"}})},
		{name: "bob with a grant of all", user: "bob", grant: true,
			credential: userToken(t, "bob", map[string]any{"*": []string{"subscribe", "publish", "history", "presence"}, "$*": []string{"subscribe", "publish", "history", "presence"}})},
		{name: "a server", credential: key, server: true},
	}
	channels := []string{"m:anyone", "m:signed", "m:ann:only", "m:none", "$presence:m:anyone", "$sys"}
	tried := 0
	for _, who := range everybody {
		for _, channel := range channels {
			for way, op := range map[string]func(t *testing.T, s *ringdown.Server, who somebody, channel, op string) (allowed, known bool){
				"websocket": bySocket, "rest": byREST, "sse": byStream, "poll": byPoll} {
				for _, verb := range []string{"subscribe", "publish", "history", "presence"} {
					allowed, known := op(t, s, who, channel, verb)
					if !known {
						continue // there is no such way, or no way in without a credential
					}
					tried++
					if want := who.may(channel); allowed != want {
						t.Errorf("%s, %s on %s by %s: %v, want %v", who.name, verb, channel, way, allowed, want)
					}
				}
			}
		}
	}
	if tried < 400 {
		t.Errorf("%d cases were tried", tried)
	}
}

func requestOf(channel, op string) string {
	typ := op
	switch op {
	case "publish":
		typ = "e"
	case "presence":
		return fmt.Sprintf(`{"type":"presence","channel":%q,"id":"r","data":{"action":"get"}}`, channel)
	}
	return fmt.Sprintf(`{"type":%q,"channel":%q,"id":"r"}`, typ, channel)
}

// answered judges the answer to a request.
func answered(t *testing.T, typ string, data []byte) bool {
	t.Helper()
	switch typ {
	case "subscribed", "ack", "history", "presence":
		return true
	case "error":
		var e struct{ Code string }
		if json.Unmarshal(data, &e) == nil && e.Code == "forbidden" {
			return false
		}
	}
	t.Fatalf("the answer is %s %s", typ, data)
	return false
}

func bySocket(t *testing.T, s *ringdown.Server, who somebody, channel, op string) (allowed, known bool) {
	t.Helper()
	if who.server {
		return false, false
	}
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws?token="+url.QueryEscape(who.credential))
	p.send(requestOf(channel, op))
	m := p.read()
	p.conn.CloseNow()
	return answered(t, m.Type, m.Data), true
}

// fetch makes a request and returns its status and body.
func fetch(t *testing.T, s *ringdown.Server, method, path, credential, body string, header ...string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

func byREST(t *testing.T, s *ringdown.Server, who somebody, channel, op string) (allowed, known bool) {
	t.Helper()
	if op == "subscribe" {
		return false, false
	}
	method, body := "GET", ""
	if op == "publish" {
		method, body = "POST", `{"type":"e"}`
	}
	what := "/messages"
	if op == "presence" {
		what = "/presence"
	}
	code, text := fetch(t, s, method, "/v1/channels/"+url.PathEscape(channel)+what, who.credential, body)
	switch {
	case code == 200, code == 201:
		return true, true
	case code == 403:
		return false, true
	case code == 401 && who.credential == "":
		return false, false
	}
	t.Fatalf("%s %s: %d %s", op, channel, code, text)
	return false, false
}

func byStream(t *testing.T, s *ringdown.Server, who somebody, channel, op string) (allowed, known bool) {
	t.Helper()
	if who.server {
		return false, false
	}
	begin := "m:none" // it needs a channel to begin with, and is told that it may not
	if op == "subscribe" {
		begin = channel
	}
	var header []string
	if who.credential != "" {
		header = []string{"Authorization", "Bearer " + who.credential}
	}
	e := stream(t, s, "channel="+url.QueryEscape(begin), header...)
	defer e.resp.Body.Close()
	welcome, _ := e.next()
	m, _ := e.next()
	if op != "subscribe" {
		of := welcome["data"].(map[string]any)
		var secret []string
		if who.credential == "" {
			secret = []string{"Ringdown-Stream", of["secret"].(string)}
		}
		if code, text := fetch(t, s, "POST", "/v1/connections/"+of["connection"].(string)+"/messages", who.credential, requestOf(channel, op), secret...); code != 202 {
			t.Fatalf("%s of %s by %s: %d %s", op, channel, who.name, code, text)
		}
		m, _ = e.next()
	}
	data, _ := json.Marshal(m["data"])
	return answered(t, m["type"].(string), data), true
}

func byPoll(t *testing.T, s *ringdown.Server, who somebody, channel, op string) (allowed, known bool) {
	t.Helper()
	if who.server || op != "subscribe" {
		return false, false
	}
	code, text := fetch(t, s, "GET", "/v1/poll?channel="+url.QueryEscape(channel), who.credential, "")
	var got struct {
		Messages []struct {
			Type string
			Data json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &got); err != nil || code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	for _, m := range got.Messages {
		if m.Type == "subscribed" || m.Type == "error" {
			return answered(t, m.Type, m.Data), true
		}
	}
	t.Fatalf("the poll says nothing of the subscription: %s", text)
	return false, false
}
