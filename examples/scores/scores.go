// Package scores is an example: the scores of two leagues and the news of them, with a
// desk where editors put right what is wrong.
//
// Scores are a state channel with the match as the key: whoever comes has all of them at
// once. News is a log: whoever was away is given what was missed. Editors write news on
// the channel themselves, since a rule lets them; a score is put right by a call, since
// the program that keeps the scores has to know.
package scores

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// Config is the configuration of the desk alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

// minute is how long a minute of a match lasts.
const minute = time.Second

// Desk plays the matches while somebody looks, and answers editors.
type Desk struct {
	*stage.Simulation
	server *ringdown.Server
	log    *slog.Logger

	mu      sync.Mutex
	leagues map[string]*league
}

// Open makes the desk and answers its call.
func Open(at stage.Setting) (stage.App, error) {
	d := &Desk{server: at.Server, log: at.Logger, leagues: map[string]*league{}}
	for name := range leagues {
		d.leagues[name] = newLeague(name)
	}
	chance := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	d.Simulation = stage.Simulate(minute, stage.Watched(at.Server, "scores:"), func(ctx context.Context, _ time.Time) {
		if err := d.step(ctx, chance); err != nil && ctx.Err() == nil {
			d.log.Warn("the scores were not told", "error", err)
		}
	})
	at.Server.HandleCall("scores-correct", d.correct)
	return d, nil
}

// Routes adds the page to mux, under /scores/.
func (d *Desk) Routes(mux *http.ServeMux) {
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/scores/", http.StripPrefix("/scores", stage.Pages(web)))
}

// Start takes up the matches where an earlier run left them: what was told stays true.
func (d *Desk) Start(ctx context.Context) error {
	for name, l := range d.leagues {
		kept, err := d.server.State(ctx, "scores:"+name)
		if err != nil {
			return err
		}
		for key, m := range l.matches {
			if v, ok := kept.Values[key]; ok {
				if err := json.Unmarshal(v.Data, m); err != nil {
					return err
				}
			}
		}
	}
	return d.Simulation.Start(ctx)
}

// step plays a minute of everything and tells it.
func (d *Desk) step(ctx context.Context, chance *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var failed error
	for name, l := range d.leagues {
		news := l.step(chance)
		for _, key := range l.keys {
			if m := l.matches[key]; m.Period != "over" || l.rest[key] == 0 {
				failed = errors.Join(failed, d.tell(ctx, name, key, m))
			}
		}
		for _, n := range news {
			_, err := d.server.Publish(ctx, "scores:"+name+":news", "news", n)
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (d *Desk) tell(ctx context.Context, league, key string, m *Match) error {
	_, err := d.server.Publish(ctx, "scores:"+league, "score", m, ringdown.WithKey(key))
	return err
}

// correct is the call of an editor. To ask again does no harm: it says what the score is,
// and not by how much it changes.
func (d *Desk) correct(ctx context.Context, c *ringdown.Call) (any, error) {
	who, err := stage.CallerOf(c.Claims)
	if err == nil && !who.Staff {
		err = protocol.Errorf(protocol.CodeForbidden, "only editors put scores right: sign in as staff")
	}
	if err != nil {
		return nil, err
	}
	var asked struct {
		League, Match string
		Home, Away    int
	}
	if err := stage.DecodeJSON(bytes.NewReader(c.Data), &asked); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.leagues[asked.League]
	if l == nil || l.matches[asked.Match] == nil {
		return nil, protocol.Errorf(protocol.CodeNotFound, "there is no match %q in the league %q", asked.Match, asked.League)
	}
	m := l.matches[asked.Match]
	before := m.Goals
	m.Goals = [2]int{asked.Home, asked.Away}
	if err := d.tell(ctx, asked.League, asked.Match, m); err != nil {
		m.Goals = before // it was not told
		return nil, err
	}
	if m.Goals != before {
		_, err = d.server.Publish(ctx, "scores:"+asked.League+":news", "news", News{"desk", asked.Match, "Put right: " + m.line()})
	}
	return m, err
}
