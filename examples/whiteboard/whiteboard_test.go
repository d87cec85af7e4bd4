package whiteboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown"
	"ringdown/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// boards are the channels of a server that is not there.
type boards struct {
	mu     sync.Mutex
	keys   map[string]map[string]ringdown.Stored
	counts int
	fail   error
}

func (b *boards) State(_ context.Context, channel string) (ringdown.State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts++
	st := ringdown.State{Values: map[string]ringdown.Stored{}}
	for key, v := range b.keys[channel] {
		st.Values[key] = v
	}
	return st, nil
}

func (b *boards) Publish(_ context.Context, channel, event string, data any, opts ...ringdown.PublishOption) (ringdown.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return ringdown.Receipt{}, b.fail
	}
	m := protocol.Message{}
	for _, o := range opts {
		o(&m)
	}
	if event != "stroke" || data != nil {
		return ringdown.Receipt{}, fmt.Errorf("published %s %v", event, data)
	}
	delete(b.keys[channel], m.Key)
	return ringdown.Receipt{}, nil
}

func (b *boards) put(channel, author string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys == nil {
		b.keys = map[string]map[string]ringdown.Stored{}
	}
	if b.keys[channel] == nil {
		b.keys[channel] = map[string]ringdown.Stored{}
	}
	for i := range n {
		b.keys[channel][fmt.Sprintf("%s/%08x", author, i)] = ringdown.Stored{}
	}
}

func newGuard(b *boards) *guard { return &guard{b, newCounter(b), slog.New(slog.DiscardHandler)} }

