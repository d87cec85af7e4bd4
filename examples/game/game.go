// Package game is an example: players who gather bells on a field, all on one server
// that has the last word.
//
// A page says which way its player goes, twenty times a second at most (game:input). The
// world (package world) makes the steps by its rules, twenty times a second, and says where
// everybody is (game:field). A page does not wait for that: it walks ahead by the same
// rules, and when the world has spoken it begins from there and walks again what the world
// has not seen yet. Scores are a state channel (game:scores), which outlives the server.
//
// The world goes on only while somebody looks.
package game

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/examples/game/world"
	"ringdown/protocol"
)

// Config is the configuration of the game alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var web embed.FS

// Bots is how many there are, so that who comes alone is not alone.
const Bots = 4

// maxWaiting is how many users' inputs may wait for the next tick. There is room for those
// who play, and for some who try in vain.
const maxWaiting = 2 * world.MaxPlayers

// Game is the world, its page, and what lies between it and the server.
type Game struct {
	server *ringdown.Server
	log    *slog.Logger
	inbox  inbox
	board  *board
	ticks  *stage.Simulation

	// Of the goroutine of ticks, after Start.
	world   *world.World
	failing bool
}

// Open makes the game and has it hear what players publish.
func Open(at stage.Setting) (stage.App, error) {
	g := &Game{server: at.Server, log: cmp.Or(at.Logger, slog.Default()), inbox: inbox{}}
	g.board = newBoard(func(ctx context.Context, user string, s Score) error {
		_, err := at.Server.Publish(ctx, "game:scores", "score", s, ringdown.WithKey(user))
		return err
	}, g.log)
	g.ticks = stage.Simulate(world.Period, stage.Watched(at.Server, "game:field"), g.tick)
	at.Server.OnPublish(g.hear)
	return g, nil
}

// hear takes what players publish on game:input. The server has checked it against the
// schema, and knows whose it is.
func (g *Game) hear(_ context.Context, c *ringdown.Connection, m *ringdown.Message) error {
	if m.Channel != "game:input" {
		return nil
	}
	var in world.Input // of a leave it is the session alone
	if err := json.Unmarshal(m.Data, &in); err != nil {
		return protocol.Errorf(protocol.CodeInvalidData, "these are no steps: %v", err)
	}
	if !g.inbox.put(c.User, said{in, m.Event == "leave"}) {
		return protocol.Errorf(protocol.CodeUnavailable, "too many want to play at once")
	}
	return nil
}

// Start reads the scores of earlier runs and lets the world go on.
func (g *Game) Start(ctx context.Context) error {
	st, err := g.server.State(ctx, "game:scores")
	if err != nil {
		return fmt.Errorf("game: reading the scores: %w", err)
	}
	scores := map[string]int{}
	for user, m := range st.Values {
		var s Score
		if err := json.Unmarshal(m.Data, &s); err != nil {
			return fmt.Errorf("game: the score of %q: %w", user, err)
		}
		scores[user] = s.Bells
	}
	g.world = world.New(world.NewField(world.Drawing), Bots, scores, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	g.board.start()
	return g.ticks.Start(ctx)
}

// Stop stops the world and then waits until all scores are written.
func (g *Game) Stop(ctx context.Context) error {
	err := g.ticks.Stop(ctx)
	g.board.stop()
	return err
}

// tick hears everybody, goes on by one period and tells everybody.
func (g *Game) tick(ctx context.Context, now time.Time) {
	for user, s := range g.inbox.take() {
		if s.leaves {
			g.world.Leave(user, s.Session)
		} else {
			g.world.Take(user, s.Input, now)
		}
	}
	frame, won := g.world.Tick(now)
	for user, bells := range won {
		g.board.put(user, Score{bells})
	}
	_, err := g.server.Publish(ctx, "game:field", "tick", frame)
	if err != nil && !g.failing && ctx.Err() == nil {
		g.log.Warn("the game cannot say where players are; it goes on trying", "error", err)
	}
	g.failing = err != nil
}

// Routes adds the page to mux, all of it under /game/.
func (g *Game) Routes(mux *http.ServeMux) {
	pages, _ := fs.Sub(web, "web")
	mux.Handle("/game/", http.StripPrefix("/game", stage.Pages(pages)))
	mux.Handle("GET /game/field.txt", stage.File("field.txt", []byte(world.Drawing)))
}
