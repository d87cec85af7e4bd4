package scores

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// paper keeps what is told and posted, and can fail or lose its answers.
type paper struct {
	mu      sync.Mutex
	matches map[string]Match
	news    []News
	keys    map[string]News
	tell    func(n News) (before, after error) // refused before it is stored, or the answer lost after
	post    error
}

func newPaper() *paper { return &paper{matches: map[string]Match{}, keys: map[string]News{}} }

func (p *paper) Tell(_ context.Context, _, _, dedupe string, n News) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var before, after error
	if p.tell != nil {
		before, after = p.tell(n)
	}
	if before != nil {
		return before
	}
	if told, ok := p.keys[dedupe]; ok {
		if told != n {
			return protocol.Errorf(protocol.CodeInvalidData, "the key was used for something else")
		}
		return after
	}
	p.keys[dedupe] = n
	p.news = append(p.news, n)
	return after
}

func (p *paper) Post(_ context.Context, _, id string, m *Match) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.post != nil:
		return p.post
	case m == nil:
		delete(p.matches, id)
	default:
		p.matches[id] = *m
	}
	return nil
}

func (p *paper) Kept(context.Context, string) (matches []Match, news []News, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.matches {
		matches = append(matches, m)
	}
	return matches, slices.Clone(p.news), nil
}

