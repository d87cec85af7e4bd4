package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/cursor"
	"ringdown/internal/event"
	"ringdown/protocol"
)

// fakeStream is a stream over a socket of the test: an event is the position, a
// tab, the message and a newline.
type fakeStream struct {
	fakeLink
	settled int
}

func (l *fakeStream) Form() channel.Form { return channel.FormLine }

func (l *fakeStream) AppendEvent(dst, line []byte) []byte {
	dst = append(l.session.AppendPosition(dst), '\t')
	return append(append(dst, line...), '\n')
}

func (l *fakeStream) Send(e event.Event) {
	m := event.Encode(e)
	defer m.Release()
	l.Share(l.AppendEvent(nil, protocol.AppendJSON(nil, &m.Message)))
	l.drain(0)
	l.mu.Lock()
	l.block = l.block || l.single
	l.mu.Unlock()
}

func (l *fakeStream) Attach(x *Session) { l.session = x }

func (l *fakeStream) Heartbeat() time.Duration { return 7 * time.Second }

func (l *fakeStream) Settled() { l.mu.Lock(); l.settled++; l.mu.Unlock() }

// drain lets the peer read more bytes: more of them, and those there is room for.
func (l *fakeStream) drain(more int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room += more
	n := min(l.room, len(l.backlog))
	l.stream = append(l.stream, l.backlog[:n]...)
	l.backlog, l.room = l.backlog[n:], l.room-n
}

// follow opens a stream at a cursor.
func (h *house) follow(at string, room int, channels ...string) (*client, *fakeStream) {
	h.t.Helper()
	from, err := cursor.Parse(at)
	if err != nil {
		h.t.Fatal(err)
	}
	o := Open{Transport: "test", Places: from}
	for _, c := range channels {
		o.Follow = append(o.Follow, Follow{Channel: c, Since: from.Find(c), Last: 1000})
	}
	l := &fakeStream{fakeLink: fakeLink{loop: h.pick(), room: room, more: make(chan struct{})}}
	c := &client{h: h, link: &l.fakeLink}
	c.do(func() { c.x = h.server.Open(l, o) })
	h.t.Cleanup(c.leave)
	return c, l
}

