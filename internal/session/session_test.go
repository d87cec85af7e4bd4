package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/protocol"
)

func token(t *testing.T, user string, expires time.Time) string {
	t.Helper()
	tok, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"}, map[string]any{"sub": user, "exp": expires.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestWelcome(t *testing.T) {
	h := newHouse(t, houseOptions{})
	expires := time.Now().Add(time.Hour)
	c := h.open(Open{Identity: &auth.Identity{User: "ann", Expires: expires}})
	m := c.one()
	var d struct {
		Connection, User, Server string
		Protocol, Ping, Expires  int64
		MaxMessage               int `json:"max_message"`
	}
	if err := json.Unmarshal(m.Data, &d); err != nil || m.Type != "welcome" {
		t.Fatal(show([]protocol.Message{m}), err)
	}
	if d.Connection != c.x.ID() || d.User != "ann" || d.Protocol != 1 || d.Ping != 25000 || d.Expires != expires.UnixMilli() || d.MaxMessage != 65536 || d.Server != "test" {
		t.Errorf("welcome says %s", m.Data)
	}
}

func TestNobodyIsWelcomeWithoutToken(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{AuthTimeout: 100 * time.Millisecond}}})
	c := h.connect("")
	if got := code(t, c.one()); got != protocol.CodeUnauthorized {
		t.Errorf("told %s", got)
	}
	if got := c.closed(); got != protocol.CloseNoAuth {
		t.Errorf("closed with %d", got)
	}
}

func TestAnonymous(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	c := h.connect("")
	if m := c.one(); m.Type != "welcome" || bytes.Contains(m.Data, []byte(`"user"`)) {
		t.Fatal(show([]protocol.Message{m}))
	}
	c.send(`{"type":"subscribe","channel":"secret","id":1}`)
	if got := code(t, c.one()); got != protocol.CodeForbidden {
		t.Errorf("told %s", got)
	}
	// Who signs in later is welcome again, by name.
	c.sendf(`{"type":"auth","id":2,"token":%q}`, token(t, "ann", time.Now().Add(time.Hour)))
	if m := c.next(); m.Type != "welcome" || !bytes.Contains(m.Data, []byte(`"user":"ann"`)) {
		t.Fatal(show([]protocol.Message{m}))
	}
	if m := c.one(); m.Type != "ack" || string(m.ID) != "2" {
		t.Fatal(show([]protocol.Message{m}))
	}
	c.send(`{"type":"subscribe","channel":"secret","id":3}`)
	if m := c.one(); m.Type != "subscribed" {
		t.Fatal(show([]protocol.Message{m}))
	}
}

func TestAuthByMessage(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.connect("")
	c.send(`{"type":"subscribe","channel":"kept","id":1}`)
	if got := code(t, c.one()); got != protocol.CodeUnauthorized {
		t.Errorf("before auth: %s", got)
	}
	// What is sent right behind the token waits for it, and is answered in order.
	c.sendf(`{"type":"auth","token":%q}`, token(t, "ann", time.Now().Add(time.Hour)))
	c.send(`{"type":"subscribe","channel":"kept","id":2}`)
	c.send(`{"type":"ping","id":3}`)
	got := c.await(3)
	if got[0].Type != "welcome" || got[1].Type != "subscribed" || got[2].Type != "pong" || string(got[2].ID) != "3" {
		t.Error(show(got))
	}
	if c.link.paused {
		t.Error("reading is still paused")
	}
}

