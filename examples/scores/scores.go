// Package scores is an example: a board of matches, the news of them, and a desk whose
// editors set scores right and write notes.
//
// Each league has two channels. scores:{league} is a state: the latest of each match.
// scores:{league}:news is a history: what happened, in order. A goal is both. It is told as
// news first, and then put on the board (see league).
//
// Matches are played by chance, a minute in a second, and only while somebody looks.
package scores

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
)

// Config is the configuration of the scores alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var web embed.FS

// minute is how long one lasts.
const minute = time.Second

const maxBody = 4 << 10 // bytes of a correction

// Scores is all leagues and their desk.
type Scores struct {
	gate    *stage.Gate
	log     *slog.Logger
	leagues map[string]*league
	plays   []*stage.Simulation
}

// Open makes the leagues and has the desk answer calls.
func Open(at stage.Setting) (stage.App, error) {
	s := &Scores{gate: at.Gate, log: cmp.Or(at.Logger, slog.Default()), leagues: map[string]*league{}}
	for name := range leagues {
		l := newLeague(name, Through(at.Server), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
		s.leagues[name] = l
		s.plays = append(s.plays, stage.Simulate(minute, stage.Watched(at.Server, "scores:"+name), s.play(l)))
	}
	at.Server.HandleCall("scores-correct", func(ctx context.Context, c *ringdown.Call) (any, error) {
		who, err := stage.CallerOf(c.Claims)
		if err != nil {
			return nil, err
		}
		return s.correct(ctx, who, c.Data)
	})
	return s, nil
}

// play is a step of a league's simulation. While the channels fail it says so once.
func (s *Scores) play(l *league) func(context.Context, time.Time) {
	failing := false
	return func(ctx context.Context, _ time.Time) {
		err := l.play(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("a league stands still; it is tried again", "league", l.name, "error", err)
		}
		failing = err != nil
	}
}

// Start takes up all leagues where they were, and lets them play.
func (s *Scores) Start(ctx context.Context) (err error) {
	for _, l := range s.leagues {
		err = errors.Join(err, l.load(ctx))
	}
	for _, p := range s.plays {
		err = errors.Join(err, p.Start(ctx))
	}
	return err
}

// Stop has all matches stand still.
func (s *Scores) Stop(ctx context.Context) (err error) {
	for _, p := range s.plays {
		err = errors.Join(err, p.Stop(ctx))
	}
	return err
}

// Routes adds the page and the desk's route to mux, all of it under /scores/.
func (s *Scores) Routes(mux *http.ServeMux) {
	pages, _ := fs.Sub(web, "web")
	mux.Handle("/scores/", http.StripPrefix("/scores", stage.Pages(pages)))
	mux.HandleFunc("POST /scores/correction", s.serveCorrection)
}
