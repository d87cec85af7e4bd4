package session

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/delivery"
	"ringdown/internal/lifecycle"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// Options make a Server. Engine, Node and Verifier are needed.
type Options struct {
	Engine   *reactor.Engine
	Node     *node.Node
	Verifier *auth.Verifier
	Policy   Policy
	// Front has the sockets that the connections come over; nil: they are not
	// limited.
	Front Front
	// Authenticate is the application's own way to tell who makes a request; nil:
	// it has none. See Server.Known.
	Authenticate func(*http.Request) (*auth.Identity, error)
	Name         string // what welcome calls the server, such as "ringdown 0.1.0"
	Refusals     *refusal.Recorder
	Logger       *slog.Logger
}

// Front is what the sessions ask of the server towards the network.
type Front interface {
	// Streams is how many connections that last there is room for.
	Streams() int
	// Handshake spends one handshake of the address whose request ctx is of.
	Handshake(ctx context.Context) error
}

// Policy is what a reload may change.
type Policy struct {
	Limits    Limits
	Anonymous bool          // connections without a token are welcome
	AnyToken  bool          // --dev without auth.jwt: the token is taken for the user's name
	AnyKey    bool          // --dev without any auth: what looks like a server key is one
	Ping      time.Duration // of links that are no Stream: announced in welcome
	// PresenceGrace is how long a member whose connection was lost may take to
	// come back before it is told to have left. Default 15 s; negative: none.
	PresenceGrace time.Duration
	// Origins are those whose pages may be somebody by their cookies.
	Origins auth.Origins
	// Calls are those that clients may make, by name; nil: whatever the application answers.
	Calls map[string]*channel.Call
}

// Server is what all sessions of a node share. Its methods are safe for
// concurrent use, but for Open, which belongs to the link's loop.
type Server struct {
	opts     Options
	engine   *reactor.Engine
	node     *node.Node
	log      *slog.Logger
	policy   atomic.Pointer[Policy]
	hooks    atomic.Pointer[Hooks]
	registry registry
	hubs     []*hub // by loop index
	metrics  Metrics
	delivery *delivery.Service

	sessions   atomic.Int64
	coming     atomic.Int64 // handshakes under way
	draining   atomic.Bool
	handshakes turnstile
	visitors   visitors
	tickets    auth.Tickets
	secrets    [32]byte // what the secrets of streams are made with

	ctx    context.Context // of everything that may block; ended by Stop
	cancel context.CancelFunc
	work   lifecycle.Crew
}

// New returns a server for the engine's loops.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{opts: o, engine: o.Engine, node: o.Node, log: o.Logger}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	rand.Read(s.secrets[:]) // never fails (crypto/rand)
	s.SetPolicy(o.Policy)
	s.hooks.Store(&Hooks{})
	s.answerNodes()
	s.delivery = delivery.New(delivery.Options{Node: o.Node, Loops: o.Engine.Loops(), Reads: func() int { return s.Limits().Recoveries }, Logger: o.Logger})
	for _, l := range o.Engine.Loops() {
		s.hubs = append(s.hubs, newHub(s, l))
	}
	return s
}

// SetPolicy changes the limits and who may come in, for messages and
// connections from now on.
func (s *Server) SetPolicy(p Policy) {
	p.Limits = p.Limits.WithDefaults()
	if p.Ping <= 0 {
		p.Ping = 25 * time.Second
	}
	if p.PresenceGrace == 0 {
		p.PresenceGrace = 15 * time.Second
	}
	s.policy.Store(&p)
}

// Verifier returns what judges tokens.
func (s *Server) Verifier() *auth.Verifier { return s.opts.Verifier }

// Refusals returns where all doors of this server say what they refused.
func (s *Server) Refusals() *refusal.Recorder { return s.opts.Refusals }

// Delivery returns what gives the sessions the messages of their channels.
func (s *Server) Delivery() *delivery.Service { return s.delivery }

// Node returns the node that the sessions use.
func (s *Server) Node() *node.Node { return s.node }

// Limits returns the limits in force.
func (s *Server) Limits() Limits { return s.policy.Load().Limits }

// Authenticate judges a token that came with a handshake or a message.
func (s *Server) Authenticate(ctx context.Context, token string) (*auth.Identity, error) {
	if s.policy.Load().AnyToken && s.opts.Verifier.Empty() {
		if auth.LooksLikeKey(token) || auth.LooksSigned(token) {
			s.metrics.TokensRefused.Add(1)
			return nil, protocol.Errorf(protocol.CodeUnauthorized, "this server runs with --dev and takes the token for a user name, and this one looks like a server key or a signed token; present none, or a name of less than %d characters", auth.MinKey)
		}
		if err := protocol.ValidUser(token); err != nil {
			return nil, protocol.Errorf(protocol.CodeUnauthorized, "this server runs with --dev and takes the token for a user name: %s", protocol.AsError(err).Message)
		}
		return &auth.Identity{User: string([]byte(token))}, nil
	}
	id, err := s.opts.Verifier.Token(ctx, token)
	if err != nil {
		s.metrics.TokensRefused.Add(1)
	}
	return id, err
}

// The turns of handshakes.
const (
	turnWait  = 4 * time.Second  // the longest wait, which costs the memory of a request
	turnSlack = time.Millisecond // it may come before its turn: timers are no more exact
)

