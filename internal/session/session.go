package session

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/delivery"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// Session is one client on one connection. It belongs to the loop of its link.
type Session struct {
	// Set at Open.
	hub       *hub
	link      Link
	id        id
	transport *carrier
	address   netip.Addr    // of the client
	opened    time.Duration // by clock

	identity  *auth.Identity // nil: nobody signed in
	out       delivery.Subscriber
	suspended *suspension // nil: not waiting for anything
	extra     *extra      // nil: nothing of it
	timer     reactor.Timer

	rate     meter
	judging  channel.Budget // of the message that is under way
	owed     int32          // publications that the broker has not answered
	refused  int32          // messages over the rate since one was let through
	port     uint16         // beside address
	welcomed bool
	closed   bool
	ending   bool // asked to close: nothing more is taken in
	leaving  bool // the server goes down
	told     bool // Connect hooks were called, so Disconnect ones are owed
}

// extra is what only some sessions have, so that the others, of which there may be
// many and idle, do not pay for it.
type extra struct {
	header  http.Header    // for hooks; nil: there were none
	called  string         // by an anonymous client, itself; "": by nothing
	claimed map[string]any // identity's claims, decoded at the first need
	entered []string       // channels that the connection is a member of
	stream  Stream         // the link, if it is one
	begin   []request      // of a stream: at the welcome
	pending int            // calls under way
	bad     int            // messages that could not be decoded
}

var noExtra extra // never changed

// has returns what the session has of an extra, only to be looked at.
func (x *Session) has() *extra {
	if x.extra == nil {
		return &noExtra
	}
	return x.extra
}

// have returns the session's extra, to be changed.
func (x *Session) have() *extra {
	if x.extra == nil {
		x.extra = new(extra)
	}
	return x.extra
}

// Open begins a session on a link, on the link's loop. It sends the welcome, or
// says why there is none.
func (s *Server) Open(l Link, o Open) *Session {
	h := s.hubs[l.Loop().Index()]
	x := &Session{hub: h, link: l, transport: s.metrics.carrier(o.Transport), address: o.RemoteAddr.Addr(), port: o.RemoteAddr.Port(), opened: clock(time.Now())}
	if o.Header != nil || o.Client != "" {
		x.have().header, x.have().called = o.Header, o.Client
	}
	x.out.Init(h.out, (*sink)(x))
	if st, ok := l.(Stream); ok {
		x.keepStream(st, &o)
	}
	x.judging = channel.NewBudget(s.policy.Load().Limits.RuleSteps)
	h.add(x)
	x.transport.open.Add(1)
	x.transport.opened.Add(1)
	p := s.policy.Load()
	switch {
	case o.AuthError != nil:
		x.refuse(o.AuthError)
	case o.Identity != nil || p.Anonymous && !o.ExpectUser:
		x.arrive(o.Identity, nil)
	default:
		h.loop.Arm(&x.timer, p.Limits.AuthTimeout, x)
	}
	if s.draining.Load() {
		x.drain(0) // it came in beside the walk that tells the others
	}
	return x
}

// ID returns the public name of the connection.
func (x *Session) ID() string { return x.id.name(x.hub.server.node.Name()) }

// member returns what others know the connection by in a channel's presence.
func (x *Session) member() string { return x.hub.server.node.MemberID(x.ID()) }

func (x *Session) remote() netip.AddrPort { return netip.AddrPortFrom(x.address, x.port) }

// MaxMessage returns how many bytes the next message may have, decompressed.
func (x *Session) MaxMessage() int {
	l := &x.hub.server.policy.Load().Limits
	if !x.welcomed {
		return l.MaxMessageUnauthenticated
	}
	return l.MaxMessage
}

// Closed ends the session. The transport calls it once, whoever closed.
func (x *Session) Closed(err error) {
	if x.closed {
		return
	}
	x.closed = true
	x.hub.loop.Disarm(&x.timer)
	x.departAll(node.Departure{Grace: x.hub.server.policy.Load().PresenceGrace})
	x.hearEnd(x.names())
	x.out.Close()
	x.hub.remove(x)
	x.transport.open.Add(-1)
	if hook := x.hub.server.hooks.Load().Disconnect; hook != nil && x.told {
		reason := ""
		if err != nil {
			reason = err.Error()
		}
		c := x.client()
		x.hub.server.work.Go(func() {
			defer func() {
				if cause := recover(); cause != nil {
					x.hub.server.log.Error("a disconnect hook panicked", "panic", cause, "stack", stack())
				}
			}()
			hook(c, reason)
		})
	}
}

func (x *Session) user() string {
	if x.identity == nil {
		return ""
	}
	return x.identity.User
}

func (x *Session) claimsMap() map[string]any {
	if x.has().claimed == nil && x.identity != nil && len(x.identity.Claims) > 0 {
		// The verifier has decoded it before, so it does decode.
		_ = json.Unmarshal(x.identity.Claims, &x.have().claimed)
	}
	return x.has().claimed
}

