package session

import (
	"context"
	"encoding/json"
	"maps"
	"sync/atomic"

	"ringdown/protocol"
)

// Client describes a connection to hooks and to listings.
type Client struct {
	Connection string
	User       string // empty: not signed in
	Claims     json.RawMessage
	Transport  string
	RemoteAddr string
}

// Hooks are the application's own listeners. A nil field costs nothing. Hooks
// that return a *protocol.Error refuse, and it reaches the client as it is. Any
// other error is a failure: it is logged, and the client is told unavailable,
// which is retryable, and nothing of its text. They run on
// goroutines of their own, one at a time for each connection, and the
// connection waits for them.
type Hooks struct {
	Connect    func(ctx context.Context, c *Client) error
	Subscribe  func(ctx context.Context, c *Client, channel string) error
	Publish    func(ctx context.Context, c *Client, m *protocol.Message) error
	Disconnect func(c *Client, reason string)
}

// Call is a client's request to the application: a message without a channel.
type Call struct {
	Client
	Event string
	Data  json.RawMessage // nil when the message had none
}

// CallHandler answers calls of one event. The result is JSON, nil for none. A
// *protocol.Error reaches the client as it is; any other becomes backend_failed
// and is only logged.
type CallHandler func(ctx context.Context, c *Call) (json.RawMessage, error)

// registry is the handlers, copied on change.
type registry struct {
	calls atomic.Pointer[map[string]CallHandler]
}

func (r *registry) handler(event string) CallHandler {
	if m := r.calls.Load(); m != nil {
		return (*m)[event]
	}
	return nil
}

// HandleCall makes fn answer the calls of that event; nil ends it. Not to be
// called from two goroutines at once.
func (s *Server) HandleCall(event string, fn CallHandler) {
	next := map[string]CallHandler{}
	if m := s.registry.calls.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if fn == nil {
		delete(next, event)
	} else {
		next[event] = fn
	}
	s.registry.calls.Store(&next)
}

// SetHooks replaces all hooks.
func (s *Server) SetHooks(h Hooks) { s.hooks.Store(&h) }
