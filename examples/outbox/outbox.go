// Package outbox takes events from a database to their channels.
//
// An application that changes its records and then publishes what has changed may die
// in between, and one that publishes first may die before it has changed anything. So
// the event is written beside the records, in the same transaction, and published from
// there: neither exists without the other, whatever crashes when.
//
// An event is published in the order in which it was written, and struck off
// afterwards. A crash between the two has it published again with the same dedupe key,
// which the server knows for two minutes; after a longer outage a reader may see it
// twice, and so an event should say which one it is.
package outbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"ringdown"
	"ringdown/protocol"
)

var bucket = []byte("outbox") // sequence → Event

// Event is something to publish. Dedupe is the same each time the same event
// is tried, so that a second try cannot be seen twice.
type Event struct {
	Channel string          `json:"channel"`
	Type    string          `json:"type"`
	Key     string          `json:"key,omitempty"`
	Data    json.RawMessage `json:"data"`
	Dedupe  string          `json:"-"`
}

// Publish takes an event to its channel. It may be called again with the same
// event if it failed with a retryable *protocol.Error.
type Publish func(ctx context.Context, e Event) error

// Through returns the Publish that takes events to srv's channels. The dedupe keys begin
// with a name, since several applications may publish on one server.
func Through(srv *ringdown.Server, name string) Publish {
	return func(ctx context.Context, e Event) error {
		with := []ringdown.PublishOption{ringdown.WithDedupe(name + "-" + e.Dedupe)}
		if e.Key != "" {
			with = append(with, ringdown.WithKey(e.Key))
		}
		_, err := srv.Publish(ctx, e.Channel, e.Type, e.Data, with...)
		return err
	}
}

// Put puts an event into the outbox, in the same transaction as what it tells of. Wake
// the courier when the transaction is done.
func Put(tx *bolt.Tx, channel, kind, key string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	entry, err := json.Marshal(Event{Channel: channel, Type: kind, Key: key, Data: body})
	if err != nil {
		return err
	}
	outbox, err := tx.CreateBucketIfNotExists(bucket)
	if err != nil {
		return err
	}
	seq, err := outbox.NextSequence()
	if err != nil {
		return err
	}
	return outbox.Put(binary.BigEndian.AppendUint64(nil, seq), entry) // in the order of the numbers
}

const (
	batchSize = 64
	firstWait = 50 * time.Millisecond
	longWait  = 5 * time.Second
)

// Courier carries an outbox to the channels, in order, one event at a time.
type Courier struct {
	db      *bolt.DB
	publish Publish
	log     *slog.Logger
	awake   chan struct{} // buffered: a wake during a round starts another
	cancel  context.CancelFunc
	done    chan struct{}
}

// New returns a courier for the outbox of db.
func New(db *bolt.DB, publish Publish, log *slog.Logger) *Courier {
	return &Courier{db: db, publish: publish, log: log, awake: make(chan struct{}, 1)}
}

// Start begins to publish what is in the outbox.
func (c *Courier) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.done = cancel, make(chan struct{})
	c.Wake() // for what an earlier run has left
	go c.run(ctx)
}

// Stop ends publishing. What was not published stays for the next start. Stopping
// again, or what was never started, does nothing.
func (c *Courier) Stop() {
	if c.cancel != nil {
		c.cancel()
		<-c.done
	}
}

// Wake says that there is something in the outbox. It never waits.
func (c *Courier) Wake() {
	select {
	case c.awake <- struct{}{}:
	default:
	}
}

func (c *Courier) run(ctx context.Context) {
	defer close(c.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.awake:
		}
		more, err := c.round(ctx)
		if err != nil {
			c.log.Error("the outbox cannot be emptied", "error", err)
		}
		if more {
			c.Wake()
		}
	}
}

// round publishes up to batchSize events and strikes off those that left.
func (c *Courier) round(ctx context.Context) (more bool, err error) {
	keys, events, err := c.waiting()
	if err != nil || len(events) == 0 {
		return false, err
	}
	left := 0
	for _, e := range events {
		if !c.carry(ctx, e) {
			break
		}
		left++
	}
	err = c.db.Update(func(tx *bolt.Tx) error {
		for _, key := range keys[:left] {
			if err := tx.Bucket(bucket).Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	return err == nil && len(events) == batchSize, err
}

func (c *Courier) waiting() (keys [][]byte, events []Event, err error) {
	err = c.db.View(func(tx *bolt.Tx) error {
		outbox := tx.Bucket(bucket)
		if outbox == nil {
			return nil // nothing was ever put there
		}
		cursor := outbox.Cursor()
		for key, value := cursor.First(); key != nil && len(events) < batchSize; key, value = cursor.Next() {
			var e Event
			if err := json.Unmarshal(value, &e); err != nil {
				return err
			}
			e.Dedupe = "outbox-" + strconv.FormatUint(binary.BigEndian.Uint64(key), 10)
			keys, events = append(keys, append([]byte(nil), key...)), append(events, e)
		}
		return nil
	})
	return keys, events, err
}

// carry publishes e, however long that takes while a retry may help. It reports
// false if ctx ended first. An event that is refused for good is logged and let
// go: holding up all later ones would be worse.
func (c *Courier) carry(ctx context.Context, e Event) bool {
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		if ctx.Err() != nil {
			return false
		}
		err := c.publish(ctx, e)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if !protocol.AsError(err).Retryable {
			c.log.Error("an event was refused and is let go", "channel", e.Channel, "type", e.Type, "error", err)
			return true
		}
		c.log.Warn("an event could not be published yet", "channel", e.Channel, "type", e.Type, "again_in", wait, "error", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}
