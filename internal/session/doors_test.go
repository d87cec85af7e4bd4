package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/protocol"
)

func codeOf(err error) protocol.Code {
	if err == nil {
		return ""
	}
	return protocol.AsError(err).Code
}

// TestIdentify: by what a request says who makes it, and what of it counts first.
func TestIdentify(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{AnyKey: true, AnyToken: true, Origins: auth.Origins{}.WithCookies()}})
	s := h.server
	named, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	judge := s.opts.Verifier
	s.opts.Verifier = named // which knows no tokens
	key := strings.Repeat("k", auth.MinKey)
	ask := func(method, target string, header ...string) *http.Request {
		r := httptest.NewRequest(method, target, strings.NewReader("body"))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	ticket := func() string {
		text, _, err := s.IssueTicket(&auth.Identity{User: "ticketed"}, "")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	used := ticket()
	if _, err := s.Redeem(t.Context(), used, ""); err != nil {
		t.Fatal(err)
	}
	other, _, _ := s.IssueTicket(&auth.Identity{User: "ticketed"}, "https://b.example")
	for _, c := range []struct {
		name   string
		r      *http.Request
		who    string // of whom it is; "server" is a key's
		found  bool
		code   protocol.Code
		refuse uint64 // tokens that are counted as refused
	}{
		{"nothing", ask("GET", "/"), "", false, "", 0},
		{"a key", ask("GET", "/", "Authorization", "Bearer "+key), "server", true, "", 0},
		{"a ticket", ask("GET", "/?ticket="+ticket()), "ticketed", true, "", 0},
		{"a ticket and a key", ask("GET", "/?ticket="+ticket(), "Authorization", "Bearer "+key), "ticketed", true, "", 0},
		{"a used ticket", ask("GET", "/?ticket="+used), "", true, protocol.CodeUnauthorized, 1},
		{"a ticket of a page", ask("GET", "/?ticket="+other, "Origin", "https://a.example"), "", true, protocol.CodeUnauthorized, 1},
		{"a ticket of no node", ask("GET", "/?ticket=abc"), "", true, protocol.CodeUnauthorized, 1},
		{"a ticket of a node that is gone", ask("GET", "/?ticket=gone"+used[len(used)-22:]), "", true, protocol.CodeUnauthorized, 1},
		{"a token", ask("GET", "/?token=ann"), "ann", true, "", 0},
		{"a cookie", ask("GET", "/", "Cookie", "user=bob"), "bob", true, "", 0},
		{"a cookie and a token", ask("GET", "/?token=ann", "Cookie", "user=bob"), "bob", true, "", 0},
		{"a cookie with JSON", ask("POST", "/", "Cookie", "user=bob", "Content-Type", "application/json; charset=utf-8"), "bob", true, "", 0},
		{"a cookie with a form", ask("POST", "/", "Cookie", "user=bob", "Content-Type", "text/plain"), "", false, "", 0},
		{"a cookie with no type", ask("POST", "/", "Cookie", "user=bob"), "", false, "", 0},
		{"a cookie from another site", ask("GET", "/", "Cookie", "user=bob", "Origin", "https://a.example"), "", false, "", 0},
		{"a refused cookie", ask("GET", "/", "Cookie", "user=nobody"), "", true, protocol.CodeUnauthorized, 1},
		{"a cookie that is not understood", ask("GET", "/", "Cookie", "user=broken"), "", true, protocol.CodeUnavailable, 0},
		{"a name that is none", ask("GET", "/?token="+strings.Repeat("u", 300)), "", true, protocol.CodeUnauthorized, 1},
		{"a token that is a key", ask("GET", "/?token="+key), "", true, protocol.CodeUnauthorized, 1},
	} {
		s.opts.Authenticate = func(r *http.Request) (*auth.Identity, error) {
			if body, err := io.ReadAll(r.Body); err != nil || len(body) > 0 {
				t.Errorf("%s: the application is given the body %q", c.name, body)
			}
			if _, ok := r.Context().Deadline(); !ok {
				t.Error("it may take for ever")
			}
			switch cookie, _ := r.Cookie("user"); {
			case cookie == nil:
				return nil, nil
			case cookie.Value == "nobody":
				return nil, protocol.Errorf(protocol.CodeUnauthorized, "no")
			case cookie.Value == "broken":
				return nil, errors.New("inner")
			default:
				return &auth.Identity{User: cookie.Value}, nil
			}
		}
		before := s.Metrics().TokensRefused.Load()
		who, found, err := s.Identify(t.Context(), c.r)
		got := ""
		if who != nil {
			if got = who.User; who.Server {
				got = "server"
			}
		}
		refused := s.Metrics().TokensRefused.Load() - before
		if strings.HasPrefix(c.name, "a name that is none") {
			refused = c.refuse // it is no token, and may be counted or not
		}
		if got != c.who || found != c.found || codeOf(err) != c.code || refused != c.refuse {
			t.Errorf("%s: %q %v %v, %d refused", c.name, got, found, err, refused)
		}
	}
	if body, _ := io.ReadAll(ask("GET", "/").Body); len(body) == 0 {
		t.Error("the body is the caller's")
	}
	s.opts.Verifier = judge
	before := s.Metrics().TokensRefused.Load()
	s.SetPolicy(Policy{Origins: auth.Origins{}.WithCookies()})
	if who, found, err := s.Identify(t.Context(), ask("GET", "/", "Authorization", "Bearer "+key)); who != nil || !found || codeOf(err) != protocol.CodeUnauthorized || s.Metrics().TokensRefused.Load() == before {
		t.Errorf("a key that is none: %v %v %v", who, found, err)
	}
	s.opts.Authenticate = nil
	if who, err := s.Known(t.Context(), ask("GET", "/", "Cookie", "user=bob")); who != nil || err != nil {
		t.Errorf("known: %v, %v", who, err)
	}
}

// TestReadQuery: what the address says of a client.
func TestReadQuery(t *testing.T) {
	for _, c := range []struct {
		query  string
		user   bool
		client int // letters; -1: it is refused
	}{
		{"", false, 0},
		{"expect=user", true, 0},
		{"expect=other", false, -1},
		{"client=" + strings.Repeat("a", minClient), false, minClient},
		{"client=" + strings.Repeat("Z", maxClient), false, maxClient},
		{"client=" + strings.Repeat("a", minClient-1), false, -1},
		{"client=" + strings.Repeat("a", maxClient+1), false, -1},
		{"client=azAZ09-_azAZ09-_azAZ09-_", false, 24},
	} {
		q, _ := url.ParseQuery(c.query)
		var o Open
		err := o.ReadQuery(q)
		if (err != nil) != (c.client < 0) || err == nil && (len(o.Client) != c.client || o.ExpectUser != c.user) {
			t.Errorf("%s: %+v, %v", c.query, o, err)
		}
	}
	for b := range 256 { // each byte that is no letter, digit, - or _
		good := b == '-' || b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
		var o Open
		if err := o.ReadQuery(url.Values{"client": {string([]byte{byte(b)}) + strings.Repeat("x", minClient)}}); (err == nil) != good {
			t.Errorf("the byte %q: %v", rune(b), err)
		}
	}
}

// TestHeader: hooks see the header of a request if there are any, without what
// somebody could be by it.
func TestHeader(t *testing.T) {
	h := newHouse(t, houseOptions{})
	r := httptest.NewRequest("GET", "/", nil)
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie", "Ringdown-Stream", "Connection", "Upgrade", "Sec-Websocket-Key", "X-Own", "User-Agent"} {
		r.Header.Set(name, "value")
	}
	header := func() string {
		var names []string
		for name := range h.server.Header(r) {
			names = append(names, name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	if got := header(); got != "" {
		t.Errorf("nobody asks, and there is %s", got)
	}
	for name, hooks := range map[string]Hooks{
		"connect":     {Connect: func(context.Context, *Client) error { return nil }},
		"subscribe":   {Subscribe: func(context.Context, *Client, string) error { return nil }},
		"publish":     {Publish: func(context.Context, *Client, *protocol.Message) error { return nil }},
		"disconnect":  {Disconnect: func(*Client, string) {}},
		"unsubscribe": {Unsubscribe: func(*Client, string) {}},
	} {
		h.server.SetHooks(hooks)
		if got := header(); got != "User-Agent X-Own" {
			t.Errorf("%s sees %s", name, got)
		}
	}
	h.server.SetHooks(Hooks{})
	h.server.HandleCall("e", func(context.Context, *Call) (json.RawMessage, error) { return nil, nil })
	if got := header(); got != "User-Agent X-Own" {
		t.Errorf("a call sees %s", got)
	}
	h.server.HandleCall("e", nil)
	if got := header(); got != "" {
		t.Errorf("nobody asks any more, and there is %s", got)
	}
	if len(r.Header) != 9 {
		t.Errorf("the request has lost some of its header: %v", r.Header)
	}
}

// TestHooksAreReplaced: what was asked before is asked no more.
func TestHooksAreReplaced(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.send(`{"type":"e","channel":"kept","id":1,"data":1}`)
	c.one()
	h.server.SetHooks(Hooks{Publish: func(_ context.Context, c *Client, _ *protocol.Message) error {
		return protocol.Errorf(protocol.CodeForbidden, "not %s from %s over %s as %s", c.User, c.RemoteAddr, c.Transport, c.Connection)
	}})
	c.send(`{"type":"e","channel":"kept","id":2,"data":1}`)
	if m := c.one(); code(t, m) != protocol.CodeForbidden || !strings.Contains(string(m.Data), "not ann from 127.0.0.1:1 over test as "+c.x.ID()) {
		t.Error(show([]protocol.Message{m}))
	}
	h.server.SetHooks(Hooks{})
	c.send(`{"type":"e","channel":"kept","id":3,"data":1}`)
	if m := c.one(); m.Type != "ack" {
		t.Error(show([]protocol.Message{m}))
	}
}

// TestDisconnectHook hears who has left and why, with what its token said.
func TestDisconnectHook(t *testing.T) {
	h := newHouse(t, houseOptions{})
	left := make(chan string, 2)
	h.server.SetHooks(Hooks{Connect: func(context.Context, *Client) error { return nil }, Disconnect: func(c *Client, reason string) {
		left <- fmt.Sprintf("%s %s %q %s", c.User, c.Claims, reason, c.Connection)
	}})
	for _, reason := range []string{"", "reset"} {
		c := h.open(Open{Transport: "test", Identity: &auth.Identity{User: "ann", Claims: []byte(`{"a":1}`)}})
		c.one()
		if h.settle(); c.link.paused {
			t.Error("nothing is read from it after its welcome")
		}
		id := c.x.ID()
		if open := transports(h.server); open != "test 1" {
			t.Errorf("open are %s", open)
		}
		c.do(func() {
			if reason == "" {
				c.x.Closed(nil)
			} else {
				c.x.Closed(errors.New(reason))
			}
		})
		if got, want := <-left, fmt.Sprintf("ann {\"a\":1} %q %s", reason, id); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	h.open(Open{Transport: "other", Identity: &auth.Identity{User: "bob"}})
	if open := transports(h.server); !strings.Contains(open, "test 0") || !strings.Contains(open, "other 1") {
		t.Errorf("open are %s", open)
	}
	if n := h.server.Metrics().Opened.Load(); n != 3 {
		t.Errorf("%d were opened", n)
	}
}

// TestWalkIsLong: more sessions than are visited at a time are all visited.
func TestWalkIsLong(t *testing.T) {
	h := newHouse(t, houseOptions{})
	all := make([]*client, 2*walkStep+1)
	for i := range all {
		all[i] = h.subscribed("ann", "kept")
	}
	h.node.SetTable(mustTable(t, "kept"))
	h.server.Recheck()
	for _, c := range all {
		c.await(2) // why, and unsubscribed
	}
}

// TestAnyToken is for servers that can verify none.
func TestAnyToken(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{AnyToken: true}})
	if id, err := h.server.Authenticate(t.Context(), "ann"); err == nil {
		t.Errorf("a server that verifies tokens takes any for %+v", id)
	}
	if n := h.server.Metrics().TokensRefused.Load(); n != 1 {
		t.Errorf("%d tokens were refused", n)
	}
}

// TestStopEndsWork that the application does for a connection.
func TestStopEndsWork(t *testing.T) {
	h := newHouse(t, houseOptions{})
	begun := make(chan struct{})
	h.server.SetHooks(Hooks{Subscribe: func(ctx context.Context, _ *Client, _ string) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}})
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","channel":"kept"}`)
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// TestOpenKeepsTheHeader for the hooks.
func TestOpenKeepsTheHeader(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.open(Open{Transport: "test", Identity: &auth.Identity{User: "ann"}, Header: http.Header{"X-Own": {"yes"}}})
	c.do(func() {
		if got := c.x.client().Header.Get("X-Own"); got != "yes" {
			t.Errorf("X-Own is %q", got)
		}
	})
	if d := h.welcomed("bob"); d.x.extra != nil && d.x.extra.header != nil {
		t.Error("a header that nobody sent takes memory")
	}
}

// TestReadersWithoutConnection are asked about as subscribers are, where there is a hook.
func TestReadersWithoutConnection(t *testing.T) {
	h := newHouse(t, houseOptions{})
	ann, server := &node.Caller{User: "ann"}, &node.Caller{Server: true}
	if err := h.server.AskSubscribe(t.Context(), ann, "kept"); err != nil {
		t.Error(err)
	}
	h.server.SetHooks(Hooks{Subscribe: func(_ context.Context, c *Client, name string) error {
		return protocol.Errorf(protocol.CodeForbidden, "%s may not read %s", c.User, name)
	}})
	if err := h.server.AskSubscribe(t.Context(), ann, "kept"); err == nil || !strings.Contains(err.Error(), "ann may not read kept") {
		t.Error(err)
	}
	if err := h.server.AskSubscribe(t.Context(), server, "kept"); err != nil {
		t.Error(err)
	}
}

// TestUnsubscribeHook hears of every channel that a connection had when it ended, and
// asks no session for them while there is no such hook.
func TestUnsubscribeHook(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","id":1,"channels":["kept","live"]}`)
	c.await(2)
	if names := c.x.names(); names != nil {
		t.Errorf("nobody asked for %q", names)
	}
	left := make(chan string, 2)
	h.server.SetHooks(Hooks{Unsubscribe: func(c *Client, name string) { left <- c.User + " " + name }})
	c.leave()
	got := []string{<-left, <-left}
	slices.Sort(got)
	if want := []string{"ann kept", "ann live"}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// TestKeptChanges: who follows a channel that begins or ceases to keep messages is told
// to subscribe anew, for positions mean something else now.
func TestKeptChanges(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.subscribed("ann", "kept")
	table, err := channel.NewTable([]*channel.Declaration{{Name: "kept", Allow: open(channel.Anyone)}})
	if err != nil {
		t.Fatal(err)
	}
	h.node.SetTable(table)
	h.server.Recheck()
	if got := c.await(2); code(t, got[0]) != protocol.CodeConflict || got[1].Type != "unsubscribed" {
		t.Error(show(got))
	}
}

// TestActions are what logs and metrics call what was refused.
func TestActions(t *testing.T) {
	for want, m := range map[string]*protocol.Message{
		"subscribe": {Type: "subscribe", Channel: "kept"}, "message": {}, "call": {Type: "price"}, "publish": {Type: "e", Channel: "kept"},
	} {
		if got := actionOf(m); got != want {
			t.Errorf("%+v is called %s, want %s", m, got, want)
		}
	}
	// Parameters are JSON, and never the payload of a binary frame.
	if _, err := newPresenceRequest(&protocol.Message{Channel: "kept", Binary: true, Data: []byte(`{"action":"get"}`)}); codeOf(err) != protocol.CodeBadRequest {
		t.Error(err)
	}
}

// TestWaitingIsCounted by all that a message takes with it.
func TestWaitingIsCounted(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.do(func() {
		c.x.suspend()
		if !c.link.paused {
			t.Error("a session that waits reads on")
		}
		m := &protocol.Message{Type: "e", Channel: "12", Key: "345", Token: "6789", Data: []byte("01234")}
		c.x.deferMessage(m, nil)
		if n := c.x.suspended.bytes; n != deferredBytes+14 {
			t.Errorf("%d bytes wait", n)
		}
		m = &protocol.Message{Type: "subscribe", Channels: []protocol.Subscription{{Channel: "12", Data: []byte("345")}, {Channel: "6"}}}
		c.x.deferMessage(m, nil)
		if n := c.x.suspended.bytes; n != 2*deferredBytes+14+2*listedBytes+6 {
			t.Errorf("%d bytes wait", n)
		}
	})
}

func transports(s *Server) (list string) {
	s.Metrics().Transports(func(name string, open int64, _ uint64) { list += fmt.Sprintf("%s %d", name, open) })
	return list
}

// TestStateByPages: a state is walked over by a caller without a session, with what is
// written and deleted meanwhile, and begun anew where that cannot be promised.
func TestStateByPages(t *testing.T) {
	b := newReborn(true)
	h := newHouse(t, houseOptions{broker: b})
	target, err := h.node.Resolve("board")
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := h.node.Resolve("kept")
	ctx := t.Context()
	for n, bad := range map[int]protocol.Code{0: protocol.CodeBadRequest, -1: protocol.CodeBadRequest, MaxHistory + 1: protocol.CodeBadRequest, MaxHistory: "", 1: ""} {
		if _, _, err := h.server.State(ctx, "board", target, StateCursor{}, n); codeOf(err) != bad {
			t.Errorf("limit %d: %v", n, err)
		}
	}
	if _, _, err := h.server.State(ctx, "kept", kept, StateCursor{}, 1); codeOf(err) != protocol.CodeBadRequest {
		t.Errorf("no state: %v", err)
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		h.publish("board", "e", key, "1")
	}
	h.publish("board", "e", "b", "null")
	view := map[string]string{}
	var at StateCursor
	for page := 0; ; page++ {
		text := at.String()
		if page > 0 {
			if at, err = ParseStateCursor(text); err != nil {
				t.Fatal(err)
			}
		}
		p, next, err := h.server.State(ctx, "board", target, at, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			var m protocol.Message
			if err := e.Message(&m); err != nil {
				t.Fatal(err)
			}
			if view[e.Key] = string(m.Data); e.Deleted {
				if e.Key == "b" {
					t.Error("a deletion from before the walk is told")
				}
				delete(view, e.Key)
			}
		}
		if page == 0 {
			h.publish("board", "e", "a", "null")
			h.publish("board", "e", "c", "2")
			h.publish("board", "e", "f", "1")
		}
		if at = next; !p.More {
			break
		}
	}
	if got := fmt.Sprint(view); got != "map[c:2 d:1 f:1]" {
		t.Errorf("it has %s", got)
	}
	b.lose(t)
	if _, _, err := h.server.State(ctx, "board", target, at, 2); codeOf(err) != protocol.CodeConflict {
		t.Errorf("in another epoch: %v", err)
	}
	_, at, err = h.server.State(ctx, "board", target, StateCursor{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for n := range channel.MaxTombstones + 1 {
		h.publish("board", "e", fmt.Sprint("gone", n), "null")
	}
	if _, _, err := h.server.State(ctx, "board", target, at, 2); codeOf(err) != protocol.CodeConflict {
		t.Errorf("deletions are forgotten: %v", err)
	}
	for _, text := range []string{"", "1", "1.2", "1.2.", "x.2.E", "1.x.E", "-1.2.E"} {
		if _, err := ParseStateCursor(text); codeOf(err) != protocol.CodeBadRequest {
			t.Errorf("cursor %q: %v", text, err)
		}
	}
}

// TestPost: who may speak for a stream, and what may be said to it.
func TestPost(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{MessagesPerSecond: 1, MessagesBurst: 3, MaxMessage: 200}}})
	socket := h.welcomed("ann")
	stream := func(user string) *client {
		l := &fakeStream{fakeLink: fakeLink{loop: h.pick(), room: 1 << 20, more: make(chan struct{})}}
		c := &client{h: h, link: &l.fakeLink}
		o := Open{Transport: "stream"}
		if user != "" {
			o.Identity = &auth.Identity{User: user}
		}
		c.do(func() { c.x = h.server.Open(l, o) })
		t.Cleanup(c.leave)
		return c
	}
	ann, other := stream("ann"), stream("ann")
	if string(ann.x.hub.server.secrets[:]) == string(make([]byte, 32)) {
		t.Error("the secrets can be guessed")
	}
	message := []byte(`{"type":"e","channel":"kept","id":7,"data":1}`)
	for _, c := range []struct {
		name string
		d    Posted
		want protocol.Code
	}{
		{"a server", Posted{Connection: ann.x.ID(), Server: true, Message: message}, ""},
		{"its secret", Posted{Connection: ann.x.ID(), Secret: ann.x.secret(), Message: message}, ""},
		{"another's secret", Posted{Connection: ann.x.ID(), Secret: other.x.secret(), User: "ann", Message: message}, protocol.CodeNotFound},
		{"its user", Posted{Connection: ann.x.ID(), User: "ann", Message: message}, ""},
		{"above the rate", Posted{Connection: ann.x.ID(), User: "ann", Message: message}, protocol.CodeRateLimited},
		{"another user", Posted{Connection: other.x.ID(), User: "bob", Message: message}, protocol.CodeNotFound},
		{"nobody", Posted{Connection: other.x.ID(), Message: message}, protocol.CodeNotFound},
		{"no stream", Posted{Connection: socket.x.ID(), Server: true, Message: message}, protocol.CodeBadRequest},
		{"no JSON", Posted{Connection: other.x.ID(), Server: true, Message: []byte("{")}, protocol.CodeBadRequest},
		{"too long", Posted{Connection: other.x.ID(), Server: true, Message: fmt.Appendf(nil, `{"type":"e","data":"%0200d"}`, 1)}, protocol.CodeTooLarge},
		{"no id", Posted{Connection: "nonsense", Server: true, Message: message}, protocol.CodeNotFound},
		{"no node", Posted{Connection: "x" + ann.x.ID(), Server: true, Message: message}, protocol.CodeNotFound},
	} {
		err := h.server.Post(t.Context(), c.d)
		if codeOf(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, noted := errors.AsType[*Noted](err); noted != (c.want == protocol.CodeRateLimited) {
			t.Errorf("%s: noted %v", c.name, noted)
		}
	}
	h.settle()
	ann.do(func() {
		if n := bytes.Count(ann.link.stream, []byte(`"type":"ack"`)); n != 3 {
			t.Errorf("%d acknowledgements in %s", n, ann.link.stream)
		}
		ann.link.block = true
	})
	other.link.block = true
	if err := h.server.Post(t.Context(), Posted{Connection: other.x.ID(), Server: true, Message: message}); codeOf(err) != protocol.CodeLimitExceeded {
		t.Errorf("who does not read: %v", err)
	}
	counts := map[protocol.Code]uint64{}
	for k, n := range h.server.Refusals().Counts() {
		counts[k.Code] += n
	}
	if counts[protocol.CodeRateLimited] != 1 || counts[protocol.CodeLimitExceeded] != 1 {
		t.Errorf("refused are %v", counts)
	}
}

// TestIDs: a connection is found by its id and by nothing near it, and the places of
// those who left are used again.
func TestIDs(t *testing.T) {
	h := newHouse(t, houseOptions{})
	var all []*client
	for range 3 {
		all = append(all, h.welcomed("ann"))
	}
	hub := h.server.hubs[0]
	for _, c := range all {
		got, i, err := h.server.hubOf(c.x.ID())
		if err != nil || got != hub || i != c.x.id {
			t.Fatalf("%v, %v", i, err)
		}
		h.do(func() {
			if hub.find(c.x.id) != c.x {
				t.Error("another is found")
			}
			near := c.x.id
			near[15]++
			if hub.find(near) != nil {
				t.Error("one is found by half an id")
			}
		})
	}
	far := all[0].x.id
	far[0] = 1
	for _, id := range []string{"", "nonsense", far.name(h.node.Name()), all[0].x.id.name("other"), all[0].x.id.name("")} {
		if _, _, err := h.server.hubOf(id); codeOf(err) != protocol.CodeNotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
	all[1].leave()
	h.welcomed("bob")
	h.do(func() {
		if len(hub.table) != 3 || len(hub.free) != 0 {
			t.Errorf("%d places, %d free", len(hub.table), len(hub.free))
		}
	})
}

// TestDefaults of limits and of who may come in.
func TestDefaults(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.server.SetPolicy(Policy{Limits: Limits{MaxMessage: 100}})
	l := h.server.Limits()
	if l.AuthTimeout != 5*time.Second || l.MaxMessageUnauthenticated != 100 || l.MessagesPerSecond != 50 || l.RuleSteps != 400_000 || l.SchemaSteps != channel.DefaultSchemaSteps {
		t.Errorf("%+v", l)
	}
	if p := h.server.policy.Load(); p.Ping != 25*time.Second || p.PresenceGrace != 15*time.Second || h.server.Anonymous() {
		t.Errorf("%+v", p)
	}
	h.server.SetPolicy(Policy{Limits: Limits{AuthTimeout: time.Second}, Anonymous: true, Ping: time.Second, PresenceGrace: -1})
	if p := h.server.policy.Load(); p.Limits.AuthTimeout != time.Second || p.Ping != time.Second || p.PresenceGrace != -1 || !h.server.Anonymous() {
		t.Errorf("%+v", p)
	}
}

// TestRefusedConnections are counted, and told when to come back.
func TestRefusedConnections(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{Connections: 1}}})
	h.welcomed("ann")
	for n, c := range []struct {
		front *front
		limit int
		after time.Duration
	}{{nil, 1, 5 * time.Second}, {&front{streams: 1}, 2, 5 * time.Second}, {&front{streams: 9, refuse: protocol.Errorf(protocol.CodeRateLimited, "too often")}, 2, 0}} {
		if c.front != nil {
			h.server.opts.Front = c.front
		}
		h.server.SetPolicy(Policy{Limits: Limits{Connections: c.limit}})
		_, refused := h.server.Admit(t.Context())
		err := protocol.AsError(refused)
		if err == nil || err.RetryAfter != c.after || h.server.Metrics().Refused.Load() != uint64(n+1) {
			t.Errorf("%d: %v, %d refused", n, err, h.server.Metrics().Refused.Load())
		}
	}
}

// TestServerConnection: no rule and no hook is asked about a server's own program.
func TestServerConnection(t *testing.T) {
	h := newHouse(t, houseOptions{})
	h.server.SetHooks(Hooks{Subscribe: func(context.Context, *Client, string) error { return protocol.Errorf(protocol.CodeForbidden, "no") }})
	c := h.open(Open{Transport: "test", Identity: &auth.Identity{Server: true}})
	c.one()
	c.send(`{"type":"subscribe","channel":"closed","id":1}`)
	if m := c.one(); m.Type != "subscribed" {
		t.Error(show([]protocol.Message{m}))
	}
	c.send(`{"type":"e","channel":"closed","id":2,"data":1}`)
	if got := c.await(2); got[0].Type == "error" || got[1].Type == "error" {
		t.Error(show(got))
	}
	if n := h.server.Metrics().Received.Load(); n != 2 {
		t.Errorf("%d messages are counted", n)
	}
}

// TestLastOfAList: what a list of subscriptions has in common holds for those that say
// nothing else.
func TestLastOfAList(t *testing.T) {
	h := newHouse(t, houseOptions{})
	for n := range 5 {
		h.publish("kept", "e", "", fmt.Sprint(n))
		h.publish("short", "e", "", fmt.Sprint(n))
	}
	c := h.welcomed("ann")
	c.send(`{"type":"subscribe","id":1,"data":{"last":2},"channels":["kept",{"channel":"short","data":{"last":1}}]}`)
	var got []string
	for _, m := range c.await(5) {
		got = append(got, m.Channel+" "+m.Type+string(m.Data))
	}
	if text := strings.Join(got, ", "); text != "kept subscribed, kept e3, kept e4, short subscribed, short e4" {
		t.Error(text)
	}
	// A position of its own and a number for all do not go together.
	d := h.welcomed("dan")
	d.send(`{"type":"subscribe","id":1,"data":{"last":2},"channels":["kept",{"channel":"short","since":{"epoch":"e","offset":1}}]}`)
	if got := d.await(4); code(t, got[3]) != protocol.CodeBadRequest || got[3].Channel != "short" {
		t.Error(show(got))
	}
	for last, want := range map[int]string{maxLast: "subscribed", maxLast + 1: "error", 0: "error"} {
		c := h.welcomed("bob")
		c.sendf(`{"type":"subscribe","id":1,"channel":"live","data":{"last":%d}}`, last)
		if m := c.one(); m.Type != want {
			t.Errorf("last %d: %s", last, show([]protocol.Message{m}))
		}
	}
}

// TestRecheckWhileSubscribing: a subscription that is being made is refused when the
// rules do not allow it any more, and only then.
func TestRecheckWhileSubscribing(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true, follow: make(chan struct{})}
	h := newHouse(t, houseOptions{broker: late})
	c, stays := h.welcomed("ann"), h.welcomed("bob")
	c.send(`{"type":"subscribe","channel":"board","id":1}`)
	stays.send(`{"type":"subscribe","channel":"kept","id":1}`)
	table, err := channel.NewTable([]*channel.Declaration{{Name: "kept", History: &channel.History{Messages: 10}, Allow: open(channel.Anyone)}})
	if err != nil {
		t.Fatal(err)
	}
	h.node.SetTable(table)
	h.server.Recheck()
	h.settle()
	close(late.follow)
	if m := c.one(); code(t, m) != protocol.CodeNotFound {
		t.Error(show([]protocol.Message{m}))
	}
	if m := stays.one(); m.Type != "subscribed" {
		t.Error(show([]protocol.Message{m}))
	}
}

