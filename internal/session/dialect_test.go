package session

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/protocol"
)

// framesMade counts the frames that the dialect below has made.
var framesMade atomic.Int64

// plainForm is the form of a dialect that knows nothing of JSON frames: a message is
// a line of its channel, its offset and its data.
var plainForm = channel.RegisterForm(func(e *channel.Entry) []byte {
	framesMade.Add(1)
	var m protocol.Message
	e.Message(&m)
	return fmt.Appendf(nil, "MSG %s %d %s\n", m.Channel, m.Offset, m.Data)
})

// plainLink speaks that dialect. What the session tells comes to it as values, and
// none of it is parsed.
type plainLink struct{ *fakeLink }

func (l plainLink) Form() channel.Form { return plainForm }

func (l plainLink) Send(e event.Event) {
	line := ""
	switch e := e.(type) {
	case *event.Welcome:
		line = "HELLO " + e.User
	case *event.Subscribed:
		line = fmt.Sprintf("SUB %s %d recovered=%v", e.Channel, e.Position.Offset, e.Recovered())
	case *event.Gap:
		line = fmt.Sprintf("GAP %s %d-%d %s", e.Channel, e.Lost.From, e.Lost.To, e.Reason)
	case *event.Error:
		line = "ERR " + string(e.Err.Code)
	default:
		line = fmt.Sprintf("%T", e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream = append(l.stream, line+"\n"...)
	l.changed()
}

// heard returns what the peer was sent, once it has so many lines.
func (l plainLink) heard(t *testing.T, lines int) string {
	t.Helper()
	for {
		l.mu.Lock()
		text, more := string(l.stream), l.more
		l.mu.Unlock()
		if strings.Count(text, "\n") >= lines {
			return text
		}
		select {
		case <-more:
		case <-time.After(10 * time.Second):
			t.Fatalf("it heard %q", text)
		}
	}
}

// TestDialect: sessions of another protocol follow the same channels as those of the
// native one, from the past, from the ring and with a place of their own; and each
// message is put into their form once for all of them.
func TestDialect(t *testing.T) {
	h := newHouse(t, houseOptions{channels: []*channel.Declaration{{Name: "kept", History: &channel.History{Messages: 100},
		Allow: channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone, History: channel.Anyone}}}})
	framesMade.Store(0)
	speak := func() (*client, plainLink) {
		c := &client{h: h, link: &fakeLink{loop: h.pick(), room: -1, more: make(chan struct{})}}
		l := plainLink{c.link}
		c.do(func() {
			c.x = h.server.Open(l, Open{Transport: "plain", Identity: &auth.Identity{User: "bob"}})
			c.link.session = c.x
		})
		t.Cleanup(c.leave)
		return c, l
	}
	native := h.subscribed("ann", "kept")
	h.publish("kept", "e", "", "1")
	var links []plainLink
	for range 3 {
		c, l := speak()
		c.send(`{"type":"subscribe","channel":"kept","data":{"last":1}}`)
		links = append(links, l)
	}
	c, l := speak()
	c.send(`{"type":"subscribe","channel":"nowhere"}`)
	if got, want := l.heard(t, 2), "HELLO bob\nERR not_found\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, l := range links {
		l.heard(t, 3)
	}
	h.publish("kept", "e", "", `{"two":2}`)
	for _, l := range links {
		if got, want := l.heard(t, 4), "HELLO bob\nSUB kept 0 recovered=false\nMSG kept 1 1\nMSG kept 2 {\"two\":2}\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if n := framesMade.Load(); n != 2 {
		t.Errorf("%d frames were made for 2 messages", n)
	}
	if got := native.await(2); string(got[1].Data) != `{"two":2}` {
		t.Errorf("%+v", got)
	}
}
