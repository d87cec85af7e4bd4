package poll

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/session"
)

// caller is a client whose polls go on in one session.
type caller struct {
	h        *house
	channels []string
	session  string
	cursor   string
	id       string
	secret   string
}

// ask makes one request, and does not take over what it says.
func (c *caller) ask(wait string) page {
	c.h.t.Helper()
	text, err := json.Marshal(map[string]any{"channels": c.channels, "cursor": c.cursor, "session": c.session})
	if err != nil {
		c.h.t.Fatal(err)
	}
	resp, err := c.h.web.Client().Post(c.h.web.URL+"/?wait="+wait, "application/json", bytes.NewReader(text))
	if err != nil {
		c.h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var p page
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusOK || p.Cursor == "" {
		c.h.t.Fatal(resp.Status, err)
	}
	return p
}

// poll makes one request and returns what kinds of messages it brought.
func (c *caller) poll(wait string) string {
	c.h.t.Helper()
	p := c.ask(wait)
	c.cursor = p.Cursor
	var kinds []string
	for _, m := range p.Messages {
		kinds = append(kinds, m.Type)
		if m.Type == "welcome" {
			var d struct{ Session, Connection, Secret string }
			if err := json.Unmarshal(m.Data, &d); err != nil || d.Session == "" || strings.Contains(d.Session, d.Connection) {
				c.h.t.Fatalf("%s %v", m.Data, err)
			}
			c.session, c.id, c.secret = d.Session, d.Connection, d.Secret
		}
	}
	return strings.Join(kinds, " ")
}

// say posts a message for the session.
func (c *caller) say(text string) {
	c.h.t.Helper()
	if err := c.h.server.Post(c.h.t.Context(), session.Posted{Connection: c.id, Secret: c.secret, Message: []byte(text)}); err != nil {
		c.h.t.Fatal(err)
	}
}

// present is how many are in the room.
func (h *house) present() int {
	h.t.Helper()
	p, err := h.node.Members(h.t.Context(), "room", broker.MemberRange{Limit: 10})
	if err != nil {
		h.t.Fatal(err)
	}
	return p.Total
}

func (c *caller) want(wait, kinds string) {
	c.h.t.Helper()
	if got := c.poll(wait); got != kinds {
		c.h.t.Errorf("the answer has %q, want %q", got, kinds)
	}
}

// TestSession: what owns presence, and what is published on channels that keep
// nothing, outlives the answer; and ends when no request comes any more.
func TestSession(t *testing.T) {
	h := newHouse(t, Options{Lease: time.Second})
	c := &caller{h: h, channels: []string{"c", "live", "room"}}
	c.want("25", "welcome subscribed subscribed subscribed")
	c.say(`{"type":"presence","channel":"room","id":1,"data":{"action":"enter"}}`)
	for !strings.Contains(c.poll("5"), "presence") {
	}
	if n := h.present(); n != 1 || h.server.Sessions() != 1 {
		t.Fatalf("%d members, %d sessions", n, h.server.Sessions())
	}
	// Nobody waits, and still nothing is missed.
	h.publish("live", "1")
	h.publish("c", "1")
	h.publish("live", "2")
	got := c.poll("5")
	for len(got) < len("e e e") {
		got += " " + c.poll("5")
	}
	if got != "e e e" {
		t.Error(got)
	}
	c.channels = append(c.channels, "board")
	for got = c.poll("5"); !strings.Contains(got, "state"); got += " " + c.poll("5") {
	}
	if got != "subscribed state" {
		t.Error(got)
	}
	c.want("0", "")
	// It goes, with the usual grace.
	for h.server.Sessions() > 0 || h.present() > 0 {
		time.Sleep(time.Millisecond)
	}
	h.publish("c", "2")
	kinds := strings.Fields(c.poll("25"))
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "e subscribed subscribed subscribed subscribed welcome" {
		t.Error(got)
	}
}

// TestLostAnswer: whoever asks again with the cursor of before has missed an
// answer. It gets a new session that begins there.
func TestLostAnswer(t *testing.T) {
	h := newHouse(t, Options{})
	c := &caller{h: h, channels: []string{"c"}}
	c.poll("25")
	h.publish("c", "1")
	c.ask("25") // and the answer is lost
	h.publish("c", "2")
	before := c.session
	got := ""
	for !strings.HasSuffix(got, "e e") {
		got += " " + c.poll("5")
	}
	if got != " welcome subscribed e e" || c.session == before || h.server.Sessions() != 1 {
		t.Errorf("%q, %d sessions", got, h.server.Sessions())
	}
	// So it is for who comes to another node.
	c.session = "elsewhere"
	h.publish("c", "3")
	c.want("25", "welcome subscribed e")
	begun := time.Now()
	c.session = "elsewhere"
	c.want("0.2", "welcome subscribed") // no news: not at once, or it would go round and round
	if time.Since(begun) < 200*time.Millisecond {
		t.Error("it was answered at once")
	}
}

// TestTakenOver: a client that asks while its request still waits has given that up.
func TestTakenOver(t *testing.T) {
	h := newHouse(t, Options{})
	c := &caller{h: h, channels: []string{"c"}}
	c.poll("25")
	first := make(chan page)
	go func() { first <- c.ask("60") }()
	h.until(func() bool { return h.polls.waiting() == 1 })
	second := make(chan string)
	go func() { second <- c.poll("60") }()
	if p := <-first; len(p.Messages) != 0 || p.Cursor == "" {
		t.Errorf("%+v", p)
	}
	h.publish("c", "1")
	if got := <-second; got != "e" {
		t.Error(got)
	}
}

// waiting is how many sessions are not parked.
func (h *Handler) waiting() int {
	h.table.mu.Lock()
	defer h.table.mu.Unlock()
	n := len(h.table.lines)
	for _, line := range h.table.parked {
		n -= line.Len()
	}
	return n
}

func (h *house) until(done func() bool) {
	for !done() {
		time.Sleep(time.Millisecond)
	}
}

// TestKicked: what ended a session while nobody asked is told to who asks next.
func TestKicked(t *testing.T) {
	h := newHouse(t, Options{})
	c := &caller{h: h, channels: []string{"c"}}
	c.poll("25")
	if err := h.server.Disconnect(t.Context(), c.id); err != nil {
		t.Fatal(err)
	}
	h.until(func() bool { return h.server.Sessions() == 0 })
	p := c.ask("25")
	if len(p.Messages) != 1 || !strings.Contains(string(p.Messages[0].Data), `"close":4005`) {
		t.Errorf("%+v", p)
	}
	c.want("0", "welcome subscribed")
}

// TestParkedBounds: clients that leave cost a bounded number of sessions, each of
// which collects a bounded number of bytes.
func TestParkedBounds(t *testing.T) {
	h := newHouse(t, Options{})
	first := &caller{h: h, channels: []string{"live"}}
	first.poll("25")
	for range mostOfAddress + 5 {
		(&caller{h: h, channels: []string{"live"}}).poll("25")
	}
	h.until(func() bool { return h.server.Sessions() == mostOfAddress })
	first.want("0", "welcome subscribed")
	for n := range 100 {
		h.publish("live", fmt.Sprintf(`"%d%s"`, n, strings.Repeat("x", 1000)))
	}
	p := first.ask("0")
	size := 0
	for _, m := range p.Messages {
		size += len(m.Data)
	}
	if size == 0 || size > mostAnswered {
		t.Errorf("%d bytes", size)
	}
}
