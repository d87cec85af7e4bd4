package ringdown_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/protocol"
)

// TestSeveralHooks: functions of one hook are asked in order, and the first that
// refuses ends the asking.
func TestSeveralHooks(t *testing.T) {
	s := start(t, ringdown.Options{})
	var mu sync.Mutex
	var asked []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, what)
	}
	for _, n := range []string{"1", "2"} {
		s.OnConnect(func(context.Context, *ringdown.Connection) error { note("connect " + n); return nil })
		s.OnSubscribe(func(_ context.Context, _ *ringdown.Connection, channel string) error {
			note("subscribe " + n)
			if channel == "lab:closed" {
				return protocol.Errorf(protocol.CodeForbidden, "not this one")
			}
			return nil
		})
		s.OnPublish(func(context.Context, *ringdown.Connection, *ringdown.Message) error { note("publish " + n); return nil })
	}
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	for _, text := range []string{
		`{"type":"subscribe","channel":"lab:closed","id":1}`, `{"type":"subscribe","channel":"lab:open","id":2}`, `{"type":"e","channel":"lab:other","id":3}`,
	} {
		p.send(text)
		p.read()
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"connect 1", "connect 2", "subscribe 1", "subscribe 1", "subscribe 2", "publish 1", "publish 2"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// TestHooksSeeTheRequest: the header, without what somebody could be by it, and the
// client's address behind a proxy, on every door and by every hook.
func TestHooksSeeTheRequest(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(ownConf), Authenticate: bySession})
	seen := make(chan *ringdown.Connection, 10)
	s.OnConnect(func(_ context.Context, c *ringdown.Connection) error { seen <- c; return nil })
	s.OnPublish(func(_ context.Context, c *ringdown.Connection, _ *ringdown.Message) error { seen <- c; return nil })
	header := []string{"Cookie", "session=ann", "Authorization", "Bearer " + token(t, "ann"), "User-Agent", "a phone", "X-Forwarded-For", "203.0.113.7"}
	look := func(way string) {
		c := <-seen
		if got := c.Header.Get("User-Agent"); got != "a phone" || c.RemoteAddr != "203.0.113.7" {
			t.Errorf("%s: %q from %s", way, got, c.RemoteAddr)
		}
		for name := range c.Header {
			if name == "Cookie" || name == "Authorization" || strings.HasPrefix(name, "Sec-Websocket") {
				t.Errorf("%s: the hook sees %s", way, name)
			}
		}
	}
	for way, ask := range ways {
		if got := ask(t, s, header...); got != "ann" {
			t.Errorf("%s: %q", way, got)
		}
		look(way)
	}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/v1/ws", &websocket.DialOptions{HTTPHeader: headers(header)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	look("a connection")
	p := &peer{t, conn}
	p.send(`{"type":"e","channel":"own:ann","id":1}`)
	look("a publication")
}

// TestOnUnsubscribe: the application hears of the end of every subscription, however
// it comes, and only of those.
func TestOnUnsubscribe(t *testing.T) {
	path := t.TempDir() + "/ringdown.yaml"
	write(t, path, conf)
	s := start(t, ringdown.Options{ConfigFile: path})
	ended := make(chan string, 10)
	s.OnUnsubscribe(func(_ *ringdown.Connection, channel string) { ended <- "first " + channel })
	s.OnUnsubscribe(func(c *ringdown.Connection, channel string) { ended <- c.Transport + " " + channel })
	want := func(channel string) {
		t.Helper()
		for _, by := range []string{"first ", "websocket "} {
			if got := <-ended; got != by+channel {
				t.Errorf("%q ended, want %q", got, by+channel)
			}
		}
	}
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	for _, name := range []string{"lab:word", "lab:rule", "orders"} {
		p.send(`{"type":"subscribe","channel":"` + name + `"}`)
		p.read()
	}
	p.send(`{"type":"unsubscribe","channel":"lab:none","id":1}`)
	p.read()
	p.send(`{"type":"unsubscribe","channel":"lab:word","id":2}`)
	if m := p.read(); m.Type != "unsubscribed" || len(ended) != 2 {
		t.Errorf("%+v, and %d were told", m, len(ended))
	}
	want("lab:word")
	write(t, path, strings.Replace(conf, "allow: {subscribe: anyone, publish: anyone}", "allow: {subscribe: none, publish: anyone}", 1))
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	want("lab:rule")
	p.conn.CloseNow()
	want("orders")
}
