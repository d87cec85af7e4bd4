package ringdown_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/internal/auth"
	"ringdown/protocol"
)

// said is one publication.
type said struct{ channel, event, key, data, dedupe string }

// frame is what a connection sends for it.
func (p said) frame() protocol.Message {
	m := protocol.Message{Type: p.event, Channel: p.channel, Key: p.key, Dedupe: p.dedupe, ID: []byte("7"), Data: []byte(p.data)}
	return m
}

// body is what REST is sent for it, with the named fields alone.
func (p said) body(fields ...string) string {
	all := map[string]any{"channel": p.channel, "type": p.event, "key": p.key, "data": json.RawMessage(p.data), "dedupe": p.dedupe}
	for name := range all {
		if !slices.Contains(fields, name) || all[name] == "" {
			delete(all, name)
		}
	}
	text, _ := json.Marshal(all)
	return string(text)
}

// told is what came of it.
type told struct {
	Code       string
	Rule       string
	Limit      string
	Reason     string
	DidYouMean string `json:"did_you_mean"`
	Message    string `json:"message"`
	Detail     string // is Message over HTTP
	Retryable  bool
	Offset     uint64
}

func toldBy(t *testing.T, text []byte) (o told) {
	t.Helper()
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if o.Message == "" {
		o.Message, o.Detail = o.Detail, ""
	}
	return o
}

// answer is a connection's answer to a publication.
func answerOf(t *testing.T, m *protocol.Message) told {
	t.Helper()
	switch m.Type {
	case "ack":
		return told{Offset: m.Offset}
	case "error":
		return toldBy(t, m.Data)
	}
	t.Fatalf("the answer is %+v", m)
	return told{}
}

// door is a way to publish.
type door struct {
	name      string // in the log, and what hooks are told
	connected bool   // it has a connection
	server    bool   // it speaks for the application
	silent    bool   // refusals go to the program that asked, and not to the log
	// open lets ann in, and returns how to publish. known is false for what cannot be
	// said by this door.
	open func(t *testing.T, s *ringdown.Server) func(p said) (o told, known bool)
}

var doors = map[string]door{
	"websocket":          {name: "websocket", connected: true, open: saySocket},
	"websocket protobuf": {name: "websocket", connected: true, open: sayProtobuf},
	"sse":                {name: "sse", connected: true, open: sayStream},
	"poll":               {name: "poll", connected: true, open: sayPoll},
	"rest":               {name: "rest", open: sayREST(false)},
	"rest batch":         {name: "rest", open: sayBatch},
	"rest state":         {name: "rest", open: sayState},
	"rest by key":        {name: "rest", server: true, open: sayREST(true)},
	"go":                 {name: "go", server: true, silent: true, open: sayGo},
}

// ann is who publishes.
func ann(t *testing.T) string {
	t.Helper()
	token, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"}, map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix(),
		"list": make([]int, 100), "ringdown": map[string]any{"denied:*": []string{"-publish"}}})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func saySocket(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	conn := dial(t, "ws://"+s.Addr().String()+"/v1/ws?token="+url.QueryEscape(ann(t)))
	return func(p said) (told, bool) {
		m := p.frame()
		conn.send(string(protocol.AppendJSON(nil, &m)))
		m = conn.read()
		return answerOf(t, &m), true
	}
}

