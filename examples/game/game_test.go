package game

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringdown"
	"ringdown/client"
	"ringdown/examples/demo/stage"
	"ringdown/examples/game/world"
	"ringdown/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// table is a game on a server.
type table struct {
	*Game
	gate *stage.Gate
	url  string
	stop func()
}

// deal starts a game on what dir keeps; stop ends it, at the latest with the test.
func deal(t *testing.T, dir string) *table {
	t.Helper()
	gate, err := stage.OpenGate(dir, "game-test-key-0123456789")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	srv, err := ringdown.New(ringdown.Options{Config: Config, Env: gate.Env, StoreDir: dir + "/messages", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	app, err := Open(stage.Setting{Server: srv, Gate: gate, Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(srv.Start(t.Context()), app.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", srv.Handler())
	app.Routes(mux)
	web := httptest.NewServer(mux)
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(app.Stop(ctx), srv.Stop(ctx)); err != nil {
			t.Error(err)
		}
		web.Close()
	}
	t.Cleanup(stop)
	return &table{app.(*Game), gate, web.URL, stop}
}

// player is a client of a user.
func (tb *table) player(t *testing.T, user string) *client.Client {
	t.Helper()
	token, err := tb.gate.Token(user)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(tb.url, client.WithFixedToken(token))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// watch calls fn with each tick until it is content.
func watch(t *testing.T, c *client.Client, fn func(f world.Frame) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for m, err := range c.Channel("game:field").Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		var f world.Frame
		if err := m.Decode(&f); err != nil {
			t.Fatal(err)
		}
		if fn(f) {
			return
		}
	}
}

func find(f world.Frame, user string) *world.Player {
	for i := range f.Players {
		if f.Players[i].User == user {
			return &f.Players[i]
		}
	}
	return nil
}

func TestPlay(t *testing.T) {
	tb := deal(t, t.TempDir())
	ann := tb.player(t, "ann")
	say := func(event string, data any) {
		if _, err := ann.Channel("game:input").Publish(t.Context(), event, data); err != nil {
			t.Error(err)
		}
	}
	told := 0
	watch(t, ann, func(f world.Frame) bool {
		p := find(f, "ann")
		switch told {
		case 0:
			say("steps", world.Input{Session: 5, First: 1, Steps: "2222"})
			told++
		case 1:
			if p == nil || p.Step < 4 {
				return false
			}
			if p.Session != 5 || p.Step != 4 {
				t.Errorf("ann is %+v, want session 5 after step 4", p)
			}
			say("leave", map[string]int{"session": 5})
			told++
		default:
			return p == nil
		}
		return false
	})
}

// What is no input is refused before the game hears of it, and nobody else can listen.
func TestRefused(t *testing.T) {
	tb := deal(t, t.TempDir())
	ann := tb.player(t, "ann")
	for name, c := range map[string]struct {
		channel, event, data string
		want                 protocol.Code
	}{
		"too many steps":    {"game:input", "steps", `{"session":1,"first":1,"steps":"` + strings.Repeat("6", 21) + `"}`, protocol.CodeInvalidData},
		"no direction":      {"game:input", "steps", `{"session":1,"first":1,"steps":"6x"}`, protocol.CodeInvalidData},
		"no number":         {"game:input", "steps", `{"session":1,"steps":"6"}`, protocol.CodeInvalidData},
		"for somebody else": {"game:input", "steps", `{"user":"ben","session":1,"first":1,"steps":"6"}`, protocol.CodeInvalidData},
		"a tick":            {"game:field", "tick", `{"world":1,"tick":1,"at":1,"players":[],"bells":[]}`, protocol.CodeForbidden},
		"a score":           {"game:scores", "score", `{"bells":1000000}`, protocol.CodeForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ann.Channel(c.channel).Publish(t.Context(), c.event, json.RawMessage(c.data))
			if client.Code(err) != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	for _, err := range ann.Channel("game:input").Messages(t.Context()) {
		if client.Code(err) != protocol.CodeForbidden {
			t.Errorf("listening to others: %v, want forbidden", err)
		}
		break
	}
}

// A bell that was gathered is on the board, and still is when the server comes back.
func TestScoresStay(t *testing.T) {
	dir := t.TempDir()
	tb := deal(t, dir)
	tb.board.put("ann", Score{41})
	tb.stop() // which writes what is left
	tb = deal(t, dir)
	state, err := tb.player(t, "ben").Channel("game:scores").State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	var got Score
	if there, err := state.Get("ann", &got); err != nil || !there || got.Bells != 41 {
		t.Errorf("the board has %d bells of ann, want 41: %v", got.Bells, err)
	}
}

// The world sleeps when nobody looks.
func TestSleep(t *testing.T) {
	tb := deal(t, t.TempDir())
	ann := tb.player(t, "ann")
	var last world.Frame
	watch(t, ann, func(f world.Frame) bool { last = f; return f.Tick > 3 })
	waitFor(t, func() bool {
		list, err := tb.server.Channels(t.Context(), "game:field")
		return err == nil && len(list) == 0
	})
	time.Sleep(time.Second) // in which it would go on for 20 ticks
	watch(t, ann, func(f world.Frame) bool {
		if f.Tick > last.Tick+15 {
			t.Errorf("from tick %d it has gone on to %d with nobody there", last.Tick, f.Tick)
		}
		return true
	})
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func TestInbox(t *testing.T) {
	var b inbox
	say := func(user string, session int64) bool {
		return b.put(user, said{Input: world.Input{Session: session}})
	}
	for i := range maxWaiting {
		if !say(string(rune('a'+i)), 1) {
			t.Fatalf("only %d users may wait", i)
		}
	}
	if say("late", 1) {
		t.Error("one more than may wait was taken")
	}
	if !say("a", 3) || !say("a", 2) {
		t.Error("who waits already was refused")
	}
	if got := b.take()["a"].Session; got != 3 {
		t.Errorf("of a's sessions %d counts, want 3", got)
	}
	if left := b.take(); len(left) != 0 {
		t.Errorf("emptied, it holds %v", left)
	}
}

// While the disk is slow, the board keeps the newest of each player; what could not be
// written is written later.
func TestBoard(t *testing.T) {
	type entry struct {
		user string
		Score
	}
	asked, answer := make(chan entry), make(chan error)
	b := newBoard(func(_ context.Context, user string, s Score) error {
		asked <- entry{user, s}
		return <-answer
	}, slog.New(slog.DiscardHandler))
	b.start()
	b.put("ann", Score{1})
	expect := func(n int, result error) {
		t.Helper()
		if got := <-asked; got != (entry{"ann", Score{n}}) {
			t.Errorf("%v is written, want %d of ann", got, n)
		}
		answer <- result
	}
	first := <-asked
	b.put("ann", Score{2})
	b.put("ann", Score{3})
	answer <- errors.New("the disk is full")
	if first.Bells != 1 {
		t.Errorf("first %d is written, want 1", first.Bells)
	}
	expect(3, errors.New("the disk is still full"))
	expect(3, nil)
	b.put("ann", Score{4})
	expect(4, nil)
	b.stop()
	b.stop()
}
