package websocket

import (
	"context"
	"net/http"
	"net/netip"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// New returns the handler whose connections are sessions of s.
func New(e *reactor.Engine, s *session.Server, o Options) *Handler {
	d := &doorway{server: s, decoded: make([]protocol.Message, len(e.Loops()))}
	return newHandler(e, door{admit: s.Admit, room: s.Accepting, app: d.enter, refusals: s.Refusals()}, o)
}

// doorway is what the links of a handler share.
type doorway struct {
	server  *session.Server
	decoded []protocol.Message // by loop: what a frame is decoded into
}

// enter makes the link of a handshake and judges its token: here and not on the
// loop, because a key may have to be fetched. The outcome is told after the
// upgrade: a browser cannot read a refusal.
func (d *doorway) enter(r *http.Request) (func() App, error) {
	l := &link{doorway: d, opening: &session.Open{Transport: "websocket", Header: d.server.Header(r)}}
	if r.URL.RawQuery != "" {
		if err := l.opening.ReadQuery(r.URL.Query()); err != nil {
			return nil, err
		}
	}
	// Asking the socket would cost a system call. What does not parse stays empty.
	l.opening.RemoteAddr, _ = netip.ParseAddrPort(r.RemoteAddr)
	ctx, cancel := context.WithTimeout(r.Context(), d.server.Limits().AuthTimeout)
	defer cancel()
	l.opening.Identity, _, l.opening.AuthError = d.server.Identify(ctx, r)
	return func() App { return l }, nil
}

// link is a session's connection: one object with its Conn.
type link struct {
	Conn
	doorway *doorway
	session *session.Session
	opening *session.Open // until Open
}

func (l *link) conn() *Conn { return &l.Conn }

// Form implements session.Link.
func (l *link) Form() channel.Form {
	// A peer with a small window gets shared frames plain: a compressed one may
	// look back further than it can.
	deflate := l.deflate && l.window == 15
	switch {
	case l.proto && deflate:
		return channel.FormProtobufDeflate
	case l.proto:
		return channel.FormProtobuf
	case deflate:
		return channel.FormTextDeflate
	}
	return channel.FormText
}

// Send implements session.Link.
func (l *link) Send(e event.Event) {
	if l.closing {
		return
	}
	m := event.Encode(e)
	defer m.Release()
	if l.proto {
		l.writeBuffer(wsframe.Binary, protocol.AppendProtobuf(l.room(), &m.Message))
	} else {
		l.writeBuffer(wsframe.Text, protocol.AppendJSON(l.room(), &m.Message))
	}
}

// Close implements session.Link.
func (l *link) Close(code protocol.CloseCode, reason string) { l.Conn.Close(uint16(code), reason) }

// Open implements App.
func (l *link) Open(*Conn) {
	o := *l.opening
	l.opening = nil
	l.session = l.doorway.server.Open(l, o)
}

// Message implements App.
func (l *link) Message(c *Conn, op Opcode, p []byte) {
	m := &l.doorway.decoded[c.Loop().Index()]
	var err error
	switch {
	case l.proto && op == wsframe.Text:
		m.Reset()
		err = protocol.Errorf(protocol.CodeBadRequest, "under %s every frame is binary", protocol.SubprotocolProtobuf)
	case l.proto:
		err = protocol.DecodeProtobuf(p, m)
	case op == wsframe.Binary:
		err = protocol.DecodeBinary(p, m)
	default:
		err = protocol.DecodeJSON(p, m)
	}
	if err != nil {
		l.session.BadMessage(m, err)
		return
	}
	l.session.Message(m)
}

// Drained implements App.
func (l *link) Drained(*Conn) {
	if l.session != nil {
		l.session.Drained()
	}
}

// Closed implements App.
func (l *link) Closed(_ *Conn, err error) {
	if l.session != nil {
		l.session.Closed(err)
	}
}

// Ping says the heartbeat as a message.
func (l *link) Ping() {
	if l.session != nil {
		l.session.Ping()
	}
}

// MaxMessage implements App.
func (l *link) MaxMessage(*Conn) int { return l.session.MaxMessage() }
