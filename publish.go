package ringdown

import (
	"context"
	"encoding/json"
	"fmt"

	"ringdown/internal/broker"
	"ringdown/internal/node"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// Receipt says where an accepted message stands in its channel's log. Epoch and
// Offset are zero on channels that keep nothing.
type Receipt struct {
	Epoch     string
	Offset    uint64
	Duplicate bool // it had been accepted before, under the same dedupe key
}

// PublishOption changes a publication.
type PublishOption func(*protocol.Message)

// WithKey names the entity that the message is the latest value of, on a state
// channel. Data nil then deletes the key.
func WithKey(key string) PublishOption {
	return func(m *protocol.Message) { m.Key = key }
}

// WithDedupe gives the message an idempotency key: published again within two
// minutes under the same key, it is stored once.
func WithDedupe(key string) PublishOption {
	return func(m *protocol.Message) { m.Dedupe = key }
}

// WithTraceparent gives the message the W3C trace context that it belongs to, which
// its subscribers get.
func WithTraceparent(value string) PublishOption {
	return func(m *protocol.Message) { m.Trace = value }
}

// Publish sends an event to a channel and returns when it is as durable as the
// channel promises. data is marshalled to JSON, unless it is a json.RawMessage,
// which must be valid. The channel's events and schemas hold; its rules do not:
// this is the server itself speaking. Errors are *protocol.Error, or ctx's: then
// the outcome is unknown, and only a dedupe key makes a retry safe.
func (s *Server) Publish(ctx context.Context, channel, event string, data any, opts ...PublishOption) (Receipt, error) {
	raw, err := encode(data)
	if err != nil {
		return Receipt{}, err
	}
	w := &waiter{ctx: ctx, done: make(chan struct{})}
	m := &protocol.Message{Type: event, Channel: channel, Data: raw}
	for _, o := range opts {
		o(m)
	}
	if m.Trace != "" && protocol.ValidTrace(m.Trace) != nil {
		m.Trace = "" // a trace that is broken is begun anew, and stops no message
	}
	s.node.Publish(&node.Caller{Server: true, Door: refusal.Go}, m, w)
	select {
	case <-w.done:
		return w.receipt, w.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

func encode(data any) (json.RawMessage, error) {
	raw, ok := data.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(data); err != nil {
			return nil, fmt.Errorf("ringdown: encoding data: %w", err)
		}
	}
	// Also what was marshalled here: a type may nest too deep, or marshal itself.
	if err := protocol.ValidJSON(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// waiter waits for one publication.
type waiter struct {
	ctx     context.Context
	done    chan struct{}
	receipt Receipt
	err     error
}

// Await implements node.Publisher: Publish waits anyway.
func (w *waiter) Await(work func(ctx context.Context) error, next func(err error)) { next(work(w.ctx)) }

// Spend implements node.Publisher. The application may ask for what it likes.
func (w *waiter) Spend(int) {}

func (w *waiter) Appended(r broker.Receipt, err error) {
	w.receipt = Receipt{Epoch: r.Position.Epoch, Offset: r.Position.Offset, Duplicate: r.Duplicate}
	w.err = err
	close(w.done)
}
