package session

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// onlyAnn is a rule for ann.
type onlyAnn struct{}

func (onlyAnn) Allow(r *channel.Request) (bool, error) { return r.User == "ann", nil }
func (onlyAnn) String() string                         { return `user == "ann"` }

func presenceHouse(t testing.TB, o houseOptions) *house {
	t.Helper()
	allow := open(channel.Anyone)
	allow.Presence = channel.Anyone
	secret := allow
	secret.Presence = onlyAnn{}
	o.channels = []*channel.Declaration{
		{Name: "plain", Allow: allow},
		{Name: "chat:{room}", Presence: true, Allow: allow, History: &channel.History{Messages: 10}},
		{Name: "secret", Presence: true, Allow: secret},
	}
	if o.policy.PresenceGrace == 0 {
		o.policy.PresenceGrace = -1
	}
	return newHouse(t, o)
}

// blocking makes the memory broker one that answers later, on other goroutines.
type blocking struct {
	*memory.Broker
	mu    sync.Mutex
	fails bool
	gate  chan struct{} // nil: open
}

func (b *blocking) Immediate() bool { return false }

func (b *blocking) set(fails bool, gate chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails, b.gate = fails, gate
}

func (b *blocking) wait(ctx context.Context) error {
	b.mu.Lock()
	fails, gate := b.fails, b.gate
	b.mu.Unlock()
	if fails {
		return context.DeadlineExceeded
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *blocking) Put(ctx context.Context, name string, m broker.Member) (bool, error) {
	if err := b.wait(ctx); err != nil {
		return false, err
	}
	return b.Broker.Put(ctx, name, m)
}

func (b *blocking) Remove(ctx context.Context, name, id string) (bool, error) {
	if err := b.wait(ctx); err != nil {
		return false, err
	}
	return b.Broker.Remove(ctx, name, id)
}

func (b *blocking) Members(ctx context.Context, name string, r broker.MemberRange) (broker.MemberPage, error) {
	page, err := b.Broker.Members(ctx, name, r)
	if err := b.wait(ctx); err != nil {
		return page, err
	}
	return page, err
}

// each runs a test with a broker that answers at once, and with one that does not.
func each(t *testing.T, fn func(t *testing.T, o houseOptions)) {
	t.Run("immediate", func(t *testing.T) { fn(t, houseOptions{}) })
	t.Run("blocking", func(t *testing.T) {
		fn(t, houseOptions{broker: &blocking{Broker: memory.New(memory.Options{})}})
	})
	t.Run("loops", func(t *testing.T) { fn(t, houseOptions{loops: 3}) })
	t.Run("blocking loops", func(t *testing.T) {
		fn(t, houseOptions{loops: 3, broker: &blocking{Broker: memory.New(memory.Options{})}})
	})
}

// told is a change as a watcher gets it.
type told struct {
	Action string
	Member struct {
		ID, User string
		Data     json.RawMessage
	}
	Members []struct {
		ID, User string
		Data     json.RawMessage
	}
	Total int
	More  bool
}

func toldBy(t testing.TB, m protocol.Message) told {
	t.Helper()
	var p told
	if m.Type != protocol.TypePresence || json.Unmarshal(m.Data, &p) != nil {
		t.Fatalf("not of presence: %s", show([]protocol.Message{m}))
	}
	return p
}

// says is a change in short: action, user and data.
func says(t testing.TB, m protocol.Message) string {
	t.Helper()
	p := toldBy(t, m)
	return strings.TrimSpace(p.Action + " " + p.Member.User + " " + string(p.Member.Data))
}

// answerTo sends a presence message and returns the answer, passing over what is
// told meanwhile.
func (c *client) answerTo(name, data string) protocol.Message {
	c.h.t.Helper()
	c.sendf(`{"type":"presence","channel":%q,"id":"ask","data":%s}`, name, data)
	for {
		if m := c.next(); string(m.ID) == `"ask"` {
			return m
		}
	}
}

// list asks who is there.
func (c *client) list(name string) told {
	c.h.t.Helper()
	return toldBy(c.h.t, c.answerTo(name, `{"action":"get"}`))
}

// enters makes c a member and takes the ack and its own enter away.
func (c *client) enters(name, data string) {
	c.h.t.Helper()
	c.sendf(`{"type":"presence","channel":%q,"id":2,"data":{"action":"enter","data":%s}}`, name, data)
	got := c.await(2)
	slices.SortFunc(got, func(a, b protocol.Message) int { return strings.Compare(a.Type, b.Type) })
	if got[0].Type != protocol.TypeAck || string(got[0].ID) != "2" || says(c.h.t, got[1])[:5] != "enter" {
		c.h.t.Fatalf("did not enter: %s", show(got))
	}
}

func TestPresenceIsToldToThoseWhoWatch(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := presenceHouse(t, o)
		ann, ben := h.subscribed("ann", "chat:1"), h.subscribed("ben", "chat:1")
		ann.enters("chat:1", `{"mood":"fine"}`)
		m := ben.one()
		if got := says(t, m); got != `enter ann {"mood":"fine"}` || m.Channel != "chat:1" || m.Kept {
			t.Fatalf("told %s on %q", got, m.Channel)
		}
		if id := toldBy(t, m).Member.ID; id != ann.x.member() || strings.Contains(id, ann.x.ID()) || strings.Contains(string(m.Data), ann.x.ID()) {
			t.Errorf("told %s of the connection %q", m.Data, ann.x.ID())
		}
		ben.enters("chat:1", `null`)
		if got := says(t, ann.one()); got != "enter ben" {
			t.Error(got)
		}
		ann.send(`{"type":"presence","channel":"chat:1","data":{"action":"update","data":7}}`)
		if got := says(t, ben.one()); got != "update ann 7" {
			t.Error(got)
		}
		if got := says(t, ann.one()); got != "update ann 7" {
			t.Error(got) // the one who said it is a watcher too, and without an id there is no ack
		}
		l := ben.list("chat:1")
		if l.Action != "members" || l.Total != 2 || len(l.Members) != 2 || l.More {
			t.Fatalf("the list is %+v", l)
		}
		ann.send(`{"type":"presence","channel":"chat:1","id":9,"data":{"action":"leave"}}`)
		if got := says(t, ben.one()); got != "leave ann" {
			t.Error(got)
		}
		ann.await(2) // ack and its own leave
		if l := ann.list("chat:1"); l.Total != 1 || l.Members[0].User != "ben" {
			t.Errorf("after a leave: %+v", l)
		}
		// Entered again, entering twice is an update, and leaving twice is no error.
		ann.enters("chat:1", "1")
		ann.send(`{"type":"presence","channel":"chat:1","data":{"action":"enter","data":2}}`)
		if got := says(t, ann.one()); got != "update ann 2" {
			t.Error(got)
		}
		for range 2 {
			ann.send(`{"type":"presence","channel":"chat:1","id":3,"data":{"action":"leave"}}`)
		}
		acks := 0
		for _, m := range ann.await(3) {
			if m.Type == protocol.TypeAck {
				acks++
			}
		}
		if acks != 2 {
			t.Errorf("%d acks of two leaves", acks)
		}
	})
}