func (x *Session) client() *Client {
	c := &Client{Connection: x.ID(), User: x.user(), Transport: x.transport.name, Header: x.has().header}
	c.RemoteAddr = address(x.remote())
	if x.identity != nil {
		c.Claims = x.identity.Claims
	}
	return c
}

// arrive lets somebody in, after the application's own listener had its say. id is
// that of the message auth, if one brought the token.
func (x *Session) arrive(who *auth.Identity, id []byte) {
	s := x.hub.server
	hook := s.hooks.Load().Connect
	if hook == nil {
		x.signIn(who, id)
		return
	}
	x.identity = who
	c := x.client()
	x.identity = nil
	x.await(func() error { return hook(s.ctx, c) }, func(err error) {
		if err != nil {
			e := hookError(err)
			x.deny("connect", nil, "", e)
			if protocol.AsError(e).Retryable {
				x.end(protocol.CloseBackendRefused)
			} else {
				x.end(protocol.CloseForbidden)
			}
			return
		}
		x.told = true
		x.signIn(who, id)
	})
}

// signIn makes x the connection of who. What an anonymous one has is judged anew
// before it is answered.
func (x *Session) signIn(who *auth.Identity, id []byte) {
	anonymous := x.welcomed
	x.welcomed = true
	x.hub.loop.Disarm(&x.timer)
	x.become(who)
	if anonymous {
		x.recheck()
		x.rename()
	}
	if x.closed {
		return
	}
	x.welcome(who)
	x.ackAuth(id)
	x.start()
	x.settled()
}

func (x *Session) welcome(who *auth.Identity) {
	p := x.hub.server.policy.Load()
	e := &event.Welcome{Connection: x.ID(), User: x.user(), Ping: p.Ping, DedupeWindow: broker.DedupeWindow, MaxMessage: p.Limits.MaxMessage, Server: x.hub.server.opts.Name}
	if st := x.has().stream; st != nil {
		e.Ping, e.Secret = st.Heartbeat(), x.secret()
	}
	if who != nil {
		e.Expires = who.Expires
	}
	x.link.Send(e)
}

// become takes over an identity and its expiry.
func (x *Session) become(who *auth.Identity) {
	if x.identity = who; x.extra != nil {
		x.extra.claimed = nil
	}
	if x.leaving {
		return // the timer says when
	}
	x.hub.loop.Disarm(&x.timer)
	if who == nil || who.Expires.IsZero() {
		return
	}
	// A token that was let in within the leeway has that much longer.
	left := time.Until(who.Expires)
	if left <= 0 {
		left += who.Leeway
	}
	x.hub.loop.Arm(&x.timer, max(left, 0), x)
}

// Fire is the end of the wait for a token, or of the token's life.
func (x *Session) Fire(*reactor.Loop) {
	switch {
	case x.closed:
	case x.leaving:
		x.leave()
	case !x.welcomed:
		x.deny("connect", nil, "", protocol.Errorf(protocol.CodeUnauthorized, "no token came in time; connect with ?token= or send {\"type\":\"auth\",\"token\":…} first"))
		x.end(protocol.CloseNoAuth)
	default:
		x.fail(nil, "", protocol.Errorf(protocol.CodeUnauthorized, "the token has expired; fetch a new one"))
		x.end(protocol.CloseTokenExpired)
	}
}

// fail answers with an error that no message asked for.
func (x *Session) fail(id []byte, channel string, err error) { x.deny("", id, channel, err) }

// deny answers what was asked for with an error; action says what that is, as in
// refusal.Refusal.
func (x *Session) deny(action string, id []byte, channel string, err error) {
	h := x.hub
	e := protocol.AsError(err)
	h.server.metrics.countError(e.Code)
	x.note(action, channel, err, 0)
	if e.Code == protocol.CodeInternal {
		h.server.log.Error("a request failed", "error", err)
	}
	x.link.Send(&event.Error{ID: id, Channel: channel, Err: e})
}

// note records a refusal, and the code that the connection is closed with over it.
func (x *Session) note(action, channel string, err error, closed protocol.CloseCode) {
	x.hub.server.opts.Refusals.Note(refusal.Refusal{Door: x.transport.name, Err: err, Action: action, User: x.user(), Channel: channel,
		Connection: x.ID(), Address: x.address, Closed: closed})
}

// cutOff closes the connection over something that the client is not told of
// otherwise, and that the log is.
func (x *Session) cutOff(code protocol.CloseCode, err error) {
	x.note("message", "", err, code)
	x.end(code)
}

// end closes the connection. What is queued may still leave; nothing more is
// taken in, by whatever way it comes.
func (x *Session) end(code protocol.CloseCode) {
	x.ending = true
	x.link.Close(code, code.Reason())
}

// Drained tells that the link is no longer blocked.
func (x *Session) Drained() {
	if x.closed {
		return
	}
	if x.suspended != nil && x.suspended.drained != nil {
		drained := x.suspended.drained
		x.suspended.drained = nil
		drained()
	}
	x.out.Drained()
}

// kick ends the connection on somebody's word.
func (x *Session) kick(code protocol.CloseCode) {
	if !x.closed {
		x.departAll(node.Departure{}) // not to be waited for
		x.end(code)
	}
}
