package session

import (
	"context"

	"ringdown/protocol"
)

// Delivery is a client's message for a connection that cannot carry it itself:
// one of Server-Sent Events.
type Delivery struct {
	Connection string `json:"connection"`
	User       string `json:"user"`    // who sends it; "" is nobody signed in
	Server     bool   `json:"server"`  // sent with a server key: for anybody's connection
	Message    []byte `json:"message"` // JSON text, as over a WebSocket
}

// Deliver gives a message to the session of a connection, whichever node holds
// it. A nil error says that it arrived there; what comes of it is said on the
// connection. It fails with not_found when no connection of that user has the
// id, and with bad_request when the message cannot be read.
func (s *Server) Deliver(ctx context.Context, d Delivery) error {
	// Decoded before it is sent on, and again where it arrives.
	var m protocol.Message
	if err := protocol.DecodeJSON(d.Message, &m); err != nil {
		return err
	}
	return s.askOwner(ctx, d.Connection, verbDeliver, d, nil)
}

func (s *Server) deliverHere(ctx context.Context, d Delivery) (struct{}, error) {
	outcome := make(chan error, 1)
	err := s.on(ctx, d.Connection, func(x *Session) { outcome <- x.deliver(&d) })
	if err == nil {
		err = <-outcome
	}
	return struct{}{}, err
}

// deliver takes a message that came another way than over the connection.
func (x *Session) deliver(d *Delivery) error {
	switch {
	case !d.Server && d.User != x.user():
		return errNoConnection(d.Connection) // that it is another's is not told
	case x.stream == nil || !x.welcomed:
		return protocol.Errorf(protocol.CodeBadRequest, "this connection takes messages itself (it is of %s); send them over it", x.transport.name)
	case len(d.Message) > x.MaxMessage():
		return protocol.Errorf(protocol.CodeTooLarge, "a message has at most %d bytes, this one %d", x.MaxMessage(), len(d.Message))
	}
	var m protocol.Message
	if err := protocol.DecodeJSON(d.Message, &m); err != nil {
		return err
	}
	x.Message(&m)
	return nil
}
