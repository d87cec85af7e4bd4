package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"ringdown/protocol"
)

// Posted is a client's message for a connection that cannot carry it itself:
// one of Server-Sent Events. Whoever sends it shows by one of Server, Secret and
// User that the connection is his; that he knows its id says nothing.
type Posted struct {
	Connection string `json:"connection"`
	Server     bool   `json:"server"`  // sent with a server key: for anybody's connection
	Secret     string `json:"secret"`  // of the connection's welcome
	User       string `json:"user"`    // by a token that is good now; "" is nobody signed in
	Message    []byte `json:"message"` // JSON text, as over a WebSocket
}

// Post gives a message to the session of a connection, whichever node holds
// it. A nil error says that it arrived there; what comes of it is said on the
// connection. It fails with not_found when no connection has the id that the
// sender may speak for, and with bad_request when the message cannot be read.
func (s *Server) Post(ctx context.Context, d Posted) error {
	// Decoded before it is sent on, and again where it arrives.
	var m protocol.Message
	if err := protocol.DecodeJSON(d.Message, &m); err != nil {
		return err
	}
	var got postAnswer
	err := s.askOwner(ctx, d.Connection, verbPost, d, &got)
	if err == nil && got.Refused != nil {
		return &Noted{got.Refused}
	}
	return err
}

// Noted is a refusal that the session which refused has recorded already, as it
// would over a WebSocket: it knows whose it was.
type Noted struct{ Err *protocol.Error }

func (n *Noted) Error() string { return n.Err.Error() }
func (n *Noted) Unwrap() error { return n.Err }

// postAnswer is the answer of the node that holds the connection.
type postAnswer struct {
	Refused *protocol.Error `json:"refused,omitempty"` // and noted there
}

func (s *Server) postHere(ctx context.Context, d Posted) (postAnswer, error) {
	outcome := make(chan error, 1)
	err := s.on(ctx, d.Connection, func(x *Session) { outcome <- x.post(&d) })
	if err == nil {
		err = <-outcome
	}
	if n, ok := errors.AsType[*Noted](err); ok {
		return postAnswer{n.Err}, nil
	}
	return postAnswer{}, err
}

// post takes a message that came another way than over the connection.
func (x *Session) post(d *Posted) error {
	switch {
	case x.closed || x.ending || !x.mine(d):
		return errNoConnection(d.Connection) // that it is another's is not told
	case x.has().stream == nil || !x.welcomed:
		return protocol.Errorf(protocol.CodeBadRequest, "this connection takes messages itself (it is of %s); send them over it", x.transport.name)
	case len(d.Message) > x.MaxMessage():
		return protocol.Errorf(protocol.CodeTooLarge, "a message has at most %d bytes, this one %d", x.MaxMessage(), len(d.Message)).WithLimit("limits.connection.max_message")
	}
	var m protocol.Message
	if err := protocol.DecodeJSON(d.Message, &m); err != nil {
		return err
	}
	err := x.roomForPost()
	if err == nil {
		x.hub.server.metrics.Received.Add(1)
		err = x.allowed()
	}
	if err != nil {
		x.note(actionOf(&m), m.Channel, err, 0)
		return &Noted{protocol.AsError(err)}
	}
	x.take(&m, nil)
	return nil
}

// roomForPost says whether a message that is posted can be taken. A socket
// that is not read from holds up who sends on it; whoever posts has to be told.
func (x *Session) roomForPost() error {
	if err := x.full(); err != nil {
		return err
	}
	if !x.link.Blocked() {
		return nil
	}
	return &protocol.Error{Code: protocol.CodeLimitExceeded, Retryable: true, RetryAfter: time.Second, Reason: "not_reading",
		Message: "the client does not read this stream, and what was asked for before still waits for it; read it first"}
}

// mine reports whether who sends d may speak for the connection.
func (x *Session) mine(d *Posted) bool {
	switch {
	case d.Server:
		return true
	case d.Secret != "":
		return hmac.Equal([]byte(d.Secret), []byte(x.secret()))
	}
	return d.User != "" && d.User == x.user()
}

// secretBytes is the length of a stream's secret: 128 bits.
const secretBytes = 16

// secret returns what a stream's client is told in its welcome, and nobody else.
// It is made anew at each need, so that an idle connection does not carry it.
func (x *Session) secret() string {
	h := hmac.New(sha256.New, x.hub.server.secrets[:])
	h.Write(x.id[:])
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:secretBytes])
}
