package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// willHouse has a room where somebody may leave a will, one where only ann may publish
// a will, and a state of devices.
func willHouse(t testing.TB, o houseOptions) *house {
	t.Helper()
	allow := open(channel.Anyone)
	allow.Presence = channel.Anyone
	anns := allow
	anns.Publish = onlyAnn{}
	events := map[string]*channel.Event{"said": {Name: "said"}, "gone": {Name: "gone", Schema: onlyOne{}}}
	o.channels = []*channel.Declaration{
		{Name: "chat", Presence: true, ShowFrom: true, Allow: allow, Events: events, History: &channel.History{Messages: 10}},
		{Name: "anns", Presence: true, Allow: anns, Events: events},
		{Name: "devices", Presence: true, Allow: allow, State: &channel.State{}},
	}
	if o.policy.PresenceGrace == 0 {
		o.policy.PresenceGrace = -1
	}
	return newHouse(t, o)
}

// hears takes what c is told until something is published, and returns it.
func (c *client) hears() protocol.Message {
	c.h.t.Helper()
	for {
		if m := c.next(); m.Type != protocol.TypePresence {
			return m
		}
	}
}

// TestWillIsPublished over every way that a connection ends.
func TestWillIsPublished(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		h := willHouse(t, o)
		ben := h.subscribed("ben", "chat")
		for name, end := range map[string]func(c *client){
			"lost":   func(c *client) { c.leave() },
			"kicked": func(c *client) { c.do(func() { c.x.kick(protocol.CloseForbidden) }) },
		} {
			ann := h.subscribed("ann", "chat")
			if m := ann.answerTo("chat", `{"action":"enter","data":"hi","will":{"type":"gone","data":1}}`); m.Type != protocol.TypeAck {
				t.Fatalf("%s: %s", name, show([]protocol.Message{m}))
			}
			if strings.Contains(string(ben.one().Data), "gone") || strings.Contains(string(ben.answerTo("chat", `{"action":"get"}`).Data), "gone") {
				t.Errorf("%s: others are told of the will", name)
			}
			// What it says of itself now changes nothing of it.
			if m := ann.answerTo("chat", `{"action":"update","data":"ho"}`); m.Type != protocol.TypeAck {
				t.Fatalf("%s: %s", name, show([]protocol.Message{m}))
			}
			end(ann)
			if m := ben.hears(); m.Type != "gone" || string(m.Data) != "1" || m.From != "ann" {
				t.Errorf("%s: published %s", name, show([]protocol.Message{m}))
			}
		}
		for name, end := range map[string]func(c *client){
			"leaves":       func(c *client) { c.answerTo("chat", `{"action":"leave"}`) },
			"unsubscribes": func(c *client) { c.send(`{"type":"unsubscribe","channel":"chat"}`) },
			"takes it back": func(c *client) {
				c.answerTo("chat", `{"action":"update","will":null}`)
			},
			"enters without": func(c *client) { c.answerTo("chat", `{"action":"enter"}`) },
		} {
			ann := h.subscribed("ann", "chat")
			ann.answerTo("chat", `{"action":"enter","will":{"type":"gone","data":1}}`)
			end(ann)
			ann.do(func() { ann.x.Closed(nil) })
			for left := false; !left; {
				m := ben.next()
				left = m.Type == protocol.TypePresence && toldBy(t, m).Action == "leave"
				if m.Type == "gone" {
					t.Fatalf("%s: published %s", name, show([]protocol.Message{m}))
				}
			}
			h.publish("chat", "said", "", `1`)
			if m := ben.hears(); m.Type != "said" {
				t.Errorf("%s: published %s", name, show([]protocol.Message{m}))
			}
		}
	})
}

// TestWillOfADevice is what tells that a device is away, as a state that is kept.
func TestWillOfADevice(t *testing.T) {
	h := willHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	watcher, device := h.subscribed("ben", "devices"), h.subscribed("", "devices")
	device.answerTo("devices", `{"action":"enter","will":{"type":"status","key":"pump","data":{"online":false}}}`)
	device.leave()
	if m := watcher.hears(); m.Type != "status" || m.Key != "pump" || string(m.Data) != `{"online":false}` {
		t.Errorf("published %s", show([]protocol.Message{m}))
	}
}

// TestWillIsJudged: what a client may not publish it may not leave to be published
// either, and who is refused is not in.
func TestWillIsJudged(t *testing.T) {
	each(t, func(t *testing.T, o houseOptions) {
		o.policy.Limits = Limits{PresenceData: 100}
		h := willHouse(t, o)
		ben := h.subscribed("ben", "chat")
		for name, answers := range map[string]int{"anns": 1, "devices": 2} {
			ben.sendf(`{"type":"subscribe","channel":%q}`, name)
			ben.await(answers)
		}
		for _, c := range []struct {
			channel, will string
			want          protocol.Code
		}{
			{"anns", `{"type":"gone","data":1}`, protocol.CodeForbidden},
			{"chat", `{"type":"gone","data":2}`, protocol.CodeInvalidData},
			{"chat", `{"type":"other","data":1}`, protocol.CodeInvalidData},
			{"chat", `{"type":"gone","key":"k","data":1}`, protocol.CodeBadRequest},
			{"chat", `{"type":"ping"}`, protocol.CodeBadRequest},
			{"chat", `{"data":1}`, protocol.CodeBadRequest},
			{"chat", `{"type":7}`, protocol.CodeBadRequest},
			{"chat", `"gone"`, protocol.CodeBadRequest},
			{"devices", `{"type":"gone","data":1}`, protocol.CodeBadRequest},
			{"chat", `{"type":"gone","data":"` + strings.Repeat("x", 90) + `"}`, protocol.CodeTooLarge},
		} {
			if got := code(t, ben.answerTo(c.channel, `{"action":"enter","will":`+c.will+`}`)); got != c.want {
				t.Errorf("%s in %s: %s, want %s", c.will, c.channel, got, c.want)
			}
			if l := ben.list(c.channel); l.Total != 0 {
				t.Errorf("%s in %s: entered", c.will, c.channel)
			}
		}
	})
}

// TestWillIsAsked: the hook of publications is asked when somebody enters, what it makes
// of the will is published, and it is not asked again.
func TestWillIsAsked(t *testing.T) {
	h := willHouse(t, houseOptions{policy: Policy{PresenceGrace: 10 * time.Millisecond}, broker: &blocking{Broker: memory.New(memory.Options{})}})
	asked := make(chan string, 8)
	h.server.SetHooks(Hooks{Publish: func(_ context.Context, _ *Client, e *protocol.Message) error {
		asked <- e.Type + string(e.Data)
		if string(e.Data) == "3" {
			return protocol.Errorf(protocol.CodeForbidden, "not three")
		}
		e.Data = []byte("1")
		return nil
	}})
	ben, ann := h.subscribed("ben", "chat"), h.subscribed("ann", "chat")
	if got := code(t, ann.answerTo("chat", `{"action":"enter","will":{"type":"gone","data":3}}`)); got != protocol.CodeForbidden {
		t.Errorf("refused with %s", got)
	}
	if m := ann.answerTo("chat", `{"action":"enter","will":{"type":"gone","data":9}}`); m.Type != protocol.TypeAck {
		t.Fatal(show([]protocol.Message{m}))
	}
	ann.leave()
	if m := ben.hears(); m.Type != "gone" || string(m.Data) != "1" {
		t.Errorf("published %s", show([]protocol.Message{m}))
	}
	if a, b := <-asked, <-asked; a != "gone3" || b != "gone9" || len(asked) != 0 {
		t.Errorf("asked of %s, %s and %d more", a, b, len(asked))
	}
}