// TestPresenceIsToldFromTheAnswerOn: who has the answer to a subscribe misses no
// change that comes after it, however long the store takes; and a subscribe that
// is refused leaves nothing behind.
func TestPresenceIsToldFromTheAnswerOn(t *testing.T) {
	late := &lateBroker{driver: memory.New(memory.Options{}), prompt: true}
	h := presenceHouse(t, houseOptions{broker: late})
	for n := range 20 {
		name := fmt.Sprint("chat:", n)
		c := h.subscribed("ann", name)
		entered := make(chan error, 1)
		h.node.Enter(name, broker.Member{ID: "x", User: "ben"}, func(err error) { entered <- err })
		if err := <-entered; err != nil {
			t.Fatal(err)
		}
		if got := says(t, c.next()); got != "enter ben" {
			t.Error(got)
		}
	}
	epoch := h.publish("chat:a", "e", "", "1").Position.Epoch
	late.fail.Store(1)
	c := h.welcomed("ann")
	if m := c.since("chat:a", epoch, 0); code(t, m) != protocol.CodeUnavailable {
		t.Fatal(show([]protocol.Message{m}))
	}
	h.do(func() {
		if c.x.out.Len() != 0 {
			t.Errorf("%d subscriptions are left", c.x.out.Len())
		}
	})
	if m := c.since("chat:a", epoch, 0); m.Type != protocol.TypeSubscribed {
		t.Fatal(show([]protocol.Message{m}))
	}
}

