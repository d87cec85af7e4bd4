package ringdown_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"ringdown"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a-secret-of-at-least-thirty-two-bytes!"

const conf = `
listen: 127.0.0.1:0
paths: [/v1/ws/chat, /socket]
auth:
  anonymous: true
  jwt: {secret: env:SECRET, algorithm: HS256}
  keys: [env:KEY]
channels:
  - name: orders
    history: {messages: 100}
    events: {order-created: {schema: {type: object, required: [id]}}}
    allow: {subscribe: anyone, publish: none}
  - name: lab:{name}
    history: {messages: 100}
    allow: {subscribe: anyone, publish: anyone}
  - name: trucks:{region}
    state: {}
    events: {position: {schema: {type: array}}}
    allow: {subscribe: signed_in, publish: 'user == "driver"'}
  - name: past:{name}
    history: {messages: 100}
    allow: {subscribe: anyone, publish: none, history: signed_in}
  - name: hall:{name}
    presence: true
    allow: {subscribe: anyone, presence: 'user.startsWith("a")'}
`

func env(name string) (string, bool) {
	v, ok := map[string]string{"SECRET": secret, "KEY": "a-key-of-sixteen-bytes-or-more"}[name]
	return v, ok
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func start(t *testing.T, o ringdown.Options) *ringdown.Server {
	t.Helper()
	if o.ConfigFile == "" && o.Config == nil && !o.Dev {
		o.Config = []byte(conf)
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	o.Env = env
	s, err := ringdown.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

type peer struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, url string) *peer {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	p := &peer{t, conn}
	if m := p.read(); m.Type != "welcome" {
		t.Fatalf("no welcome but %+v", m)
	}
	return p
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) read() protocol.Message {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	_, text, err := p.conn.Read(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var m protocol.Message
	if err := protocol.DecodeJSON(text, &m); err != nil {
		p.t.Fatal(err)
	}
	return m
}

func engines(t *testing.T, test func(t *testing.T, engine string)) {
	for _, e := range []string{"", "std"} {
		t.Run("engine="+e, func(t *testing.T) { test(t, e) })
	}
}

func TestPublishReachesSubscribers(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		s := start(t, ringdown.Options{Engine: engine})
		for _, path := range []string{"/v1/ws", "/v1/ws/chat", "/socket"} {
			p := dial(t, fmt.Sprintf("ws://%s%s", s.Addr(), path))
			p.send(`{"type":"subscribe","channel":"orders","id":1}`)
			if m := p.read(); m.Type != "subscribed" {
				t.Fatalf("%+v", m)
			}
			r, err := s.Publish(t.Context(), "orders", "order-created", map[string]int{"id": 7})
			if err != nil {
				t.Fatal(err)
			}
			if m := p.read(); m.Type != "order-created" || string(m.Data) != `{"id":7}` || m.Offset != r.Offset {
				t.Fatalf("%+v", m)
			}
		}
	})
}

func TestPublishErrors(t *testing.T) {
	s := start(t, ringdown.Options{})
	for _, c := range []struct {
		channel, event string
		data           any
		want           protocol.Code
	}{
		{"nowhere", "e", 1, protocol.CodeNotFound},
		{"orders", "other", 1, protocol.CodeInvalidData},
		{"orders", "order-created", map[string]int{}, protocol.CodeInvalidData},
		{"orders", "order-created", json.RawMessage(`{`), protocol.CodeBadRequest},
		{"lab:x", "subscribe", 1, protocol.CodeBadRequest},
	} {
		_, err := s.Publish(t.Context(), c.channel, c.event, c.data)
		if protocol.AsError(err).Code != c.want {
			t.Errorf("%s %s: %v", c.channel, c.event, err)
		}
	}
	if _, err := s.Publish(t.Context(), "lab:x", "e", make(chan int)); err == nil {
		t.Error("a channel is no JSON")
	}
	first, _ := s.Publish(t.Context(), "lab:x", "e", 1, ringdown.WithDedupe("k"))
	again, err := s.Publish(t.Context(), "lab:x", "e", 1, ringdown.WithDedupe("k"))
	if err != nil || !again.Duplicate || again.Offset != first.Offset {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
}

func TestHandleCallAndHooks(t *testing.T) {
	s := start(t, ringdown.Options{})
	left := make(chan string, 1)
	s.OnConnect(func(_ context.Context, c *ringdown.Connection) error { return nil })
	s.OnDisconnect(func(c *ringdown.Connection, _ string) { left <- c.ID })
	s.OnSubscribe(func(_ context.Context, _ *ringdown.Connection, channel string) error {
		if channel == "lab:forbidden" {
			return protocol.Errorf(protocol.CodeForbidden, "no")
		}
		if channel == "lab:broken" {
			return errors.New("the cause is for the log")
		}
		return nil
	})
	s.OnPublish(func(_ context.Context, _ *ringdown.Connection, m *ringdown.Message) error {
		if m.Event == "bad" {
			return protocol.Errorf(protocol.CodeInvalidData, "bad %s", m.Data)
		}
		return nil
	})
	s.HandleCall("double", func(_ context.Context, c *ringdown.Call) (any, error) {
		var n int
		if err := json.Unmarshal(c.Data, &n); err != nil {
			return nil, err
		}
		return 2 * n, nil
	})
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	for _, c := range []struct{ send, want string }{
		{`{"type":"double","id":1,"data":21}`, `{"type":"ack","id":1,"data":42}`},
		{`{"type":"double","id":2,"data":"x"}`, `"code":"backend_failed"`},
		{`{"type":"subscribe","channel":"lab:forbidden","id":3}`, `"code":"forbidden"`},
		{`{"type":"subscribe","channel":"lab:broken","id":3}`, `"code":"unavailable","message":"the application could not answer just now; try again","retryable":true`},
		{`{"type":"bad","channel":"lab:x","id":4,"data":9}`, `bad 9`},
		{`{"type":"good","channel":"lab:x","id":5,"data":9}`, `"type":"ack"`},
	} {
		p.send(c.send)
		m := p.read()
		if got := string(protocol.AppendJSON(nil, &m)); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.send, got)
		}
	}
	p.conn.Close(websocket.StatusNormalClosure, "")
	if id := <-left; id == "" {
		t.Error("nobody left")
	}
}