// TestStreamCut: a stream that is cut at any byte, again and again, and goes on
// with the position of the last whole event, is given every message of all of
// its channels once and in order.
func TestStreamCut(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	channels := []string{"kept", "short", "trim", "live", "room:1"}
	const total = 300
	published := 0
	publish := func(n int) {
		for ; n > 0 && published < total; n-- {
			published++
			for _, c := range []string{"kept", "short"} {
				h.publish(c, "e", "", fmt.Sprint(published))
			}
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	got := map[string][]string{}
	at := ""
	for cuts := 0; ; cuts++ {
		if cuts > 5000 {
			t.Fatalf("after %d cuts: %d and %d messages", cuts, len(got["kept"]), len(got["short"]))
		}
		c, l := h.follow(at, rnd.IntN(3000), channels...)
		for range rnd.IntN(4) {
			publish(rnd.IntN(10))
			h.settle()
			l.drain(rnd.IntN(500))
			h.do(func() {
				if !l.Blocked() {
					c.x.Drained()
				}
			})
		}
		h.settle()
		c.leave()
		l.mu.Lock()
		text := bytes.Clone(l.stream)
		l.mu.Unlock()
		for {
			event, rest, whole := bytes.Cut(text, []byte{'\n'})
			if !whole {
				break
			}
			text = rest
			id, line, _ := bytes.Cut(event, []byte{'\t'})
			var m protocol.Message
			if err := protocol.DecodeJSON(line, &m); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if len(id) > 0 {
				at = string(id)
			}
			switch {
			case m.Type == "gap", m.Type == "subscribed" && at != "" && bytes.Contains(m.Data, []byte("false")):
				t.Fatalf("%s", line)
			case m.Type == "e":
				got[m.Channel] = append(got[m.Channel], string(m.Data))
			}
		}
		if published == total && len(got["kept"]) >= total && len(got["short"]) >= total {
			t.Logf("%d cuts", cuts)
			break
		}
	}
	for _, c := range []string{"kept", "short"} {
		if len(got[c]) != total {
			t.Errorf("%s: %d messages of %d", c, len(got[c]), total)
		}
		for i, data := range got[c] {
			if data != fmt.Sprint(i+1) {
				t.Fatalf("%s: message %d is %s", c, i+1, data)
			}
		}
	}
}

// TestStreamState: the position within a state that was given in part is told
// with each part, and who comes back with it is given the rest.
func TestStreamState(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	wide := `"` + string(bytes.Repeat([]byte{'x'}, 20_000)) + `"`
	for i := range 5 {
		h.publish("board", "e", fmt.Sprint("key", i), wide)
	}
	_, l := h.follow("", 1<<30, "board")
	h.settle()
	events := bytes.Split(bytes.TrimSuffix(l.stream, []byte{'\n'}), []byte{'\n'})
	if len(events) < 4 {
		t.Fatalf("%d events", len(events))
	}
	for i, event := range events {
		id, line, _ := bytes.Cut(event, []byte{'\t'})
		if last := i == len(events)-1; (i > 1) != (len(id) > 0) || last != bytes.HasSuffix(line, []byte(`"more":false}}`)) {
			t.Errorf("event %d of %d has the position %q: %.80s", i+1, len(events), id, line)
		}
	}
	id, _, _ := bytes.Cut(events[len(events)-1], []byte{'\t'})
	h.publish("board", "e", "key1", `2`)
	_, l = h.follow(string(id), 1<<30, "board")
	h.settle()
	if n := bytes.Count(l.stream, []byte{'\n'}); n != 3 || bytes.Contains(l.stream, []byte(`"state"`)) || l.settled == 0 {
		t.Errorf("coming back: %d events, settled %d times: %.300s", n, l.settled, l.stream)
	}
	h.stateFrom(t, events)
}

// stateFrom comes back after each part of a state, when it has changed meanwhile.
func (h *house) stateFrom(t *testing.T, events [][]byte) {
	t.Helper()
	h.publish("board", "e", "key0", `1`)
	h.publish("board", "e", "key4", ``)
	for i, event := range events[:len(events)-1] {
		id, _, _ := bytes.Cut(event, []byte{'\t'})
		if len(id) == 0 {
			continue
		}
		_, l := h.follow(string(id), 1<<30, "board")
		h.settle()
		text := string(l.stream)
		if !strings.Contains(text, `"recovered":true`) || strings.Contains(text, `"gap"`) {
			t.Errorf("after part %d: %.200s", i, text)
		}
		// What was given is not given again, but for what has changed.
		for n := range 5 {
			key := fmt.Sprintf(`"key":"key%d"`, n)
			given := bytes.Contains(bytes.Join(events[:i+1], nil), []byte(key))
			want := 1
			if given && (n == 2 || n == 3) {
				want = 0
			}
			if got := strings.Count(text, key); got != want {
				t.Errorf("after part %d: %s comes %d times, want %d", i, key, got, want)
			}
		}
	}
}

// TestStreamLater: a channel that is subscribed to when the stream is under way
// joins its position; who comes back with that and subscribes again goes on.
func TestStreamLater(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	h.publish("kept", "e", "", `1`)
	c, l := h.follow("", 1<<30, "short")
	h.settle()
	c.send(`{"type":"subscribe","channel":"kept"}`)
	h.settle()
	h.publish("kept", "e", "", `2`)
	h.settle()
	id := lastID(l)
	h.publish("kept", "e", "", `3`)

	for range 2 { // the second one is cut off before it subscribes
		_, l = h.follow(id, 1<<30, "short")
		h.settle()
		if at, err := cursor.Parse(lastID(l)); err != nil || at.Find("kept") == nil || at.Find("kept").Offset != 2 {
			t.Errorf("%v %v", at, err)
		}
		id = lastID(l)
	}
	c, l = h.follow(id, 1<<30, "short")
	c.send(`{"type":"subscribe","channel":"kept"}`)
	h.settle()
	text := string(l.stream)
	if !strings.Contains(text, `"recovered":true,"head":3`) || strings.Count(text, `"type":"e"`) != 1 {
		t.Error(text)
	}
	c.send(`{"type":"unsubscribe","channel":"kept"}`)
	c.send(`{"type":"ping","id":9}`)
	h.settle()
	if at, err := cursor.Parse(lastID(l)); err != nil || at.Find("kept") != nil {
		t.Errorf("%v %v", at, err)
	}
}

// lastID is the position of the last event that had one.
func lastID(l *fakeStream) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := ""
	for event := range bytes.SplitSeq(l.stream, []byte{'\n'}) {
		if id, _, _ := bytes.Cut(event, []byte{'\t'}); len(id) > 0 {
			at = string(id)
		}
	}
	return at
}

// TestStreamFull: a stream follows what a cursor holds and no more; channels that
// it has left make room.
func TestStreamFull(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true, Limits: Limits{Subscriptions: 1000, MessagesPerSecond: 100_000, MessagesBurst: 100_000}}})
	c, l := h.follow("", 1<<30, "kept")
	for i := range cursor.MaxChannels + 1 {
		c.send(fmt.Sprintf(`{"type":"subscribe","channel":"room:%d"}`, i))
		h.settle()
	}
	if text := string(l.stream); strings.Count(text, `"stream.channels"`) != 2 {
		t.Errorf("not refused: %s", text[max(0, len(text)-500):])
	}
	c.send(`{"type":"unsubscribe","channel":"kept"}`)
	c.send(`{"type":"subscribe","channel":"short"}`)
	h.settle()
	if at, err := cursor.Parse(lastID(l)); err != nil || at.Find("short") == nil {
		t.Error(at, err)
	}
}