func TestPresenceEndsWithTheSubscription(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := presenceHouse(t, o)
		ben := h.subscribed("ben", "chat:1")
		for name, end := range map[string]func(c *client){
			"unsubscribe": func(c *client) { c.send(`{"type":"unsubscribe","channel":"chat:1","id":1}`) },
			"disconnect":  func(c *client) { c.leave() },
			"kick":        func(c *client) { c.do(func() { c.x.kick(protocol.CloseByOperator) }) },
		} {
			ann := h.subscribed("ann", "chat:1")
			ann.enters("chat:1", "null")
			ben.one()
			end(ann)
			if got := says(t, ben.one()); got != "leave ann" {
				t.Errorf("%s: %s", name, got)
			}
			if name == "unsubscribe" {
				ben.enters("chat:1", "null")
				ben.send(`{"type":"presence","channel":"chat:1","data":{"action":"leave"}}`)
				ben.one()
				h.settle()
				if got := ann.messages(); len(got) != 2 { // its own leave may come before it is answered
					if len(got) != 1 || got[0].Type != protocol.TypeUnsubscribed {
						t.Errorf("after unsubscribing: %s", show(got))
					}
				}
			}
		}
	})
}

// Who may not see who is there never hears of it, in whatever way.
func TestPresenceIsPrivate(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := presenceHouse(t, o)
		ann, ben := h.subscribed("ann", "secret"), h.subscribed("ben", "secret")
		ann.enters("secret", `{"where":"home"}`)
		for _, action := range []string{"enter", "update", "get"} {
			ben.sendf(`{"type":"presence","channel":"secret","id":1,"data":{"action":%q}}`, action)
			if got := code(t, ben.one()); got != protocol.CodeForbidden {
				t.Errorf("%s: %s", action, got)
			}
		}
		for _, text := range []string{
			`{"type":"subscribe","channel":"$presence:secret","id":1}`,
			`{"type":"presence","channel":"$presence:secret","id":1,"data":{"action":"get"}}`,
			`{"type":"presence","channel":"$presence:secret","id":1,"data":{"action":"leave"}}`,
			`{"type":"e","channel":"$presence:secret","id":1,"data":{"action":"leave","member":{"id":"x"}}}`,
			`{"type":"presence","channel":"$presence:secret","id":1,"data":{"action":"enter"}}`,
		} {
			for _, c := range []*client{ann, ben} {
				c.send(text)
				if got := code(t, c.one()); got != protocol.CodeForbidden {
					t.Errorf("%s: %s", text, got)
				}
			}
		}
		ann.send(`{"type":"unsubscribe","channel":"$presence:secret","id":1}`)
		if got := code(t, ann.one()); got != protocol.CodeNotSubscribed {
			t.Errorf("unsubscribing the log behind it: %s", got)
		}
		ann.send(`{"type":"presence","channel":"secret","data":{"action":"update","data":2}}`)
		if got := says(t, ann.one()); got != "update ann 2" {
			t.Error(got)
		}
		h.settle()
		if got := ben.messages(); len(got) > 0 {
			t.Errorf("ben was told %s", show(got))
		}
	})
}

func TestPresenceRefusals(t *testing.T) {
	h := presenceHouse(t, houseOptions{policy: Policy{Limits: Limits{MessagesPerSecond: 1e6, MessagesBurst: 1e6, Presences: 2, PresenceData: 100}}})
	c := h.welcomed("ann")
	for i := 1; i < 4; i++ {
		c.sendf(`{"type":"subscribe","channel":"chat:%d"}`, i)
		c.one()
	}
	c.enters("chat:1", "1")
	c.enters("chat:2", "2")
	for text, want := range map[string]protocol.Code{
		`{"type":"presence","id":1,"data":{"action":"get"}}`:                                                               protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1}`:                                                                    protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":[]}`:                                                          protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":{}}`:                                                          protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"dance"}}`:                                          protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":{"action":7}}`:                                                protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"get","limit":-1}}`:                                 protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"get","limit":1001}}`:                               protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"get","limit":1.5}}`:                                protocol.CodeBadRequest,
		`{"type":"presence","channel":"no where","id":1,"data":{"action":"get"}}`:                                          protocol.CodeBadRequest,
		`{"type":"presence","channel":"nowhere","id":1,"data":{"action":"get"}}`:                                           protocol.CodeNotFound,
		`{"type":"presence","channel":"plain","id":1,"data":{"action":"get"}}`:                                             protocol.CodeBadRequest,
		`{"type":"presence","channel":"chat:9","id":1,"data":{"action":"enter"}}`:                                          protocol.CodeNotSubscribed,
		`{"type":"presence","channel":"chat:3","id":1,"data":{"action":"update"}}`:                                         protocol.CodeConflict,
		`{"type":"presence","channel":"chat:3","id":1,"data":{"action":"enter"}}`:                                          protocol.CodeLimitExceeded,
		`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"enter","data":"` + strings.Repeat("x", 99) + `"}}`: protocol.CodeTooLarge,
	} {
		c.send(text)
		if got := code(t, c.one()); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	c.sendf(`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"update","data":"%s"}}`, strings.Repeat("x", 98))
	c.await(2) // as much as may be
	c.send(`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"leave"}}`)
	c.await(2)
	c.enters("chat:3", "3") // there is room again
}