// Admit lets another connection in when it is its turn, so that a crowd that
// comes at once leaves the loops time for those who are here. It is asked once for
// each handshake, before anything is spent on it. arrived is to be called when the
// handshake is over, whatever came of it: until then it counts as a connection. An
// error is a retryable *protocol.Error that says why there is none.
func (s *Server) Admit(ctx context.Context) (arrived func(), err error) {
	s.coming.Add(1)
	if err := s.takeTurn(ctx); err != nil {
		s.arrived()
		return nil, err
	}
	return s.arrived, nil
}

func (s *Server) arrived() { s.coming.Add(-1) }

func (s *Server) takeTurn(ctx context.Context) error {
	if err := s.accepting(); err != nil {
		return err
	}
	if s.opts.Front != nil {
		if err := s.opts.Front.Handshake(ctx); err != nil {
			s.metrics.Refused.Add(1)
			return err
		}
	}
	perSecond := s.policy.Load().Limits.HandshakesPerSecond
	wait, ok := s.handshakes.take(time.Now(), perSecond, turnWait)
	if !ok {
		// Those who are refused together shall not come back together.
		wait += mathrand.N(5 * time.Second)
		return s.unavailable(wait, "too many clients connect at once (limits.node.handshakes_per_second is %d); come back in a moment", perSecond).WithLimit("limits.node.handshakes_per_second")
	}
	if wait < turnSlack {
		return nil
	}
	select {
	case <-time.After(wait):
		return s.accepting()
	case <-ctx.Done():
		s.handshakes.giveBack(perSecond)
		return s.unavailable(wait, "the client did not wait for its turn")
	}
}

// Accepting says whether there is room for another connection, of a client that
// needs no turn: nil, or a retryable *protocol.Error.
func (s *Server) Accepting() error {
	s.coming.Add(1)
	defer s.arrived()
	return s.accepting()
}

// accepting is Accepting for one that is counted in coming.
func (s *Server) accepting() error {
	if s.draining.Load() {
		return s.unavailable(time.Second, "this server is going down; connect again, to another one if there is one")
	}
	// One that has arrived is on its way to a loop, and then a session.
	open := max(int(s.sessions.Load()), s.engine.Connections()) + int(s.coming.Load())
	if limit := s.policy.Load().Limits.Connections; limit > 0 && open > limit {
		return s.unavailable(5*time.Second, "this server holds its limit of %d connections (limits.node.connections)", limit).WithLimit("limits.node.connections")
	}
	if s.opts.Front == nil {
		return nil
	}
	if room := s.opts.Front.Streams(); open > room {
		return s.unavailable(5*time.Second, "this server has room for %d connections and no more (limits.node.sockets, or raise ulimit -n)", room).WithLimit("limits.node.sockets")
	}
	return nil
}

func (s *Server) unavailable(wait time.Duration, format string, args ...any) *protocol.Error {
	s.metrics.Refused.Add(1)
	e := protocol.Errorf(protocol.CodeUnavailable, format, args...)
	e.Retryable, e.RetryAfter = true, wait
	return e
}

// Sessions returns how many connections are open.
func (s *Server) Sessions() int { return int(s.sessions.Load()) }

// Stop ends whatever sessions still wait for. Drain and the engine's Stop come
// before it.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	return errors.Join(s.work.Wait(ctx), s.delivery.Stop(ctx))
}

// Recheck asks the rules again for every subscription, after the channels or
// their rules changed, and ends those that are no longer allowed.
func (s *Server) Recheck() {
	for _, h := range s.hubs {
		h.loop.Post(reactor.TaskFunc(func(*reactor.Loop) {
			h.loop.AddJob(&walk{hub: h, visit: (*Session).recheck})
		}))
	}
}

// background runs work on a goroutine and then posts done to the loop, unless
// the server stops. A panic in work is returned to done as an error.
func (s *Server) background(l *reactor.Loop, work func(ctx context.Context) error, done func(err error)) {
	s.work.Go(func() {
		err := s.guard(work)
		l.Post(reactor.TaskFunc(func(*reactor.Loop) { done(err) }))
	})
}

// panicked is the error of work that panicked. It costs its connection.
type panicked struct{ cause any }

func (p *panicked) Error() string { return "a handler of the application panicked" }

func (s *Server) guard(work func(ctx context.Context) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.metrics.Panics.Add(1)
			s.log.Error("a handler panicked; its connection is closed", "panic", cause, "stack", stack())
			err = &panicked{cause}
		}
	}()
	return work(s.ctx)
}

// byServer reports whether the connection is a server's own program, which no
// rule and no hook is asked about.
func (x *Session) byServer() bool { return x.identity != nil && x.identity.Server }

// permit asks whether x may do op on the target.
func (x *Session) permit(op channel.Op, name, event string, t node.Target) error {
	return x.caller().Permit(t, name, op, event)
}

// caller returns who x is to the node, in memory that the hub uses again.
func (x *Session) caller() *node.Caller {
	x.hub.asking = x
	c := &x.hub.caller
	c.User, c.Instance, c.Door, c.Address, c.Budget = "", x.has().called, x.transport.name, x.remote(), &x.judging
	c.Server, c.Caps, c.RawClaims, c.Header = x.byServer(), nil, nil, x.has().header
	if x.identity != nil {
		c.User, c.Instance, c.Caps, c.RawClaims = x.identity.User, "", x.identity.Caps, x.identity.Claims
	}
	return c
}