func TestBadTokens(t *testing.T) {
	h := newHouse(t, houseOptions{})
	for name, c := range map[string]struct {
		token string
		want  protocol.CloseCode
	}{
		"garbage": {"x.y.z", protocol.CloseInvalidToken},
		"expired": {token(t, "ann", time.Now().Add(-time.Hour)), protocol.CloseTokenExpired},
	} {
		t.Run(name+" by message", func(t *testing.T) {
			cl := h.connect("")
			cl.sendf(`{"type":"auth","token":%q}`, c.token)
			if m := cl.one(); code(t, m) != protocol.CodeUnauthorized || bytes.Contains(m.Data, []byte(c.token)) {
				t.Error(show([]protocol.Message{m}))
			}
			if got := cl.closed(); got != c.want {
				t.Errorf("closed with %d, want %d", got, c.want)
			}
		})
		t.Run(name+" by handshake", func(t *testing.T) {
			_, err := h.server.Authenticate(context.Background(), c.token)
			cl := h.open(Open{AuthError: err})
			if got := code(t, cl.one()); got != protocol.CodeUnauthorized {
				t.Errorf("told %s", got)
			}
			if got := cl.closed(); got != c.want {
				t.Errorf("closed with %d, want %d", got, c.want)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.open(Open{Identity: &auth.Identity{User: "ann", Expires: time.Now().Add(300 * time.Millisecond)}})
	c.one()
	c.sendf(`{"type":"auth","id":1,"token":%q}`, token(t, "bob", time.Now().Add(time.Hour)))
	if got := code(t, c.one()); got != protocol.CodeConflict {
		t.Errorf("becoming somebody else: %s", got)
	}
	c.send(`{"type":"auth","id":2,"token":"nonsense"}`)
	if got := code(t, c.one()); got != protocol.CodeUnauthorized {
		t.Errorf("a bad refresh: %s", got)
	}
	until := time.Now().Add(time.Hour)
	c.sendf(`{"type":"auth","id":3,"token":%q}`, token(t, "ann", until))
	if m := c.one(); m.Type != "ack" || !bytes.Contains(m.Data, []byte(`"expires":`)) {
		t.Error(show([]protocol.Message{m}))
	}
	if d := time.Until(c.x.identity.Expires); d < 50*time.Minute {
		t.Errorf("the token in force expires in %v", d)
	}
}

func TestExpiry(t *testing.T) {
	h := newHouse(t, houseOptions{})
	begun := time.Now()
	c := h.open(Open{Identity: &auth.Identity{User: "ann", Expires: begun.Add(200 * time.Millisecond)}})
	if got := c.await(2); code(t, got[1]) != protocol.CodeUnauthorized {
		t.Error(show(got))
	}
	if got := c.closed(); got != protocol.CloseTokenExpired {
		t.Errorf("closed with %d", got)
	}
	if d := time.Since(begun); d < 200*time.Millisecond || d > 2*time.Second {
		t.Errorf("closed after %v", d)
	}
}

func TestEveryVerb(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	for _, v := range []string{"welcome", "subscribed", "unsubscribed", "ack", "error", "state", "gap", "reconnect", "presence"} {
		c.sendf(`{"type":%q,"channel":"kept","id":"x"}`, v)
		if m := c.one(); code(t, m) != protocol.CodeBadRequest || string(m.ID) != `"x"` {
			t.Errorf("%s: %s", v, show([]protocol.Message{m}))
		}
	}
	c.send(`{"type":"pong"}`) // answers a ping of the server, and is answered by nothing
	h.do(c.x.Ping)
	if m := c.one(); m.Type != "ping" || m.Data != nil {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"ping"}`)
	if m := c.one(); m.Type != "pong" || !bytes.Contains(m.Data, []byte(`"time":`)) {
		t.Error(show([]protocol.Message{m}))
	}
}

func TestBadMessages(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{BadMessages: 3}}})
	c := h.welcomed("ann")
	for range 3 {
		c.send(`{"type":`)
		if got := code(t, c.one()); got != protocol.CodeBadRequest {
			t.Errorf("told %s", got)
		}
	}
	if c.link.code != 0 {
		t.Fatal("closed within the limit")
	}
	c.send(`[]`)
	c.one()
	if got := c.closed(); got != protocol.CloseProtocol {
		t.Errorf("closed with %d", got)
	}
}

// TestRate is the limit at n-1, n and n+1, and its end for who goes on.
func TestRate(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{MessagesPerSecond: 1, MessagesBurst: 5}}})
	c := h.welcomed("ann")
	h.do(func() { // in one turn of the loop no time goes by
		for range 6 {
			c.x.Message(&protocol.Message{Type: "ping"})
		}
	})
	got := c.await(6)
	for i, m := range got[:5] {
		if m.Type != "pong" {
			t.Errorf("message %d: %s", i, m.Type)
		}
	}
	if code(t, got[5]) != protocol.CodeRateLimited || !bytes.Contains(got[5].Data, []byte(`"retryable":true`)) {
		t.Errorf("message 6: %s", got[5].Data)
	}
	h.do(func() {
		for range 9 { // twice the burst, with the one before
			c.x.Message(&protocol.Message{Type: "ping"})
		}
	})
	if c.await(9); c.x.ending {
		t.Error("cut off while its refusals were still answered")
	}
	h.do(func() { c.x.Message(&protocol.Message{Type: "ping"}) })
	if got := c.closed(); got != protocol.CloseRateLimited {
		t.Errorf("closed with %d", got)
	}
}

func TestUnauthenticatedLimits(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{UnauthenticatedPerSecond: 2}}})
	c := h.connect("")
	if got := c.x.MaxMessage(); got != 4096 {
		t.Errorf("a message may have %d bytes before auth", got)
	}
	h.do(func() {
		for range 3 {
			c.x.Message(&protocol.Message{Type: "ping"})
		}
	})
	got := c.await(3)
	if code(t, got[1]) != protocol.CodeUnauthorized || code(t, got[2]) != protocol.CodeRateLimited {
		t.Error(show(got))
	}
	a := h.welcomed("ann")
	if got := a.x.MaxMessage(); got != 65536 {
		t.Errorf("a message may have %d bytes after auth", got)
	}
}

func TestHooks(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, houseOptions{log: &log})
	left := make(chan string, 8)
	h.server.SetHooks(Hooks{
		Connect: func(_ context.Context, c *Client) error {
			switch c.User {
			case "later":
				return &protocol.Error{Code: protocol.CodeUnavailable, Message: "come back", Retryable: true}
			case "no":
				return protocol.Errorf(protocol.CodeForbidden, "not you")
			case "broken":
				return errors.New("the reason is nobody's business")
			case "crash":
				panic("planted in the connect hook")
			}
			return nil
		},
		Subscribe: func(_ context.Context, _ *Client, name string) error {
			if name == "live" {
				return protocol.Errorf(protocol.CodeForbidden, "not live")
			}
			return nil
		},
		Publish: func(_ context.Context, _ *Client, m *protocol.Message) error {
			if string(m.Data) == `"bad"` {
				return errors.New("the disk is full")
			}
			return nil
		},
		Disconnect: func(c *Client, _ string) { left <- c.User },
	})
	for user, want := range map[string]protocol.CloseCode{"later": protocol.CloseBackendRefused, "no": protocol.CloseForbidden, "broken": protocol.CloseBackendRefused, "crash": protocol.CloseInternal} {
		c := h.connect(user)
		if m := c.one(); m.Type != "error" || bytes.Contains(m.Data, []byte("nobody's business")) {
			t.Errorf("%s: %s", user, show([]protocol.Message{m}))
		}
		if got := c.closed(); got != want {
			t.Errorf("%s: closed with %d, want %d", user, got, want)
		}
	}
	for _, cause := range []string{"planted in the connect hook", "the reason is nobody's business"} {
		if !strings.Contains(log.String(), cause) {
			t.Errorf("%q is not in the log", cause)
		}
	}

	c := h.connect("ann")
	c.one()
	c.send(`{"type":"subscribe","id":1,"channels":["kept","live","board"]}`)
	c.send(`{"type":"e","channel":"kept","id":2,"data":"bad"}`)
	c.send(`{"type":"e","channel":"kept","id":3,"data":"good"}`)
	got := c.await(7)
	if got[0].Type != "subscribed" || code(t, got[1]) != protocol.CodeForbidden || got[2].Channel != "board" || code(t, got[4]) != protocol.CodeUnavailable || bytes.Contains(got[4].Data, []byte("disk")) {
		t.Error(show(got))
	}
	c.leave()
	if user := <-left; user != "ann" {
		t.Errorf("%q left", user)
	}
}

func TestRecheck(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "kept")
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	c.await(2)
	tb := mustTable(t, "kept", "other")
	h.node.SetTable(tb)
	h.server.Recheck()
	got := c.await(4)
	seen := map[string]int{}
	for _, m := range got {
		seen[m.Type+" "+m.Channel]++
	}
	for _, want := range []string{"error kept", "unsubscribed kept", "error board", "unsubscribed board"} {
		if seen[want] != 1 {
			t.Errorf("%s: %d times", want, seen[want])
		}
	}
	if n := h.node.Channels(); n != 0 {
		t.Errorf("%d channels are still followed", n)
	}
}

// TestLastGrace: a token that was let in within its issuer's leeway is good for
// that much longer, and not for the leeway of anybody else.
func TestLastGrace(t *testing.T) {
	h := newHouse(t, houseOptions{})
	begun := time.Now()
	c := h.open(Open{Identity: &auth.Identity{User: "ann", Expires: begun.Add(-100 * time.Millisecond), Leeway: 400 * time.Millisecond}})
	if got := c.closed(); got != protocol.CloseTokenExpired {
		t.Errorf("closed with %d", got)
	}
	if d := time.Since(begun); d < 200*time.Millisecond || d > 5*time.Second {
		t.Errorf("closed after %v", d)
	}
}