func TestPublish(t *testing.T) {
	const key = "ann/0123456789abcdef"
	for _, c := range []struct {
		name, user, channel, event, key, data string
		code                                  protocol.Code
	}{
		{name: "one's own", user: "ann", channel: "whiteboard:a", event: "stroke", key: key, data: `{}`},
		{name: "one's own is taken back", user: "ann", channel: "whiteboard:a", event: "stroke", key: key, data: `null`},
		{name: "a stroke of somebody else", user: "ben", channel: "whiteboard:a", event: "stroke", key: key, data: `{}`, code: protocol.CodeForbidden},
		{name: "somebody else's is taken back", user: "ben", channel: "whiteboard:a", event: "stroke", key: key, data: `null`, code: protocol.CodeForbidden},
		{name: "a name that begins like one's own", user: "an", channel: "whiteboard:a", event: "stroke", key: key, data: `{}`, code: protocol.CodeForbidden},
		{name: "nobody", channel: "whiteboard:a", event: "stroke", key: "/0123456789abcdef", data: `{}`, code: protocol.CodeForbidden},
		{name: "no key", user: "ann", channel: "whiteboard:a", event: "stroke", data: `{}`, code: protocol.CodeForbidden},
		{name: "a key without an id", user: "ann", channel: "whiteboard:a", event: "stroke", key: "ann/", data: `{}`, code: protocol.CodeBadRequest},
		{name: "a key that goes on", user: "ann", channel: "whiteboard:a", event: "stroke", key: key + "/x", data: `{}`, code: protocol.CodeBadRequest},
		{name: "a key for what is ephemeral", user: "ann", channel: "whiteboard:a", event: "cursor", key: key, data: `{}`, code: protocol.CodeBadRequest},
		{name: "a cursor", user: "ann", channel: "whiteboard:a", event: "cursor", data: `{}`},
		{name: "a board with a bad name", user: "ann", channel: "whiteboard:A B", event: "cursor", data: `{}`, code: protocol.CodeBadRequest},
		{name: "another app", user: "ann", channel: "chat:a", event: "stroke", key: "x", data: `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := newGuard(&boards{}).publish(t.Context(), &ringdown.Connection{User: c.user},
				&ringdown.Message{Channel: c.channel, Event: c.event, Key: c.key, Data: []byte(c.data)})
			wants(t, err, c.code)
		})
	}
}

func wants(t *testing.T, err error, code protocol.Code) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok || e.Code != code || e.Retryable {
		t.Fatalf("the error is %v, want %s", err, code)
	}
}

// TestFull: a board has so many strokes and no more, however many draw at the same time,
// and room again when some are gone.
func TestFull(t *testing.T) {
	b := &boards{}
	b.put("whiteboard:a", "ann", MaxStrokes-10)
	g := newGuard(b)
	now := time.Now()
	g.count.now = func() time.Time { return now }
	draw := func(author string, n int) error {
		return g.publish(t.Context(), &ringdown.Connection{User: author},
			&ringdown.Message{Channel: "whiteboard:a", Event: "stroke", Key: fmt.Sprintf("%s/%08x", author, n), Data: []byte(`{}`)})
	}
	var drawing sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for n := range 30 {
		drawing.Go(func() {
			if err := draw("ben", n); err == nil {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	drawing.Wait()
	if in != 10 {
		t.Fatalf("%d were let in, want 10", in)
	}
	if b.counts != 1 {
		t.Errorf("the server was asked %d times, want once", b.counts)
	}
	wants(t, draw("ben", 100), protocol.CodeLimitExceeded)
	wants(t, draw("ann", 0), "") // it has this one
	// One is taken back.
	if err := g.publish(t.Context(), &ringdown.Connection{User: "ann"},
		&ringdown.Message{Channel: "whiteboard:a", Event: "stroke", Key: "ann/00000000", Data: []byte(`null`)}); err != nil {
		t.Fatal(err)
	}
	delete(b.keys["whiteboard:a"], "ann/00000000")
	wants(t, draw("ben", 100), protocol.CodeLimitExceeded)
	// That it is gone, and that those of ben were never stored, is found out, but not at once.
	now = now.Add(recount)
	wants(t, draw("ben", 100), "")
	if b.counts != 2 {
		t.Errorf("the server was asked %d times, want twice", b.counts)
	}
}

// TestForgotten: what is known of boards has a limit itself.
func TestForgotten(t *testing.T) {
	c := newCounter(&boards{})
	for n := range 3 * maxBoards {
		wants(t, c.add(t.Context(), fmt.Sprintf("whiteboard:%d", n), "ann/00000000"), "")
	}
	if len(c.boards) != maxBoards {
		t.Errorf("%d boards are counted, want %d", len(c.boards), maxBoards)
	}
}

func TestClear(t *testing.T) {
	b := &boards{}
	b.put("whiteboard:a", "ann", 500)
	b.put("whiteboard:b", "ann", 3)
	g := newGuard(b)
	call := func(user, data string) (any, error) {
		return g.clear(t.Context(), &ringdown.Call{Connection: ringdown.Connection{User: user}, Event: "whiteboard-clear", Data: json.RawMessage(data)})
	}
	for _, c := range []struct {
		user, data string
		code       protocol.Code
	}{
		{"", `{"board":"a"}`, protocol.CodeUnauthorized},
		{"ben", `{"board":"A"}`, protocol.CodeBadRequest},
		{"ben", `{"board":"` + strings.Repeat("a", 41) + `"}`, protocol.CodeBadRequest},
		{"ben", `{"other":1}`, protocol.CodeBadRequest},
		{"ben", ``, protocol.CodeBadRequest},
	} {
		_, err := call(c.user, c.data)
		wants(t, err, c.code)
	}
	result, err := call("ben", `{"board":"a"}`)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(result); string(text) != `{"strokes":500}` {
		t.Errorf("the answer is %s", text)
	}
	if len(b.keys["whiteboard:a"]) != 0 || len(b.keys["whiteboard:b"]) != 3 {
		t.Errorf("there are %d and %d left, want 0 and 3", len(b.keys["whiteboard:a"]), len(b.keys["whiteboard:b"]))
	}
	b.fail = protocol.Errorf(protocol.CodeUnavailable, "the disk is full")
	if _, err := call("ben", `{"board":"b"}`); !errors.Is(err, b.fail) {
		t.Errorf("the error is %v, want that of the server", err)
	}
	if len(b.keys["whiteboard:b"]) != 3 {
		t.Error("strokes are gone that could not be deleted")
	}
}

// TestTakenBackIsNoRoom: a deletion makes room when it is stored and not when it is asked
// for, for it may not be: under a key of dedupe that was used it is taken for a repetition.
func TestTakenBackIsNoRoom(t *testing.T) {
	b := &boards{}
	b.put("whiteboard:a", "ann", MaxStrokes)
	g := newGuard(b)
	say := func(key, data string) error {
		return g.publish(t.Context(), &ringdown.Connection{User: "ann"}, &ringdown.Message{Channel: "whiteboard:a", Event: "stroke", Key: key, Data: []byte(data)})
	}
	wants(t, say("ann/00000000", `{}`), "") // it is there already
	for range 3 {
		wants(t, say("ann/00000001", `null`), "")
		wants(t, say("ann/ffffffff", `{}`), protocol.CodeLimitExceeded)
	}
}
