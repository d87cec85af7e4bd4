package session

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"ringdown/internal/node"
	"ringdown/protocol"
)

// Client describes a connection to hooks and to listings.
type Client struct {
	Connection string
	User       string // empty: not signed in
	Claims     json.RawMessage
	Transport  string
	RemoteAddr string
	Header     http.Header // not to be changed
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
	// Unsubscribe hears of the end of every subscription. A client that said so itself
	// waits for it.
	Unsubscribe func(c *Client, channel string)
}

func (h *Hooks) any() bool {
	return h.Connect != nil || h.Subscribe != nil || h.Publish != nil || h.Disconnect != nil || h.Unsubscribe != nil
}

// Header returns what hooks may see of a request's header: all but what somebody
// could be by it, and what the handshake was about. It is nil, and costs a
// connection nothing, while there are no hooks and no handlers of calls.
func (s *Server) Header(r *http.Request) http.Header {
	if calls := s.registry.calls.Load(); !s.hooks.Load().any() && (calls == nil || len(*calls) == 0) {
		return nil
	}
	h := r.Header.Clone()
	for name := range h {
		switch name {
		case "Authorization", "Proxy-Authorization", "Cookie", "Ringdown-Stream", "Connection", "Upgrade":
			delete(h, name)
		default:
			if strings.HasPrefix(name, "Sec-Websocket-") {
				delete(h, name)
			}
		}
	}
	return h
}

// names returns the channels that x is subscribed to; nil if nobody asks.
func (x *Session) names() (list []string) {
	if x.hub.server.hooks.Load().Unsubscribe == nil {
		return nil
	}
	return slices.Collect(x.out.Channels())
}

// hearEnd tells the application that subscriptions have ended. Nobody waits.
func (x *Session) hearEnd(channels []string) {
	s := x.hub.server
	hook := s.hooks.Load().Unsubscribe
	if hook == nil || x.byServer() || len(channels) == 0 {
		return
	}
	c := x.client()
	s.work.Go(func() {
		for _, name := range channels {
			// A panic is logged, and there is nobody to tell of it.
			_ = s.guard(func(context.Context) error { hook(c, name); return nil })
		}
	})
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

// SetHooks replaces all hooks. The one about publications is the node's to ask, for
// every door.
func (s *Server) SetHooks(h Hooks) {
	s.hooks.Store(&h)
	if h.Publish == nil {
		s.node.SetPublishHook(nil)
		return
	}
	s.node.SetPublishHook(func(ctx context.Context, c *node.Caller, m *protocol.Message) error {
		if err := h.Publish(ctx, clientOf(c), m); err != nil {
			return hookError(err)
		}
		return nil
	})
}

// clientOf describes a caller to hooks.
func clientOf(c *node.Caller) *Client {
	d := &Client{User: c.User, Claims: c.RawClaims, Transport: c.Door, Header: c.Header}
	if c.Connection != nil {
		d.Connection = c.Connection()
	}
	d.RemoteAddr = address(c.Address)
	return d
}

// address is the text of an address; "" if it is none.
func address(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Port() == 0: // a proxy did not say
		return a.Addr().String()
	}
	return a.String()
}

// AskSubscribe asks the hook about subscriptions on behalf of a user who reads a
// channel without a connection. It may block.
func (s *Server) AskSubscribe(ctx context.Context, c *node.Caller, channel string) error {
	hook := s.hooks.Load().Subscribe
	if hook == nil || c.Server {
		return nil
	}
	return s.Guarded(ctx, func(ctx context.Context) error {
		if err := hook(ctx, clientOf(c), channel); err != nil {
			return hookError(err)
		}
		return nil
	})
}

// Guarded runs work of the application; a panic in it is returned as an error.
func (s *Server) Guarded(ctx context.Context, work func(ctx context.Context) error) (err error) {
	return s.guard(func(context.Context) error { return work(ctx) })
}
