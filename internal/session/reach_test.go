package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// withCaps is who a token with these capabilities says somebody is.
func withCaps(t *testing.T, user, caps string) *auth.Identity {
	t.Helper()
	who, err := auth.Passport{User: user, Claims: json.RawMessage(`{"ringdown":` + caps + `}`)}.Identity()
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// TestPastNeedsTheRight: who may subscribe and not read history is given what a
// lost connection missed, and nothing of a past that is older than resume.
func TestPastNeedsTheRight(t *testing.T) {
	const tooOld = -time.Hour // whatever was published is older than that
	private := channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone, History: channel.None}
	small := channel.Buffer{Messages: 2, Bytes: 1 << 20} // most is in the store alone
	each(t, func(t *testing.T, o houseOptions) {
		o.channels = []*channel.Declaration{
			{Name: "old", History: &channel.History{Messages: 100}, Allow: private, Resume: tooOld},
			{Name: "old:small", History: &channel.History{Messages: 100}, Allow: private, Resume: tooOld, Buffer: small},
			{Name: "old:state", History: &channel.History{Messages: 100}, State: &channel.State{}, Allow: private, Resume: tooOld},
			{Name: "young", History: &channel.History{Messages: 100}, Allow: private},
			{Name: "young:small", History: &channel.History{Messages: 100}, Allow: private, Buffer: small},
			{Name: "open", History: &channel.History{Messages: 100}, Allow: open(channel.Anyone), Resume: tooOld},
		}
		h := newHouse(t, o)
		nobody, denied := &auth.Identity{User: "ann"}, withCaps(t, "ann", `{"*":["-history"]}`)
		granted := withCaps(t, "ann", `{"open":["history"]}`)
		for _, c := range []struct {
			channel  string
			who      *auth.Identity
			ask      string // $epoch and $head are of the channel, after five messages
			says     string // of subscribed
			messages int
		}{
			{"old", nobody, `"data":{"last":3}`, `{"history":"forbidden"}`, 0},
			{"old", nobody, `"since":{"epoch":"$epoch","offset":0}`, `{"recovered":false,"reason":"forbidden"}`, 0},
			{"old", nobody, `"since":{"epoch":"$epoch","offset":4}`, `{"recovered":false,"reason":"forbidden"}`, 0},
			{"old", nobody, `"since":{"epoch":"$epoch","offset":5}`, `{"recovered":true,"head":5}`, 0},
			{"old", nobody, `"since":{"epoch":"another","offset":5}`, `{"recovered":false,"reason":"epoch"}`, 0},
			{"old", nobody, ``, ``, 0},
			{"old:small", nobody, `"data":{"last":3}`, `{"history":"forbidden"}`, 0},
			{"old:small", nobody, `"since":{"epoch":"$epoch","offset":1}`, `{"recovered":false,"reason":"forbidden"}`, 0},
			{"old:small", nobody, `"since":{"epoch":"$epoch","offset":4}`, `{"recovered":false,"reason":"forbidden"}`, 0},
			{"old:state", nobody, `"since":{"epoch":"$epoch","offset":1}`, `{"recovered":false,"reason":"forbidden"}`, 1},
			{"young", nobody, `"data":{"last":3}`, `{"history":"forbidden"}`, 0},
			{"young", nobody, `"since":{"epoch":"$epoch","offset":2}`, `{"recovered":true,"head":5}`, 3},
			{"young:small", nobody, `"since":{"epoch":"$epoch","offset":1}`, `{"recovered":true,"head":5}`, 4},
			{"open", nobody, `"data":{"last":3}`, ``, 3},
			{"open", nobody, `"since":{"epoch":"$epoch","offset":1}`, `{"recovered":true,"head":5}`, 4},
			{"open", granted, `"data":{"last":3}`, ``, 3},
			{"open", denied, `"data":{"last":3}`, `{"history":"forbidden"}`, 0},
			{"open", denied, `"since":{"epoch":"$epoch","offset":1}`, `{"recovered":false,"reason":"forbidden"}`, 0},
		} {
			t.Run(c.channel+" "+c.ask, func(t *testing.T) {
				watcher := h.subscribed("ben", c.channel) // for whom the ring is filled
				target, _ := h.node.Resolve(c.channel)
				for i := range 5 {
					if p, err := h.server.History(t.Context(), c.channel, target, nil, nil, 1); err != nil || p.Head >= 5 {
						break
					}
					key := ""
					if target.Declaration.State != nil {
						key = fmt.Sprint("k", i)
					}
					h.publish(c.channel, "e", key, fmt.Sprint(i))
				}
				p, err := h.server.History(t.Context(), c.channel, target, nil, nil, 1)
				if err != nil {
					t.Fatal(err)
				}
				x := h.open(Open{Identity: c.who})
				x.one()
				ask := ""
				if c.ask != "" {
					ask = "," + strings.ReplaceAll(c.ask, "$epoch", p.Epoch)
				}
				x.sendf(`{"type":"subscribe","id":1,"channel":%q%s}`, c.channel, ask)
				m := x.next()
				if m.Type != protocol.TypeSubscribed || string(m.Data) != c.says {
					t.Errorf("answered %s, want %s", show([]protocol.Message{m}), c.says)
				}
				for range c.messages {
					if got := x.next(); got.Type != "e" && got.Type != protocol.TypeState {
						t.Errorf("given %s", show([]protocol.Message{got}))
					}
				}
				h.settle()
				if got := x.messages(); len(got) > 0 {
					t.Errorf("given besides %s", show(got))
				}
				x.leave()
				watcher.leave()
			})
		}
	})
}