func TestMountedInSomebodysServer(t *testing.T) {
	o := ringdown.Options{Config: []byte(strings.Replace(conf, "listen: 127.0.0.1:0\n", "", 1))}
	s := start(t, o)
	if s.Addr() != nil {
		t.Fatal("it listens on its own")
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", s.Handler())
	mux.HandleFunc("/mine", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "mine") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	p := dial(t, "ws"+strings.TrimPrefix(srv.URL, "http")+"/v1/ws")
	p.send(`{"type":"ping","id":1}`)
	if m := p.read(); m.Type != "pong" {
		t.Errorf("%+v", m)
	}
}

func TestTLSListener(t *testing.T) {
	o := ringdown.Options{Config: []byte(strings.Replace(conf, "listen: 127.0.0.1:0\n", "", 1))}
	s := start(t, o)
	srv := httptest.NewUnstartedServer(s.Handler())
	srv.StartTLS()
	defer srv.Close()
	conn, _, err := websocket.Dial(t.Context(), "wss"+strings.TrimPrefix(srv.URL, "https")+"/v1/ws", &websocket.DialOptions{HTTPClient: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	p := &peer{t, conn}
	p.read()
	big := strings.Repeat("x", 40_000)
	p.send(`{"type":"subscribe","channel":"lab:tls","id":1}`)
	p.read()
	p.send(`{"type":"e","channel":"lab:tls","data":"` + big + `"}`)
	p.conn.SetReadLimit(1 << 20)
	if m := p.read(); len(m.Data) != len(big)+2 {
		t.Errorf("%d bytes came back", len(m.Data))
	}
}

func TestReload(t *testing.T) {
	path := t.TempDir() + "/ringdown.yaml"
	write(t, path, conf)
	s := start(t, ringdown.Options{ConfigFile: path})
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	p.send(`{"type":"subscribe","channel":"lab:x","id":1}`)
	p.read()

	write(t, path, "channels: nonsense\n")
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "ringdown.yaml:1") {
		t.Fatalf("a bad file: %v", err)
	}
	p.send(`{"type":"e","channel":"lab:x","data":1}`)
	if m := p.read(); m.Type != "e" {
		t.Fatalf("after a bad file: %+v", m)
	}

	write(t, path, strings.Replace(conf, "allow: {subscribe: anyone, publish: anyone}", "allow: {subscribe: signed_in, publish: anyone}", 1))
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if m := p.read(); m.Type != "error" || !bytes.Contains(m.Data, []byte(`"rule":"lab:{name}.allow.subscribe"`)) {
		t.Fatalf("after the reload: %+v", m)
	}
	if m := p.read(); m.Type != "unsubscribed" || m.Channel != "lab:x" {
		t.Fatalf("after the reload: %+v", m)
	}
}

func TestDev(t *testing.T) {
	if _, err := ringdown.New(ringdown.Options{Logger: quiet()}); err == nil {
		t.Error("a server without a configuration")
	}
	s, err := ringdown.New(ringdown.Options{Dev: true, Listen: "0.0.0.0:0", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Fatalf("dev mode on every address: %v", err)
	}
	d := start(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0"})
	p := dial(t, "ws://"+d.Addr().String()+"/v1/ws?token=ann")
	p.send(`{"type":"subscribe","channel":"any:thing/at:all","id":1}`)
	if m := p.read(); m.Type != "subscribed" {
		t.Errorf("%+v", m)
	}
}

func TestStopTellsClients(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		s := start(t, ringdown.Options{Engine: engine})
		p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(context.Background()) }()
		if m := p.read(); m.Type != "reconnect" {
			t.Errorf("%+v", m)
		}
		_, _, err := p.conn.Read(t.Context())
		if code := websocket.CloseStatus(err); code != 4200 {
			t.Errorf("closed with %v", err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	s, err := ringdown.New(ringdown.Options{Config: []byte(conf), Env: env, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
