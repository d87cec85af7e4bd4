package scores

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// TestSeason: every match goes through all of its periods, minute by minute, with news of
// each goal and of nothing else that a score could come from.
func TestSeason(t *testing.T) {
	l, chance := newLeague("harbour"), rand.New(rand.NewPCG(1, 2))
	if len(l.keys) != 4 {
		t.Fatalf("%d matches", len(l.keys))
	}
	seen := map[string]int{}
	before := map[string]Match{}
	for range 400 {
		goals := map[string]int{}
		for _, n := range l.step(chance) {
			seen[n.Kind]++
			if n.Kind == "goal" {
				goals[n.Match]++
			}
		}
		for key, m := range l.matches {
			was := before[key]
			begun := was.Period == "over" && m.Period == "first"
			if m.Minute < was.Minute && !begun || m.Minute > fullTime || m.Minute > was.Minute+1 && !begun {
				t.Fatalf("%s went from %+v to %+v", key, was, *m)
			}
			if scored := m.Goals[0] + m.Goals[1] - was.Goals[0] - was.Goals[1]; !begun && scored != goals[key] {
				t.Fatalf("%s: %d goals were told of %d", key, goals[key], scored)
			}
			before[key] = *m
			seen[m.Period]++
		}
	}
	for _, what := range []string{"goal", "card", "whistle", "first", "half-time", "second", "over"} {
		if seen[what] == 0 {
			t.Errorf("there was no %s", what)
		}
	}
}

func open(t *testing.T, dir string) (*Desk, *ringdown.Server) {
	t.Helper()
	gate, err := stage.OpenGate(dir, "scores-test-key-0123")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	server, err := ringdown.New(ringdown.Options{Config: Config, Env: gate.Env, StoreDir: dir, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	app, err := Open(stage.Setting{Server: server, Gate: gate, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := app.(*Desk)
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d, server
}

func shut(t *testing.T, d *Desk, s *ringdown.Server) {
	t.Helper()
	if err := d.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestDesk: editors put scores right, others do not, and what was told is still so after
// a restart.
func TestDesk(t *testing.T) {
	dir := t.TempDir()
	d, server := open(t, dir)
	if err := d.step(t.Context(), rand.New(rand.NewPCG(3, 4))); err != nil {
		t.Fatal(err)
	}
	call := func(claims, data string) error {
		_, err := d.correct(t.Context(), &ringdown.Call{Connection: ringdown.Connection{Claims: json.RawMessage(claims)}, Data: json.RawMessage(data)})
		return err
	}
	const staff, right = `{"sub":"staff","roles":["staff"]}`, `{"league":"harbour","match":"tugrovers-anchortown","home":7,"away":1}`
	for name, c := range map[string]struct {
		claims, data string
		code         protocol.Code
	}{
		"nobody":         {`null`, right, protocol.CodeUnauthorized},
		"a reader":       {`{"sub":"ann"}`, right, protocol.CodeForbidden},
		"no such match":  {staff, `{"league":"harbour","match":"x","home":1,"away":1}`, protocol.CodeNotFound},
		"no such league": {staff, `{"league":"x","match":"tugrovers-anchortown","home":1,"away":1}`, protocol.CodeNotFound},
		"something else": {staff, `{"score":1}`, protocol.CodeBadRequest},
	} {
		if err := call(c.claims, c.data); protocol.AsError(err).Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 { // asked again it is the same
		if err := call(staff, right); err != nil {
			t.Fatal(err)
		}
	}
	page, err := server.History(t.Context(), "scores:harbour:news", ringdown.HistoryRange{})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, m := range page.Messages {
		told += strings.Count(string(m.Data), "Put right: Tug Rovers 7, Anchor Town 1.")
	}
	if told != 1 {
		t.Errorf("it was told %d times", told)
	}
	shut(t, d, server)
	d, server = open(t, dir)
	defer shut(t, d, server)
	if m := d.leagues["harbour"].matches["tugrovers-anchortown"]; m.Goals != [2]int{7, 1} || m.Minute != 1 {
		t.Errorf("after a restart it stands %+v", m)
	}
}