// lets is a rule for those of a list.
type lets []string

func (l lets) Allow(r *channel.Request) (bool, error) { return slices.Contains(l, r.User), nil }
func (l lets) String() string                         { return "lets" }

// TestSigningInIsJudged: what an anonymous connection has is judged anew before
// it is told who it is, and its place among the members gets its name.
func TestSigningInIsJudged(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		rule := func(users ...string) channel.Allow {
			return channel.Allow{Subscribe: lets(users), Publish: channel.Anyone, Presence: channel.Anyone}
		}
		o.channels = []*channel.Declaration{
			{Name: "guests", Presence: true, Allow: rule("")},
			{Name: "all", Presence: true, Allow: rule("", "ann", "ben")},
			{Name: "users", Presence: true, Allow: rule("ann", "ben")},
		}
		o.policy.Anonymous, o.policy.PresenceGrace = true, -1
		h := newHouse(t, o)
		c, ben := h.connect(""), h.subscribed("ben", "all")
		c.one()
		for _, name := range []string{"guests", "all"} {
			c.sendf(`{"type":"subscribe","id":1,"channel":%q}`, name)
			c.next()
			c.enters(name, "1")
		}
		ben.one()
		c.sendf(`{"type":"auth","id":2,"token":%q}`, token(t, "ann", time.Now().Add(time.Hour)))
		var said []string
		for range 5 {
			m := c.next()
			said = append(said, m.Type+" "+m.Channel)
		}
		// Beside the answer ann is told of herself, who watches the members.
		said = slices.DeleteFunc(said, func(s string) bool { return strings.HasPrefix(s, "presence") })
		if got := strings.Join(said, ", "); got != "error guests, unsubscribed guests, welcome , ack " {
			t.Errorf("signing in is answered %s", got)
		}
		if m := toldBy(t, ben.one()); m.Action != "update" || m.Member.User != "ann" || m.Member.ID != c.x.member() || string(m.Member.Data) != "1" {
			t.Errorf("the others are told %+v", m)
		}
		if l := ben.list("all"); l.Total != 1 || l.Members[0].User != "ann" {
			t.Errorf("listed are %+v", l)
		}
		c.send(`{"type":"subscribe","id":3,"channel":"users"}`)
		if m := c.next(); m.Type != protocol.TypeSubscribed {
			t.Errorf("as a user: %s", show([]protocol.Message{m}))
		}
		c.sendf(`{"type":"auth","id":4,"token":%q}`, token(t, "ben", time.Now().Add(time.Hour)))
		if got := code(t, c.next()); got != protocol.CodeConflict {
			t.Errorf("as another user: %s", got)
		}
	})
}

// TestRefreshIsJudgedFirst: what a new token may not have has ended when it is
// acknowledged.
func TestRefreshIsJudgedFirst(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.open(Open{Identity: withCaps(t, "ann", `{"closed":["subscribe"],"secret":["subscribe"]}`)})
	c.one()
	c.send(`{"type":"subscribe","id":1,"channel":"secret"}`)
	c.one()
	who := withCaps(t, "ann", `{"secret":["-subscribe"]}`)
	text, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"},
		map[string]any{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "ringdown": map[string]any{"secret": []string{"-subscribe"}}})
	if err != nil || who == nil {
		t.Fatal(err)
	}
	c.sendf(`{"type":"auth","id":2,"token":%q}`, text)
	got := c.await(3)
	if code(t, got[0]) != protocol.CodeForbidden || got[1].Type != protocol.TypeUnsubscribed || got[2].Type != protocol.TypeAck {
		t.Error(show(got))
	}
}

// TestExpectUser: a client that means to be somebody is never welcome as nobody.
func TestExpectUser(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	c := h.open(Open{ExpectUser: true})
	c.send(`{"type":"subscribe","id":1,"channel":"kept"}`)
	if got := code(t, c.one()); got != protocol.CodeUnauthorized {
		t.Errorf("before it is somebody: %s", got)
	}
	c.sendf(`{"type":"auth","token":%q}`, token(t, "ann", time.Now().Add(time.Hour)))
	if m := c.one(); m.Type != protocol.TypeWelcome || !strings.Contains(string(m.Data), `"user":"ann"`) {
		t.Error(show([]protocol.Message{m}))
	}
	c = h.open(Open{ExpectUser: true})
	c.send(`{"type":"auth","token":"nonsense"}`)
	if got := c.closed(); got != protocol.CloseInvalidToken {
		t.Errorf("closed with %d", got)
	}
}

// TestClientIsKnownAgain: an anonymous client that comes back with the name that
// it gave itself is understood when it repeats a publication, and nobody else is.
func TestClientIsKnownAgain(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	offset := func(client, user string) uint64 {
		o := Open{Client: client}
		if user != "" {
			o.Identity = &auth.Identity{User: user}
		}
		c := h.open(o)
		if m := c.one(); !strings.Contains(string(m.Data), `"dedupe_window":120000`) {
			t.Errorf("welcome %s", m.Data)
		}
		c.send(`{"type":"e","channel":"kept","id":1,"dedupe":"d","data":1}`)
		return c.one().Offset
	}
	const a, b = "AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"
	for i, c := range []struct {
		client, user string
		want         uint64
	}{{a, "", 1}, {a, "", 1}, {b, "", 2}, {"", "", 3}, {"", "", 4}, {a, "ann", 5}, {b, "ann", 5}, {"", "ann", 5}, {a, "", 1}} {
		if got := offset(c.client, c.user); got != c.want {
			t.Errorf("%d: %+v is at %d", i, c, got)
		}
	}
}