// What stands behind a subscription is not the client's to count.
func TestPresenceIsNoSubscription(t *testing.T) {
	h := presenceHouse(t, houseOptions{policy: Policy{Limits: Limits{MessagesPerSecond: 1e6, MessagesBurst: 1e6, Subscriptions: 2}}})
	c := h.welcomed("ann")
	for _, name := range []string{"chat:1", "chat:2"} {
		c.sendf(`{"type":"subscribe","channel":%q}`, name)
		if m := c.one(); m.Type != protocol.TypeSubscribed {
			t.Fatal(show([]protocol.Message{m}))
		}
	}
	c.send(`{"type":"subscribe","channel":"chat:3"}`)
	if got := code(t, c.one()); got != protocol.CodeLimitExceeded {
		t.Errorf("a third: %s", got)
	}
	info, err := h.server.Connection(t.Context(), c.x.ID())
	if slices.Sort(info.Subscriptions); err != nil || fmt.Sprint(info.Subscriptions) != "[chat:1 chat:2]" {
		t.Errorf("listed %v, %v", info.Subscriptions, err)
	}
	if list, _, _ := h.node.List(t.Context(), "", "", 10); len(list) != 2 {
		t.Errorf("channels: %v", list)
	}
	c.send(`{"type":"unsubscribe","channel":"chat:1"}`)
	c.one()
	c.send(`{"type":"unsubscribe","channel":"chat:2"}`)
	c.one()
	h.settle()
	if n := h.node.Channels(); n != 0 {
		t.Errorf("%d channels are followed by nobody", n)
	}
}

func TestPresencePages(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := presenceHouse(t, o)
		var want []string
		for i := range 25 {
			c := h.subscribed(fmt.Sprint("u", i), "chat:1")
			c.send(`{"type":"presence","channel":"chat:1","data":{"action":"enter"}}`)
			want = append(want, c.x.member())
		}
		slices.Sort(want)
		c := h.subscribed("me", "chat:1")
		for c.list("chat:1").Total < 25 {
			h.settle()
		}
		var got []string
		for after, more := "", true; more; {
			p := toldBy(t, c.answerTo("chat:1", fmt.Sprintf(`{"action":"get","limit":10,"after":%q}`, after)))
			if p.Total != 25 || len(p.Members) > 10 {
				t.Fatalf("a page of %d, total %d", len(p.Members), p.Total)
			}
			for _, m := range p.Members {
				got = append(got, m.ID)
			}
			after, more = got[len(got)-1], p.More
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages have %d members in order, want %d", len(got), len(want))
		}
		h.settle()
		c.messages()
		c.send(`{"type":"presence","channel":"chat:1","data":{"action":"get","limit":0}}`) // answered without an id too
		if p := toldBy(t, c.one()); p.Total != 25 || len(p.Members) != 0 || p.More {
			t.Errorf("the count alone: %+v", p)
		}
	})
}

// A signed-in user who loses the connection and comes back in time is never told
// to be gone before being told to be there again.
func TestPresenceGrace(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		o.policy.PresenceGrace = time.Hour
		h := presenceHouse(t, o)
		ben := h.subscribed("ben", "chat:1")
		ann := h.subscribed("ann", "chat:1")
		ann.enters("chat:1", "1")
		ben.one()
		old := ann.x.member()
		ann.leave()
		if l := ben.list("chat:1"); l.Total != 1 {
			t.Fatalf("who lost the connection is out: %+v", l)
		}
		again := h.subscribed("ann", "chat:1")
		again.send(`{"type":"presence","channel":"chat:1","data":{"action":"enter","data":2}}`)
		got := ben.await(2)
		if a, b := toldBy(t, got[0]), toldBy(t, got[1]); a.Action != "enter" || a.Member.ID != again.x.member() || b.Action != "leave" || b.Member.ID != old {
			t.Errorf("told %s", show(got))
		}
		if l := ben.list("chat:1"); l.Total != 1 || l.Members[0].ID != again.x.member() {
			t.Errorf("the list is %+v", l)
		}
	})
}