// TestStreamRefused: a channel that could not be begun with stands where the
// peer said, and the others go on.
func TestStreamRefused(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	h.publish("kept", "e", "", `1`)
	epoch := h.publish("kept", "e", "", `2`).Position.Epoch
	var w cursor.Writer
	w.Begin()
	w.Add(cursor.KeyOf("secret"), cursor.Place{Position: protocol.Position{Epoch: "epoch", Offset: 7}})
	w.Add(cursor.KeyOf("kept"), cursor.Place{Position: protocol.Position{Epoch: epoch, Offset: 1}})
	c, l := h.follow(string(w.Append(nil)), 1<<30, "secret", "kept")
	h.settle()
	var at cursor.Cursor
	h.do(func() { at, _ = cursor.Parse(string(c.x.AppendPosition(nil))) })
	if p := at.Find("secret"); p == nil || p.Offset != 7 || at.Find("kept").Offset != 2 {
		t.Errorf("%v", at)
	}
	if !bytes.Contains(l.stream, []byte(`"forbidden"`)) && !bytes.Contains(l.stream, []byte(`"unauthorized"`)) {
		t.Errorf("%s", l.stream)
	}
	h.publish("kept", "e", "", `3`)
	h.settle()
	if !bytes.HasSuffix(l.stream, []byte("\"data\":3}\n")) {
		t.Errorf("%s", l.stream)
	}
}

// TestStreamHeartbeat: the welcome of a stream tells the heartbeat of its link,
// not that of WebSockets.
func TestStreamHeartbeat(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	_, l := h.follow("", 1<<30, "kept")
	h.settle()
	if !bytes.Contains(l.stream, []byte(`"ping":7000,`)) {
		t.Errorf("%s", l.stream)
	}
}

// BenchmarkPosition is what the id of one event costs a stream of so many
// channels, and how long it is.
func BenchmarkPosition(b *testing.B) {
	for _, n := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprint(n, "-channels"), func(b *testing.B) {
			h := newHouse(b, houseOptions{policy: Policy{Anonymous: true}, channels: []*channel.Declaration{
				{Name: "c:{n}", History: &channel.History{Messages: 10}, Allow: open(channel.Anyone)}}})
			names := make([]string, n)
			for i := range names {
				names[i] = fmt.Sprint("c:", i)
				h.publish(names[i], "e", "", "1")
			}
			c, _ := h.follow("", 1<<30, names...)
			for begun := 0; begun < n; {
				h.do(func() { at, _ := cursor.Parse(string(c.x.AppendPosition(nil))); begun = len(at) })
			}
			b.ReportAllocs()
			h.do(func() {
				var at []byte
				for b.Loop() {
					at = c.x.AppendPosition(at[:0])
				}
				b.ReportMetric(float64(len(at)), "id-bytes")
			})
		})
	}
}

// TestKickedStreamTakesNothing: what the operator has ended is over, though its
// transport still lets leave what is queued.
func TestKickedStreamTakesNothing(t *testing.T) {
	h := newHouse(t, houseOptions{policy: Policy{Anonymous: true}})
	c, _ := h.follow("", 1<<20, "kept")
	h.settle()
	var err error
	h.do(func() {
		c.x.kick(protocol.CloseByOperator)
		err = c.x.post(&Posted{Server: true, Message: []byte(`{"type":"e","channel":"kept","data":1}`)})
	})
	if err == nil || protocol.AsError(err).Code != protocol.CodeNotFound {
		t.Errorf("a message to a stream that was kicked: %v", err)
	}
	target, _ := h.node.Resolve("kept")
	if p, err := h.server.History(t.Context(), "kept", target, nil, nil, 10); err != nil || len(p.Entries) != 0 {
		t.Errorf("it was published all the same: %d, %v", len(p.Entries), err)
	}
}
