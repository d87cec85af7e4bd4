package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

type historyPage struct {
	Messages []json.RawMessage
	More     bool
}

// historyOf decodes an answer, and the messages in it.
func historyOf(t *testing.T, m protocol.Message) (list []protocol.Message, more bool) {
	t.Helper()
	var p historyPage
	if err := json.Unmarshal(m.Data, &p); err != nil || m.Type != "history" || p.Messages == nil {
		t.Fatalf("%s %s: %v", m.Type, m.Data, err)
	}
	for _, raw := range p.Messages {
		var one protocol.Message
		if err := protocol.DecodeJSON(raw, &one); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		list = append(list, *one.Clone())
	}
	return list, p.More
}

func TestHistory(t *testing.T) {
	for name, o := range map[string]houseOptions{
		"memory": {}, "elsewhere": {broker: &lateBroker{driver: memory.New(memory.Options{})}}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, o)
			for n := range 250 {
				h.publish("kept", "e", "", fmt.Sprint(n+1))
			}
			c := h.welcomed("ann")
			for _, w := range []struct {
				data       string
				first, end uint64
				more       bool
			}{
				{``, 151, 250, true},
				{`{}`, 151, 250, true},
				{`{"limit":1}`, 250, 250, true},
				{`{"limit":1000}`, 1, 250, false},
				{`{"before":151}`, 51, 150, true},
				{`{"before":51}`, 1, 50, false},
				{`{"before":1}`, 1, 0, false},
				{`{"before":9007199254740992,"limit":2}`, 249, 250, true},
				{`{"after":0,"limit":2}`, 1, 2, true},
				{`{"after":248}`, 249, 250, false},
				{`{"after":250}`, 1, 0, false},
				{`{"after":9999}`, 1, 0, false},
				{`{"after":10,"before":20,"limit":3}`, 17, 19, true},
				{`{"after":10,"before":20}`, 11, 19, false},
				{`{"after":20,"before":10}`, 1, 0, false},
				{`{"limit":5,"other":true}`, 246, 250, true},
			} {
				text := `{"type":"history","channel":"kept","id":7}`
				if w.data != "" {
					text = `{"type":"history","channel":"kept","id":7,"data":` + w.data + `}`
				}
				c.send(text)
				m := c.one()
				list, more := historyOf(t, m)
				if string(m.ID) != "7" || m.Channel != "kept" || m.Epoch == "" || more != w.more || len(list) != int(w.end+1-w.first) {
					t.Fatalf("%s: %d messages, more %v: %.200s", w.data, len(list), more, m.Data)
				}
				if len(list) > 0 {
					if end := run(t, w.first-1, list); end != w.end {
						t.Fatalf("%s comes to %d", w.data, end)
					}
				}
			}
			// Answers come in the order of the requests, and before a live message.
			c.send(`{"type":"subscribe","channel":"kept","id":1}`)
			c.send(`{"type":"history","channel":"kept","id":2}`)
			c.send(`{"type":"ping","id":3}`)
			var got []string
			for _, m := range c.await(3) {
				got = append(got, m.Type)
			}
			if strings.Join(got, " ") != "subscribed history pong" {
				t.Error(got)
			}
		})
	}
}

