package ringdown

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"ringdown/internal/session"
	"ringdown/protocol"
)

// Connection is a client's connection, as hooks see it.
type Connection struct {
	ID         string
	User       string // empty: not signed in
	Claims     json.RawMessage
	Transport  string // such as "websocket"
	RemoteAddr string // behind trusted_proxies that of the client
	// Header is that of the request that opened the connection, or of the REST
	// request. It has neither Authorization nor Cookie: who somebody is, Authenticate
	// finds out, and puts what you need of it into Claims. nil for connections that
	// were opened before there was any hook. It is not to be changed.
	Header http.Header
}

// Call is a request of a client to your program: a message without a channel.
type Call struct {
	Connection
	Event string
	Data  json.RawMessage // nil when the message had none
}

// Message is an event of a channel: what a client publishes, as OnPublish sees it.
type Message struct {
	Channel, Event, Key string
	Data                []byte
	Binary              bool // Data is bytes and not JSON
}

// HandleCall answers the calls of an event: {"type":event,"id":1,"data":…} gets
// {"type":"ack","id":1,"data":<result>}. fn runs on a goroutine of its own; calls
// of one client may overlap. A returned *protocol.Error reaches the client as it
// is; of any other error it hears only that the application failed. A panic
// costs that connection and is logged.
func (s *Server) HandleCall(event string, fn func(ctx context.Context, c *Call) (any, error)) {
	s.hooksMu.Lock()
	defer s.hooksMu.Unlock()
	s.sessions.HandleCall(event, func(ctx context.Context, c *session.Call) (json.RawMessage, error) {
		result, err := fn(ctx, &Call{Connection: *connection(&c.Client), Event: c.Event, Data: c.Data})
		if err != nil || result == nil {
			return nil, err
		}
		return encode(result)
	})
}

// OnConnect is asked about every connection before it is welcome. A *protocol.Error
// refuses it: a retryable one closes with 4102, any other with 4003. Any other error
// is a failure of the application, which is logged and closes with 4102.
//
// There may be several functions for this and for each of the other hooks. They
// are asked in the order in which they were set, and the first that returns an
// error ends the asking.
func (s *Server) OnConnect(fn func(ctx context.Context, c *Connection) error) {
	s.setHook(func(h *session.Hooks) {
		before := h.Connect
		h.Connect = func(ctx context.Context, c *session.Client) error {
			if before != nil {
				if err := before(ctx, c); err != nil {
					return err
				}
			}
			return fn(ctx, connection(c))
		}
	})
}

// OnDisconnect hears of the end of every connection that was welcome since
// OnConnect was set. reason is empty when the client left in order.
func (s *Server) OnDisconnect(fn func(c *Connection, reason string)) {
	s.setHook(func(h *session.Hooks) {
		before := h.Disconnect
		h.Disconnect = func(c *session.Client, reason string) {
			if before != nil {
				before(c, reason)
			}
			fn(connection(c), reason)
		}
		if h.Connect == nil {
			// Disconnect is owed to those whose Connect was seen.
			h.Connect = func(context.Context, *session.Client) error { return nil }
		}
	})
}

// OnSubscribe is asked about every subscription that the rules allow, and about every
// read of a channel's history, state or presence over REST by a user.
func (s *Server) OnSubscribe(fn func(ctx context.Context, c *Connection, channel string) error) {
	s.setHook(func(h *session.Hooks) {
		before := h.Subscribe
		h.Subscribe = func(ctx context.Context, c *session.Client, name string) error {
			if before != nil {
				if err := before(ctx, c, name); err != nil {
					return err
				}
			}
			return fn(ctx, connection(c), name)
		}
	})
}

// OnUnsubscribe hears of the end of every subscription: by the client's word, which is
// answered when fn has returned, because a rule no longer allows it, or with the
// connection, before or after OnDisconnect.
func (s *Server) OnUnsubscribe(fn func(c *Connection, channel string)) {
	s.setHook(func(h *session.Hooks) {
		before := h.Unsubscribe
		h.Unsubscribe = func(c *session.Client, name string) {
			if before != nil {
				before(c, name)
			}
			fn(connection(c), name)
		}
	})
}

// OnPublish is asked about every message of a user that the rules allow, whichever
// way it comes, before it is published. It may change Data and Binary: that is what
// is published then. What your program publishes itself, by Publish or with a server
// key, it is not asked about. Errors are as with OnConnect, but that the connection
// goes on.
func (s *Server) OnPublish(fn func(ctx context.Context, c *Connection, m *Message) error) {
	s.setHook(func(h *session.Hooks) {
		before := h.Publish
		h.Publish = func(ctx context.Context, c *session.Client, m *protocol.Message) error {
			if before != nil {
				if err := before(ctx, c, m); err != nil {
					return err
				}
			}
			seen := &Message{Channel: m.Channel, Event: m.Type, Key: m.Key, Data: m.Data, Binary: m.Binary}
			if err := fn(ctx, connection(c), seen); err != nil {
				return err
			}
			return rewrite(m, seen)
		}
	})
}

// rewrite takes over what a hook has made of a message's data. What is no JSON would
// break the frames of everybody who gets it.
func rewrite(m *protocol.Message, seen *Message) error {
	if seen.Binary == m.Binary && bytes.Equal(seen.Data, m.Data) {
		return nil
	}
	if !seen.Binary && seen.Data != nil {
		if err := protocol.ValidJSON(seen.Data); err != nil {
			return fmt.Errorf("OnPublish has made data of %q that is no JSON: %s", m.Type, err.Error())
		}
	}
	m.Data, m.Binary = seen.Data, seen.Binary
	return nil
}

func (s *Server) setHook(change func(h *session.Hooks)) {
	s.hooksMu.Lock()
	defer s.hooksMu.Unlock()
	change(&s.hooks)
	s.sessions.SetHooks(s.hooks)
}

func connection(c *session.Client) *Connection {
	return &Connection{ID: c.Connection, User: c.User, Claims: c.Claims, Transport: c.Transport, RemoteAddr: c.RemoteAddr, Header: c.Header}
}

// Disconnect closes a connection with 4005. It fails with not_found if no such
// connection is open.
func (s *Server) Disconnect(ctx context.Context, connection string) error {
	return s.sessions.Disconnect(ctx, connection)
}

// DisconnectUser closes all connections of a user and returns how many there were.
func (s *Server) DisconnectUser(ctx context.Context, user string) (int, error) {
	return s.sessions.DisconnectUser(ctx, user)
}