// Nobody can come back who is not signed in, so nobody is waited for.
func TestPresenceGraceIsForUsers(t *testing.T) {
	h := presenceHouse(t, houseOptions{policy: Policy{PresenceGrace: time.Hour, Anonymous: true}})
	ben := h.subscribed("ben", "chat:1")
	guest := h.subscribed("", "chat:1")
	guest.enters("chat:1", "1")
	guest.leave()
	if got := ben.await(2); says(t, got[0]) != "enter  1" && says(t, got[0]) != "enter 1" || says(t, got[1]) != "leave" {
		t.Errorf("told %s", show(got))
	}
}

func TestPresenceGraceEnds(t *testing.T) {
	h := presenceHouse(t, houseOptions{policy: Policy{PresenceGrace: 30 * time.Millisecond}})
	ben, ann := h.subscribed("ben", "chat:1"), h.subscribed("ann", "chat:1")
	ann.enters("chat:1", "1")
	ben.one()
	ann.leave()
	if got := says(t, ben.one()); got != "leave ann" {
		t.Error(got)
	}
}

// When the rules no longer let somebody in, they are out at once and see nothing more.
func TestPresenceRightLostAndGained(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := presenceHouse(t, o)
		id := identify(h, "ben", `{"secret":["presence"]}`)
		ann := h.subscribed("ann", "secret")
		ben := h.open(Open{Identity: id})
		ben.one()
		ben.send(`{"type":"subscribe","channel":"secret"}`)
		ben.one()
		ben.enters("secret", "1")
		if got := says(t, ann.one()); got != "enter ben 1" {
			t.Fatal(got)
		}
		ben.do(func() { ben.x.become(&auth.Identity{User: "ben"}); ben.x.recheck() })
		if got := code(t, ben.next()); got != protocol.CodeForbidden {
			t.Error(got)
		}
		if got := says(t, ann.one()); got != "leave ben" {
			t.Error(got)
		}
		ann.enters("secret", "1")
		h.settle()
		if got := ben.messages(); len(got) > 0 {
			t.Errorf("ben still sees %s", show(got))
		}
		// The subscription itself has stayed, and sees again with a better token.
		ben.do(func() { ben.x.become(id); ben.x.recheck() })
		h.settle()
		ann.send(`{"type":"presence","channel":"secret","data":{"action":"update","data":2}}`)
		if got := says(t, ben.one()); got != "update ann 2" {
			t.Error(got)
		}
	})
}

// identify makes a token with capabilities and returns whom it identifies.
func identify(h *house, user, ringdown string) *auth.Identity {
	h.t.Helper()
	token, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"}, map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix(), "ringdown": json.RawMessage(ringdown)})
	if err != nil {
		h.t.Fatal(err)
	}
	who, err := h.server.Authenticate(h.t.Context(), token)
	if err != nil {
		h.t.Fatal(err)
	}
	return who
}

// A watcher who does not read is spared the changes and given the list instead.
func TestPresenceForSlowReaders(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := presenceHouse(t, o)
		slow, ann := h.subscribed("slow", "chat:1"), h.subscribed("ann", "chat:1")
		ann.enters("chat:1", "0")
		slow.one()
		slow.fill(10)
		for i := 1; i <= 600; i++ {
			if m := ann.answerTo("chat:1", fmt.Sprintf(`{"action":"update","data":%d}`, i)); m.Type != protocol.TypeAck {
				t.Fatal(show([]protocol.Message{m}))
			}
		}
		h.settle()
		slow.drain(-1)
		last, lists, changes := "", 0, 0
		for last != "600" {
			m := slow.next()
			switch p := toldBy(t, m); p.Action {
			case "members":
				lists++
				last = string(p.Members[0].Data)
			default:
				changes++
				last = string(p.Member.Data)
			}
		}
		if lists == 0 || changes > 1000 {
			t.Errorf("%d lists and %d changes", lists, changes)
		}
		if h.server.Delivery().Metrics().Relists.Load() == 0 {
			t.Error("not counted")
		}
		h.settle()
		ann.send(`{"type":"presence","channel":"chat:1","data":{"action":"update","data":"after"}}`)
		for {
			if m := slow.next(); toldBy(t, m).Action == "update" && says(t, m) == `update ann "after"` {
				return
			}
		}
	})
}