func TestHistoryRefusals(t *testing.T) {
	h := newHouse(t, houseOptions{channels: []*channel.Declaration{
		{Name: "kept", History: &channel.History{Messages: 10}, Allow: open(channel.Anyone)},
		{Name: "live", Allow: open(channel.Anyone)},
		{Name: "board", State: &channel.State{}, Allow: open(channel.Anyone)},
		{Name: "private", History: &channel.History{Messages: 10}, Allow: channel.Allow{Subscribe: channel.Anyone, History: channel.SignedIn}},
		{Name: "only-past", History: &channel.History{Messages: 10}, Allow: channel.Allow{History: channel.Anyone}},
		{Name: "none", History: &channel.History{Messages: 10}},
	}, policy: Policy{Anonymous: true}})
	ann, nobody := h.welcomed("ann"), h.welcomed("")
	for _, w := range []struct {
		c    *client
		text string
		code protocol.Code
	}{
		{ann, `"channel":"live"`, protocol.CodeBadRequest},
		{ann, `"channel":"board"`, protocol.CodeBadRequest},
		{ann, `"channel":"nowhere"`, protocol.CodeNotFound},
		{ann, `"channel":"$sys"`, protocol.CodeForbidden},
		{ann, `"data":{}`, protocol.CodeBadRequest},
		{ann, `"channel":"none"`, protocol.CodeForbidden},
		{nobody, `"channel":"private"`, protocol.CodeForbidden},
		{ann, `"channel":"private"`, ""},
		{nobody, `"channel":"only-past"`, ""},
		{ann, `"channel":"kept","data":[]`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"limit":0}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"limit":1001}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"limit":1.5}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"before":0}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"before":-1}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"before":9007199254740993}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"after":9007199254740992}`, protocol.CodeBadRequest},
		{ann, `"channel":"kept","data":{"after":9007199254740991}`, ""},
		{ann, `"channel":"kept","data":{"after":"x"}`, protocol.CodeBadRequest},
	} {
		w.c.send(`{"type":"history","id":"r",` + w.text + `}`)
		m := w.c.one()
		if w.code == "" {
			historyOf(t, m)
			continue
		}
		if got := code(t, m); got != w.code || string(m.ID) != `"r"` {
			t.Errorf("%s: %s", w.text, show([]protocol.Message{m}))
		}
	}
}

// TestHistoryBytes: a page is bounded in bytes too, whatever its messages hold,
// and pages joined are everything.
func TestHistoryBytes(t *testing.T) {
	h := newHouse(t, houseOptions{})
	for range 30 {
		h.publish("kept", "e", "", `"`+strings.Repeat("x", 30<<10)+`"`)
	}
	c := h.welcomed("ann")
	before, total := uint64(31), 0
	for more := true; more; {
		c.sendf(`{"type":"history","channel":"kept","id":1,"data":{"limit":1000,"before":%d}}`, before)
		m := c.one()
		var list []protocol.Message
		list, more = historyOf(t, m)
		if len(m.Data) > 300<<10 || len(list) == 0 || list[len(list)-1].Offset != before-1 {
			t.Fatalf("%d bytes, %d messages before %d", len(m.Data), len(list), before)
		}
		before = list[0].Offset
		total += len(list)
	}
	if total != 30 {
		t.Errorf("%d messages", total)
	}
}

// TestHistoryOfBytes: payloads of bytes come as data64.
func TestHistoryOfBytes(t *testing.T) {
	h := newHouse(t, houseOptions{})
	c := h.welcomed("ann")
	h.do(func() {
		c.x.Message(&protocol.Message{Type: "e", Channel: "kept", Data: []byte{0, 1, 255}, Binary: true})
	})
	c.send(`{"type":"history","channel":"kept","id":1}`)
	m := c.one()
	list, _ := historyOf(t, m)
	if len(list) != 1 || !list[0].Binary || string(list[0].Data) != "\x00\x01\xff" || !strings.Contains(string(m.Data), `"data64":"AAH/"`) {
		t.Error(show([]protocol.Message{m}))
	}
}

// TestHistoryFlood (D10): who asks for page after page and does not read is kept
// waiting, and costs a page.
func TestHistoryFlood(t *testing.T) {
	brokers(t, func(t *testing.T, o houseOptions) {
		h := newHouse(t, o)
		for range 20 {
			h.publish("kept", "e", "", `"`+strings.Repeat("x", 30<<10)+`"`)
		}
		c := h.welcomed("ann")
		c.fill(0)
		h.publish("kept", "e", "", "1")
		c.send(`{"type":"subscribe","channel":"kept","id":1}`)
		c.next()
		h.publish("kept", "e", "", "2") // does not leave any more
		h.settle()
		asked := 0
		for n := range 200 {
			c.sendf(`{"type":"history","channel":"kept","id":%d}`, n+10)
			asked++
		}
		h.settle()
		c.link.mu.Lock()
		queued := len(c.link.backlog)
		c.link.mu.Unlock()
		if queued > 100<<10 { // the errors of those that there was no room for
			t.Fatalf("%d bytes are queued for who does not read", queued)
		}
		answers := map[string]int{}
		for answers["history"]+answers["error"] < asked {
			c.drain(-1)
			h.settle()
			for _, m := range c.messages() {
				answers[m.Type]++
			}
		}
		if answers["history"] < 10 {
			t.Errorf("answers: %v", answers)
		}
	})
}
