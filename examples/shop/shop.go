// Package shop is an example: a small pet shop whose pages are live.
//
// It shows how an ordinary application uses Ringdown. The shop keeps its own
// records in its own database, offers an ordinary REST API, and tells everybody
// what changed by publishing on channels:
//
//	orders                     order-created, order-updated, order-shipped; the order as data
//	inventory                  inventory-changed; keyed by product, so that newcomers get the latest of each
//	user:{user}:notifications  notification; for one customer's eyes
//
// Two habits are worth copying. An event is written to an outbox in the same
// transaction as the change it tells of, and published from there, so that
// neither exists without the other, whatever crashes when. And an order carries
// a version, so that a page can take a REST answer and a live event in either
// order and still end up with the newest.
//
// Every signed-in user may watch the orders channel, with the names of who
// ordered what: it is a demo, and the names are made up. A real shop would
// publish a customer's orders on user:{user}:orders instead.
package shop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"ringdown/examples/demo/stage"
	"ringdown/examples/outbox"
)

// Options say where a shop keeps its records and how it reaches its audience.
type Options struct {
	Dir     string         // shop.db is kept here
	Gate    *stage.Gate    // tells callers apart
	Publish outbox.Publish // takes the shop's events to their channels
	Logger  *slog.Logger
	Now     func() time.Time // time.Now if nil
}

// Shop is the shop: its records, its REST API and its outbox. Its methods are
// safe for concurrent use.
type Shop struct {
	db      *bolt.DB
	gate    *stage.Gate
	courier *outbox.Courier
	now     func() time.Time
}

// Open opens or creates the shop's records. Only one process may have them
// open: a second one is refused after a second.
func Open(o Options) (*Shop, error) {
	if o.Gate == nil || o.Publish == nil {
		return nil, errors.New("shop: Options need a Gate and a Publish")
	}
	path := filepath.Join(o.Dir, "shop.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("shop: cannot open %s (is another shop running on it?): %w", path, err)
	}
	s := &Shop{db: db, gate: o.Gate, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.courier = outbox.New(db, o.Publish, cmp.Or(o.Logger, slog.Default()))
	if err := s.stockUp(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// stockUp makes the records of a new shop, gives products that were never seen
// before their opening stock, and announces the whole inventory: the channel's
// state may be younger than the shop.
func (s *Shop) stockUp() error {
	return s.db.Update(func(btx *bolt.Tx) error {
		for _, name := range buckets {
			if _, err := btx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		t := tx{btx}
		for i := range catalogue {
			p := &catalogue[i]
			count, known := t.stock(p.ID)
			if !known {
				count = p.opening
			}
			if err := t.setStock(p.ID, count); err != nil {
				return err
			}
		}
		return nil
	})
}

// Start begins to publish what is in the outbox.
func (s *Shop) Start(context.Context) error {
	s.courier.Start()
	return nil
}

// Stop ends publishing and closes the records. Events that were not published
// yet stay in the outbox for the next start. Stopping again does nothing.
func (s *Shop) Stop(context.Context) error {
	s.courier.Stop()
	return s.db.Close()
}

// change runs fn as one durable step and then wakes the courier. If fn fails
// nothing of it remains, neither records nor events.
func (s *Shop) change(fn func(t tx) error) error {
	if err := s.db.Update(func(btx *bolt.Tx) error { return fn(tx{btx}) }); err != nil {
		return err
	}
	s.courier.Wake()
	return nil
}