// What is told while a list is on its way comes behind the list.
func TestPresenceListBeforeWhatIsNewer(t *testing.T) {
	b := &blocking{Broker: memory.New(memory.Options{})}
	h := presenceHouse(t, houseOptions{broker: b})
	ann, ben := h.subscribed("ann", "chat:1"), h.subscribed("ben", "chat:1")
	ann.enters("chat:1", "1")
	ben.one()
	gate := make(chan struct{})
	b.set(false, gate)
	ben.send(`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"get"}}`)
	// The list was read with ann in it and is on its way; now ann leaves.
	for !reading(h, ben) {
		h.settle()
	}
	b.set(false, nil)
	ann.send(`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"leave"}}`)
	ann.await(2)
	close(gate)
	got := ben.await(2)
	if a, b := toldBy(t, got[0]), toldBy(t, got[1]); a.Action != "members" || b.Action != "leave" {
		t.Errorf("told %s", show(got))
	}
}

func reading(h *house, c *client) (is bool) {
	c.do(func() { is = c.x.suspended != nil })
	return is
}

// A roster that does not answer costs an error, and no ghost.
func TestPresenceWhenTheRosterFails(t *testing.T) {
	b := &blocking{Broker: memory.New(memory.Options{})}
	h := presenceHouse(t, houseOptions{broker: b})
	ann := h.subscribed("ann", "chat:1")
	b.set(true, nil)
	for _, action := range []string{"enter", "get"} {
		ann.sendf(`{"type":"presence","channel":"chat:1","id":1,"data":{"action":%q}}`, action)
		if m := ann.next(); m.Type != protocol.TypeError {
			t.Errorf("%s: %s", action, show([]protocol.Message{m}))
		}
	}
	b.set(false, nil)
	ann.send(`{"type":"presence","channel":"chat:1","id":1,"data":{"action":"update"}}`)
	if got := code(t, ann.next()); got != protocol.CodeConflict {
		t.Errorf("after a failed enter: %s", got)
	}
	ann.enters("chat:1", "1")
	if l := ann.list("chat:1"); l.Total != 1 {
		t.Errorf("%+v", l)
	}
}

// FuzzPresenceRequest: whatever stands in data is understood or refused, and
// nothing of the frame is kept.
func FuzzPresenceRequest(f *testing.F) {
	for _, seed := range []string{
		`{"action":"enter","data":{"mood":"fine"}}`, `{"action":"update","data":null}`, `{"action":"leave"}`, `{"action":"enter","will":{"type":"gone","key":"k","data":[1]}}`, `{"action":"enter","will":null}`,
		`{"action":"get","limit":10,"after":"k3J9"}`, `{"action":"get","limit":-1e3}`, `{"action":7}`, `[]`, `null`, `"get"`, `{"data":[[[[]]]]}`, `{"ACTION":"get"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame := append([]byte(`{"type":"presence","channel":"c","id":"i","data":`), append(data, '}')...)
		var m protocol.Message
		if protocol.DecodeJSON(frame, &m) != nil {
			return
		}
		r, err := newPresenceRequest(&m)
		before := fmt.Sprintf("%q %q %q %q %q %q", r.action, r.data, r.will, r.after, r.id, r.channel)
		for i := range frame {
			frame[i] = '#'
		}
		if after := fmt.Sprintf("%q %q %q %q %q %q", r.action, r.data, r.will, r.after, r.id, r.channel); after != before {
			t.Errorf("kept the frame: %s became %s", before, after)
		}
		if err == nil && r.data != nil && protocol.ValidJSON(r.data) != nil {
			t.Errorf("data that is no JSON: %q", r.data)
		}
		if err == nil && r.will != nil {
			if w, err := newWill(r.channel, r.will); err == nil && w.Data != nil && protocol.ValidJSON(w.Data) != nil {
				t.Errorf("a will that is no JSON: %q", w.Data)
			}
		}
	})
}
