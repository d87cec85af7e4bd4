// Package sale is an example: a flash sale. There is one article, a few of it, and many
// who want it in the same second.
//
// Two promises are kept. No more is sold than there was, and whoever was told yes has a
// piece, though the server may be killed at any moment. Both come from the records
// (store.go): pieces are numbered, a number is given out in a transaction, and the
// buyer is told when it is on the disk. Whoever did not hear the answer asks again with
// the same reference, and hears the same number.
//
//	sale:stock   stock; how many are left. A state channel, on which only the newest counts
//	sale:buyers  sold; who has which number. A log, of which nothing is missing
//
// What the channels say is derived from the records, by one goroutine (herald.go) that
// looks at most ten times a second what has changed. So a thousand pieces that are sold
// in a second are some twenty messages to each who watches, and not a thousand.
package sale

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/protocol"
)

// What a sale is like.
const (
	Stock   = 100
	PerUser = 2 // pieces
	notice  = 5 * time.Second
	lasts   = 3 * time.Minute
)

// articles are sold in turn.
var articles = []article{
	{"Bell collar, the silver one", "/sale/bell.svg", 990},
	{"A bird that sings the hour", "/sale/bird.svg", 4900},
	{"Twelve metres of good wire", "/sale/wire.svg", 1200},
}

type article struct {
	name, picture string
	price         int64 // cents
}

// Config is the configuration of the sale alone.
//
//go:embed ringdown.yaml
var Config []byte

//go:embed web
var pages embed.FS

// Shop holds sales, one after the other. Its methods are safe for concurrent use.
type Shop struct {
	db     *bolt.DB
	log    *slog.Logger
	now    func() time.Time
	herald *herald

	mu       sync.Mutex // of the rush
	stopped  bool
	rushing  bool
	rushes   sync.WaitGroup
	rushEnds context.CancelFunc
}

// Open opens or creates the records, and answers the calls.
func Open(at stage.Setting) (stage.App, error) { return open(at, time.Now) }

func open(at stage.Setting, now func() time.Time) (*Shop, error) {
	path := filepath.Join(at.Dir, "sale.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("sale: cannot open %s (is it open elsewhere?): %w", path, err)
	}
	if err := prepare(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Shop{db: db, log: at.Logger, now: now}
	s.herald = newHerald(s, at.Server)
	at.Server.HandleCall("buy", s.answerBuy)
	at.Server.HandleCall("next-sale", s.answerNext)
	at.Server.HandleCall("rush", s.answerRush)
	return s, nil
}

// Start begins to tell what is sold.
func (s *Shop) Start(ctx context.Context) error { return s.herald.start(ctx) }

// Stop ends a rush and the telling, and closes the records. Stopping again does nothing.
func (s *Shop) Stop(context.Context) error {
	s.mu.Lock()
	s.stopped = true
	if s.rushEnds != nil {
		s.rushEnds()
	}
	s.mu.Unlock()
	s.rushes.Wait()
	s.herald.stop()
	return s.db.Close()
}

// Next has the next sale begin in a few seconds. Errors are *protocol.Error: conflict
// while one is on or about to begin.
func (s *Shop) Next() (*Sale, error) {
	next, err := s.begin(s.now())
	if err != nil {
		return nil, err
	}
	s.herald.wake()
	return next, nil
}

// Buy gives a buyer the next piece of a sale. Asked again with the same reference it
// gives the same one. It returns when that is on the disk; errors are *protocol.Error,
// conflict with a reason if there is none to be had, or those of the database.
func (s *Shop) Buy(user string, w Wish) (Piece, error) {
	if len(w.Reference) < minRef || len(w.Reference) > maxRef {
		return Piece{}, protocol.Errorf(protocol.CodeBadRequest, "a reference has %d to %d bytes: the same one is the same piece", minRef, maxRef)
	}
	p, err := s.sell(user, w, s.now())
	if err != nil {
		return Piece{}, err
	}
	s.herald.wake()
	return p, nil
}

// Routes adds the page to mux, all of it under /sale/.
func (s *Shop) Routes(mux *http.ServeMux) {
	web, _ := fs.Sub(pages, "web")
	mux.Handle("/sale/", http.StripPrefix("/sale", stage.Pages(web)))
	// A page's clock may be minutes wrong, and the countdown may not.
	mux.HandleFunc("GET /sale/clock", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		stage.Reply(w, http.StatusOK, map[string]int64{"now": s.now().UnixMilli()})
	})
}

func refuse(reason, format string, args ...any) error {
	return protocol.Errorf(protocol.CodeConflict, format, args...).WithReason(reason)
}

// user says who calls.
func user(call *ringdown.Call) (string, error) {
	who, err := stage.CallerOf(call.Claims)
	return who.User, err
}
