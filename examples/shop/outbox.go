package shop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"

	"ringdown/protocol"
)

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

// announce puts an event into the outbox, in the same transaction as what it
// tells of.
func (t tx) announce(channel, kind, key string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	entry, err := json.Marshal(Event{Channel: channel, Type: kind, Key: key, Data: body})
	if err != nil {
		return err
	}
	outbox := t.Bucket(outboxBucket)
	seq, err := outbox.NextSequence()
	if err != nil {
		return err
	}
	return outbox.Put(number(seq), entry)
}

const (
	batchSize = 64
	firstWait = 50 * time.Millisecond
	longWait  = 5 * time.Second
)

// courier carries the outbox to the channels, in order, one event at a time.
type courier struct {
	db      *bolt.DB
	publish Publish
	log     *slog.Logger
	awake   chan struct{} // buffered: a wake during a round starts another
	cancel  context.CancelFunc
	done    chan struct{}
}

func newCourier(db *bolt.DB, publish Publish, log *slog.Logger) *courier {
	return &courier{db: db, publish: publish, log: log, awake: make(chan struct{}, 1)}
}

func (c *courier) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel, c.done = cancel, make(chan struct{})
	go c.run(ctx)
}

func (c *courier) stop() {
	if c.cancel != nil {
		c.cancel()
		<-c.done
	}
}

func (c *courier) wake() {
	select {
	case c.awake <- struct{}{}:
	default:
	}
}

func (c *courier) run(ctx context.Context) {
	defer close(c.done)
	for {
		more, err := c.round(ctx)
		if err != nil {
			c.log.Error("the shop's outbox cannot be emptied", "error", err)
		}
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.awake:
		}
	}
}

// round publishes up to batchSize events and strikes off those that left.
func (c *courier) round(ctx context.Context) (more bool, err error) {
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
	err = c.db.Update(func(btx *bolt.Tx) error {
		for _, key := range keys[:left] {
			if err := btx.Bucket(outboxBucket).Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	return err == nil && len(events) == batchSize, err
}

func (c *courier) waiting() (keys [][]byte, events []Event, err error) {
	err = c.db.View(func(btx *bolt.Tx) error {
		cursor := btx.Bucket(outboxBucket).Cursor()
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
func (c *courier) carry(ctx context.Context, e Event) bool {
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
