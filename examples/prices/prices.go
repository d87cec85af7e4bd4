// Package prices is an example: four invented markets whose prices move all the time,
// and a trader's account.
//
// Two kinds of data meet here, and they want opposite things of a server.
//
//	prices:{market}        price; keyed by symbol. Only the newest counts, so a page may ask for fewer
//	                       of them (rate), and the server leaves out what is out of date
//	trades:{user}          trade; every one counts, none may be missing and none come twice
//	trades:{user}:account  account; what the trader has after the last of them
//
// Prices are made up in memory (market.go) and are no loss. Accounts are records in a
// database (store.go), whole cents, and a trade is written there together with the
// events that tell of it before anybody is told. A trader gives each trade a reference
// of their own, so that a page that lost its line just asks again.
package prices

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/examples/outbox"
)

// Prices move perTick at a time, every tick: fifty changes a second in all.
const (
	tick    = 100 * time.Millisecond
	perTick = 5
)

// Config is the configuration of the markets alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

// Exchange is the markets, the accounts and their page. Its methods are safe for
// concurrent use.
type Exchange struct {
	server  *ringdown.Server
	db      *bolt.DB
	courier *outbox.Courier
	moves   *stage.Simulation
	log     *slog.Logger
	now     func() time.Time
	failing bool // owned by move: the last prices did not go out

	mu    sync.Mutex
	floor *floor
}

// Open opens or creates the accounts, and answers the call trade.
func Open(at stage.Setting) (stage.App, error) {
	path := filepath.Join(at.Dir, "prices.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("prices: cannot open %s (is it open elsewhere?): %w", path, err)
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e := &Exchange{
		server: at.Server, db: db, log: at.Logger, now: time.Now,
		courier: outbox.New(db, outbox.Through(at.Server, "prices"), at.Logger),
		floor:   newFloor(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))),
	}
	e.moves = stage.Simulate(tick, stage.Watched(at.Server, "prices:"), e.move)
	at.Server.HandleCall("trade", e.answer)
	return e, nil
}

// Start goes on with the prices that the channels have from an earlier run, and
// publishes those of symbols that they do not have.
func (e *Exchange) Start(ctx context.Context) error {
	for _, m := range markets {
		held, err := e.server.State(ctx, channel(m.ID))
		if err != nil {
			return fmt.Errorf("prices: reading what %s was at: %w", m.ID, err)
		}
		e.mu.Lock()
		missing := e.floor.resume(m.ID, held.Values)
		e.mu.Unlock()
		if err := e.publish(ctx, missing); err != nil {
			return fmt.Errorf("prices: opening %s: %w", m.ID, err)
		}
	}
	e.courier.Start()
	return e.moves.Start(ctx)
}

// Stop stops the prices where they are and closes the records. Stopping again does nothing.
func (e *Exchange) Stop(ctx context.Context) error {
	err := e.moves.Stop(ctx)
	e.courier.Stop()
	return errors.Join(err, e.db.Close())
}

func channel(market string) string { return "prices:" + market }

// move is one tick: a few prices move, and are published.
func (e *Exchange) move(ctx context.Context, now time.Time) {
	e.mu.Lock()
	quotes := e.floor.step(now)
	e.mu.Unlock()
	err := e.publish(ctx, quotes)
	if err != nil && !e.failing && ctx.Err() == nil {
		e.log.Warn("prices cannot be published; they go on trying", "error", err)
	}
	e.failing = err != nil
}

// publish publishes a few prices at once, so that a store that has to write them down
// does so once for all of them. It returns their errors.
func (e *Exchange) publish(ctx context.Context, quotes []quote) error {
	failed := make([]error, len(quotes))
	var all sync.WaitGroup
	for i, q := range quotes {
		all.Go(func() {
			_, failed[i] = e.server.Publish(ctx, channel(q.market), "price", q.Price, ringdown.WithKey(q.symbol))
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// Routes adds the page to mux, all of it under /prices/.
func (e *Exchange) Routes(mux *http.ServeMux) {
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/prices/", http.StripPrefix("/prices", stage.Pages(web)))
	mux.HandleFunc("GET /prices/markets.json", func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		sheet := e.floor.sheet()
		e.mu.Unlock()
		w.Header().Set("Cache-Control", "no-store")
		stage.Reply(w, http.StatusOK, sheet)
	})
}