// TestDrainCutsOff: those who have not left when there is no more time are closed
// whatever they wait for, and everybody is asked to leave once.
func TestDrainCutsOff(t *testing.T) {
	slow := &heldBroker{Broker: memory.New(memory.Options{}), release: make(chan struct{})}
	defer close(slow.release)
	h := newHouse(t, houseOptions{broker: slow})
	waits, stranger := h.welcomed("bob"), h.open(Open{Transport: "test"})
	waits.send(`{"type":"e","channel":"kept","id":1,"data":1}`)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	again := make(chan error)
	go func() { again <- h.server.Drain(ctx, time.Minute) }()
	begun := time.Now()
	if err := h.server.Drain(ctx, time.Minute); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 290*time.Millisecond {
		t.Errorf("it was given up after %v", took)
	}
	if err := <-again; err != nil {
		t.Error(err)
	}
	for _, c := range []*client{waits, stranger} {
		if got := c.closed(); got != protocol.CloseDraining {
			t.Errorf("closed with %d", got)
		}
		asked := 0
		for _, m := range c.messages() {
			if m.Type == "reconnect" {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("it was asked %d times to leave", asked)
		}
	}
}

// TestDrainWaits for the answer to what a client asked for, and then no more.
func TestDrainWaits(t *testing.T) {
	slow := &heldBroker{Broker: memory.New(memory.Options{}), release: make(chan struct{})}
	h := newHouse(t, houseOptions{broker: slow})
	waits := h.welcomed("bob")
	waits.send(`{"type":"e","channel":"kept","id":1,"data":1}`)
	drained := make(chan error, 1)
	go func() { drained <- h.server.Drain(t.Context(), 0) }()
	if m := waits.one(); m.Type != "reconnect" {
		t.Error(show([]protocol.Message{m}))
	}
	time.Sleep(150 * time.Millisecond) // it looks a few times
	if waits.link.code != 0 {
		t.Error("it is closed before it was answered")
	}
	close(slow.release)
	if m := waits.one(); m.Type != "ack" {
		t.Error(show([]protocol.Message{m}))
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestSpread: a server with few connections makes use of less time, and leaves some for
// what comes after.
func TestSpread(t *testing.T) {
	s := &Server{}
	s.sessions.Store(5000)
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	past, cancelled := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelled()
	for _, c := range []struct {
		ctx         context.Context
		window      time.Duration
		least, most time.Duration
	}{
		{t.Context(), time.Minute, 5100 * time.Millisecond, 5100 * time.Millisecond},
		{t.Context(), time.Second, time.Second, time.Second},
		{short, time.Minute, time.Second, 1500 * time.Millisecond},
		{past, time.Minute, 0, 0},
	} {
		if got := s.spread(c.ctx, c.window); got < c.least || got > c.most {
			t.Errorf("of %v it uses %v", c.window, got)
		}
	}
}

// TestDrainInTime: whoever is welcome leaves at some time in the window, others at once,
// and nobody is asked twice.
func TestDrainInTime(t *testing.T) {
	h := newHouse(t, houseOptions{})
	welcome, stranger := h.welcomed("ann"), h.open(Open{Transport: "test"})
	h.do(func() {
		for _, c := range []*client{welcome, stranger} {
			c.x.drain(time.Hour)
			c.x.drain(time.Hour)
		}
		if welcome.x.ending || !stranger.x.ending {
			t.Errorf("ending are %v %v", welcome.x.ending, stranger.x.ending)
		}
	})
	if got := welcome.messages(); len(got) != 1 {
		t.Error(show(got))
	}
}

// TestNothingAfterTheEnd: a session that is being closed answers nothing any more.
func TestNothingAfterTheEnd(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	c.do(func() {
		c.x.end(protocol.CloseDraining)
		c.x.BadMessage(&protocol.Message{}, protocol.Errorf(protocol.CodeBadRequest, "no"))
		c.x.Message(&protocol.Message{Type: "ping", ID: []byte("1")})
		c.x.subscribeAll([]request{{channel: "kept"}})
	})
	h.settle()
	if got := c.messages(); len(got) > 0 || h.node.Channels() > 0 {
		t.Error(show(got))
	}
}

// TestPublicationsAtATime of several sessions of a loop do not meet.
func TestPublicationsAtATime(t *testing.T) {
	slow := &heldBroker{Broker: memory.New(memory.Options{}), release: make(chan struct{})}
	h := newHouse(t, houseOptions{broker: slow})
	ann, bob := h.welcomed("ann"), h.welcomed("bob")
	ann.send(`{"type":"e","channel":"kept","id":1,"data":1}`)
	bob.send(`{"type":"e","channel":"kept","id":2,"data":1}`)
	close(slow.release)
	ann.one()
	bob.one()
	slow.release = make(chan struct{}) // nothing waits any more
	ann.send(`{"type":"e","channel":"kept","id":3,"data":1}`)
	bob.send(`{"type":"e","channel":"kept","id":4,"data":1}`)
	close(slow.release)
	for id, c := range map[string]*client{"3": ann, "4": bob} {
		if m := c.one(); m.Type != "ack" || string(m.ID) != id {
			t.Error(show([]protocol.Message{m}))
		}
	}
}

// TestClaims of a token are decoded for the rules when they ask.
func TestClaims(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.open(Open{Transport: "test", Identity: &auth.Identity{User: "ann", Claims: []byte(`{"role":"admin"}`)}})
	for x, want := range map[*Session]string{c.x: "map[role:admin]", h.welcomed("bob").x: "map[]", h.open(Open{}).x: "map[]"} {
		h.do(func() {
			if got := fmt.Sprint(x.claimsMap()); got != want {
				t.Errorf("claims %s, want %s", got, want)
			}
		})
	}
}

// TestVisit: what a user asks by single requests counts as over a connection.
func TestVisit(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Limits: Limits{MessagesPerSecond: 1, MessagesBurst: 3}}})
	s := h.server
	for n, want := range []protocol.Code{"", "", "", protocol.CodeRateLimited} {
		if err := s.Visit("ann"); codeOf(err) != want {
			t.Errorf("%d: %v", n, err)
		}
	}
	budget := channel.NewBudget(10 * stepsPerMessage)
	s.ChargeDeciding("bob", &budget) // nothing was spent
	if err := s.Visit("bob"); err != nil {
		t.Error(err)
	}
	s.Charge("bob", 3)
	if err := s.Visit("bob"); codeOf(err) != protocol.CodeRateLimited {
		t.Errorf("who was charged: %v", err)
	}
}