// open makes a league on what p keeps.
func open(t *testing.T, p *paper) *league {
	t.Helper()
	l := newLeague("north", p, rand.New(rand.NewPCG(3, 4)))
	if err := l.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func play(t *testing.T, l *league, minutes int) {
	t.Helper()
	for range minutes {
		if err := l.play(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// agree checks that the news of each match have the versions 1, 2, 3 …, each once, and
// that the board says what the last of them says.
func agree(t *testing.T, p *paper) {
	t.Helper()
	last := map[string]News{}
	for _, n := range p.news {
		if n.Version != last[n.ID].Version+1 {
			t.Errorf("%s has version %d after %d", n.ID, n.Version, last[n.ID].Version)
		}
		last[n.ID] = n
	}
	for id, m := range p.matches {
		if n := last[id]; n.Version != m.Version || n.Goals != m.Goals {
			t.Errorf("the board has %+v, and the news %+v", m, n)
		}
	}
}

// Three evenings of one league: every club plays one match at a time, goals only go up, and
// there are always four matches or more.
func TestPlay(t *testing.T) {
	p := newPaper()
	l := open(t, p)
	ended := map[string]bool{}
	for range 500 {
		before := map[string]Match{}
		for id, m := range p.matches {
			before[id] = m
		}
		play(t, l, 1)
		clubs := map[string]bool{}
		for id, m := range p.matches {
			if clubs[m.Home] || clubs[m.Away] {
				t.Fatalf("a club plays two matches: %v", p.matches)
			}
			clubs[m.Home], clubs[m.Away] = true, true
			if was := before[id]; m.Goals[0] < was.Goals[0] || m.Goals[1] < was.Goals[1] || m.Minute < was.Minute || m.Minute > 90 {
				t.Fatalf("from %+v to %+v", was, m)
			}
			if m.Period == Ended {
				ended[id] = true
			}
		}
		if len(p.matches) < atOnce-1 {
			t.Fatalf("there are %d matches", len(p.matches))
		}
	}
	if len(ended) < 8 {
		t.Errorf("%d matches have ended", len(ended))
	}
	agree(t, p)
}

// However often the server dies between news and board, and whichever answers are lost,
// nothing is told twice, and nothing is missing.
func TestCrashes(t *testing.T) {
	p := newPaper()
	l := open(t, p)
	chance := rand.New(rand.NewPCG(5, 6))
	gone := protocol.Errorf(protocol.CodeUnavailable, "not now")
	for range 600 {
		p.tell, p.post = nil, nil
		switch chance.IntN(6) {
		case 0:
			p.tell = func(News) (error, error) { return gone, nil }
		case 1:
			p.tell = func(News) (error, error) { return nil, context.DeadlineExceeded }
		case 2:
			p.post = gone
		}
		err := l.play(t.Context())
		if err != nil && !errors.Is(err, gone) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if chance.IntN(10) == 0 {
			l = open(t, p)
		}
	}
	p.tell, p.post = nil, nil
	l = open(t, p)
	play(t, l, 2)
	agree(t, p)
	if len(p.news) < 50 {
		t.Errorf("only %d pieces of news", len(p.news))
	}
}

func TestCorrect(t *testing.T) {
	p := newPaper()
	l := open(t, p)
	play(t, l, 1)
	var m Match
	for _, m = range p.matches {
		if m.Period == First {
			break
		}
	}
	staff, reader := stage.Caller{User: "staff", Staff: true}, stage.Caller{User: "ann"}
	s := &Scores{leagues: map[string]*league{"north": l}}
	body := func(version int, rest string) string {
		return `{"league":"north","match":"` + m.ID + `","version":` + string(rune('0'+version)) + rest
	}
	if m.Version > 8 {
		t.Fatalf("the test writes versions with one digit, and %d has two", m.Version)
	}
	for _, c := range []struct {
		name, body string
		who        stage.Caller
		want       protocol.Code
	}{
		{"a reader", body(m.Version, `,"goals":[9,9]}`), reader, protocol.CodeForbidden},
		{"nonsense", `{`, staff, protocol.CodeBadRequest},
		{"another field", body(m.Version, `,"goals":[9,9],"minute":3}`), staff, protocol.CodeBadRequest},
		{"another league", `{"league":"moon","match":"north-1","version":1,"goals":[9,9]}`, staff, protocol.CodeNotFound},
		{"another match", `{"league":"north","match":"north-99","version":1,"goals":[9,9]}`, staff, protocol.CodeNotFound},
		{"too many goals", body(m.Version, `,"goals":[100,0]}`), staff, protocol.CodeInvalidData},
		{"fewer than none", body(m.Version, `,"goals":[-1,0]}`), staff, protocol.CodeInvalidData},
		{"a long reason", body(m.Version, `,"goals":[9,9],"reason":"`+strings.Repeat("ä", 201)+`"}`), staff, protocol.CodeInvalidData},
		{"an old version", body(m.Version-1, `,"goals":[9,9]}`), staff, protocol.CodeConflict},
		{"a right one", body(m.Version, `,"goals":[9,9],"reason":"`+strings.Repeat("ä", 200)+`"}`), staff, ""},
		{"the same again", body(m.Version, `,"goals":[9,9]}`), staff, protocol.CodeConflict},
		{"what it is", body(m.Version+1, `,"goals":[9,9]}`), staff, protocol.CodeConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.correct(t.Context(), c.who, []byte(c.body))
			switch got := protocol.AsError(err); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (got == nil || got.Code != c.want):
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	if got := p.matches[m.ID]; got.Goals != [2]int{9, 9} || got.Version != m.Version+1 {
		t.Errorf("the board has %+v", got)
	}
	if n := p.news[len(p.news)-1]; n.By != "staff" || n.Goals != [2]int{9, 9} {
		t.Errorf("the last news is %+v", n)
	}
	play(t, l, 30)
	agree(t, p)
}

// Editors and the play take turns: each of many corrections at a time counts once or is
// told that it came too late.
func TestRace(t *testing.T) {
	p := newPaper()
	l := open(t, p)
	play(t, l, 1)
	var all sync.WaitGroup
	for goals := range 20 {
		all.Go(func() {
			l.mu.Lock()
			id := l.ids()[goals%2]
			m := l.matches[id]
			l.mu.Unlock()
			_, err := l.correct(t.Context(), Correction{Match: id, Version: m.Version, Goals: [2]int{goals + 50, goals}}, "staff")
			if e := protocol.AsError(err); e != nil && e.Code != protocol.CodeConflict {
				t.Error(err)
			}
		})
	}
	all.Go(func() { play(t, l, 20) })
	all.Wait()
	agree(t, p)
}

func TestRoute(t *testing.T) {
	gate, err := stage.OpenGate(t.TempDir(), "scores-test-key-0123456789")
	if err != nil {
		t.Fatal(err)
	}
	p := newPaper()
	l := open(t, p)
	play(t, l, 1)
	s := &Scores{gate: gate, log: slog.New(slog.DiscardHandler), leagues: map[string]*league{"north": l}}
	mux := http.NewServeMux()
	s.Routes(mux)
	post := func(user, body string) int {
		r := httptest.NewRequest("POST", "/scores/correction", strings.NewReader(body))
		if user != "" {
			token, err := gate.Token(user)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Code
	}
	unknown := `{"league":"north","match":"north-99","version":1,"goals":[9,9]}`
	for _, c := range []struct {
		name, user, body string
		want             int
	}{
		{"nobody", "", unknown, http.StatusUnauthorized},
		{"a reader", "ann", unknown, http.StatusForbidden},
		{"an editor", "staff-jo", unknown, http.StatusNotFound},
		{"too much", "staff", strings.Repeat(" ", maxBody) + unknown, http.StatusRequestEntityTooLarge},
	} {
		if got := post(c.user, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