func sayProtobuf(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	ctx := t.Context()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.Addr().String()+"/v1/ws?token="+url.QueryEscape(ann(t)),
		&websocket.DialOptions{Subprotocols: []string{protocol.SubprotocolProtobuf}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	read := func() (m protocol.Message) {
		_, text, err := conn.Read(ctx)
		if err == nil {
			err = protocol.DecodeProtobuf(text, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := read(); m.Type != "welcome" {
		t.Fatalf("no welcome but %+v", m)
	}
	return func(p said) (told, bool) {
		m := p.frame()
		if err := conn.Write(ctx, websocket.MessageBinary, protocol.AppendProtobuf(nil, &m)); err != nil {
			t.Fatal(err)
		}
		m = read()
		return answerOf(t, &m), true
	}
}

// post says something for a stream, and reports whether the answer comes over it.
func post(t *testing.T, s *ringdown.Server, id, secret string, p said) (told, bool) {
	t.Helper()
	m := p.frame()
	code, text := fetch(t, s, "POST", "/v1/connections/"+id+"/messages", "", string(protocol.AppendJSON(nil, &m)), "Ringdown-Stream", secret)
	if code == 202 {
		return told{}, true
	}
	return toldBy(t, text), false
}

func sayStream(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	e := stream(t, s, "channel=open:idle", "Authorization", "Bearer "+ann(t))
	next := func() (m protocol.Message) {
		event, _ := e.next()
		text, err := json.Marshal(event)
		if err == nil {
			err = protocol.DecodeJSON(text, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	var welcome struct{ Connection, Secret string }
	m := next()
	if err := json.Unmarshal(m.Data, &welcome); err != nil {
		t.Fatal(err)
	}
	return func(p said) (told, bool) {
		o, coming := post(t, s, welcome.Connection, welcome.Secret, p)
		for coming {
			if m := next(); m.ID != nil {
				return answerOf(t, &m), true
			}
		}
		return o, true
	}
}

func sayPoll(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	token := ann(t)
	asked := map[string]any{"channels": []string{"open:idle"}}
	// poll returns the messages of the next answer.
	poll := func() (list []protocol.Message) {
		body, _ := json.Marshal(asked)
		code, text := fetch(t, s, "POST", "/v1/poll?wait=25", token, string(body))
		var page struct {
			Messages []json.RawMessage
			Cursor   string
		}
		if err := json.Unmarshal(text, &page); err != nil || code != 200 {
			t.Fatalf("%d %s", code, text)
		}
		asked["cursor"] = page.Cursor
		for _, text := range page.Messages {
			var m protocol.Message
			if err := protocol.DecodeJSON(text, &m); err != nil {
				t.Fatal(err)
			}
			list = append(list, m)
		}
		return list
	}
	var welcome struct{ Session, Connection, Secret string }
	if err := json.Unmarshal(poll()[0].Data, &welcome); err != nil {
		t.Fatal(err)
	}
	asked["session"] = welcome.Session
	return func(p said) (told, bool) {
		o, coming := post(t, s, welcome.Connection, welcome.Secret, p)
		for coming {
			for _, m := range poll() {
				if m.ID != nil {
					return answerOf(t, &m), true
				}
			}
		}
		return o, true
	}
}

func sayREST(byKey bool) func(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	return func(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
		credential := key
		if !byKey {
			credential = ann(t)
		}
		return func(p said) (told, bool) {
			_, text := fetch(t, s, "POST", "/v1/channels/"+url.PathEscape(p.channel)+"/messages", credential, p.body("type", "key", "data", "dedupe"))
			return toldBy(t, text), true
		}
	}
}

func sayBatch(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	token := ann(t)
	return func(p said) (told, bool) {
		_, text := fetch(t, s, "POST", "/v1/messages", token, `{"messages":[`+p.body("channel", "type", "key", "data", "dedupe")+`]}`)
		var page struct{ Results []json.RawMessage }
		if err := json.Unmarshal(text, &page); err != nil || len(page.Results) != 1 {
			t.Fatalf("%s", text)
		}
		var refused struct{ Error json.RawMessage }
		if err := json.Unmarshal(page.Results[0], &refused); err != nil {
			t.Fatal(err)
		}
		if refused.Error != nil {
			return toldBy(t, refused.Error), true
		}
		return toldBy(t, page.Results[0]), true
	}
}

func sayState(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	token := ann(t)
	return func(p said) (told, bool) {
		if p.key == "" {
			return told{}, false
		}
		path := "/v1/channels/" + url.PathEscape(p.channel) + "/state/" + url.PathEscape(p.key)
		if p.data == "null" {
			_, text := fetch(t, s, "DELETE", path+"?type="+url.QueryEscape(p.event), token, "", "Idempotency-Key", p.dedupe)
			return toldBy(t, text), true
		}
		_, text := fetch(t, s, "PUT", path, token, p.body("type", "data", "dedupe"))
		return toldBy(t, text), true
	}
}

func sayGo(t *testing.T, s *ringdown.Server) func(p said) (told, bool) {
	return func(p said) (told, bool) {
		r, err := s.Publish(t.Context(), p.channel, p.event, json.RawMessage(p.data), ringdown.WithKey(p.key), ringdown.WithDedupe(p.dedupe))
		if err == nil {
			return told{Offset: r.Offset}, true
		}
		e := protocol.AsError(err)
		return told{Code: string(e.Code), Rule: e.Rule, Limit: e.Limit, Reason: e.Reason, DidYouMean: e.DidYouMean, Message: e.Message, Retryable: e.Retryable}, true
	}
}
