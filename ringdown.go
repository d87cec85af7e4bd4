// Package ringdown is a real-time API server to run on its own or inside your
// program: channels declared in one file, served over WebSocket beside a REST
// API.
//
//	srv, err := ringdown.New(ringdown.Options{ConfigFile: "ringdown.yaml"})
//	if err != nil { … }
//	srv.HandleCall("order", func(ctx context.Context, c *ringdown.Call) (any, error) { … })
//	if err := srv.Start(ctx); err != nil { … }
//	defer srv.Stop(context.Background())
//
// The server listens where the configuration says. To mount it in a server of
// your own, leave listen out of the configuration and serve Handler.
//
// Clients need no SDK: new WebSocket("ws://…/v1/ws?token=…") and the messages of
// docs/protocol.md.
package ringdown

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ringdown/internal/api"
	"ringdown/internal/auth"
	"ringdown/internal/broker/embedded"
	"ringdown/internal/broker/redis"
	"ringdown/internal/config"
	"ringdown/internal/front"
	"ringdown/internal/lifecycle"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/internal/transport/poll"
	"ringdown/internal/transport/sse"
	"ringdown/internal/transport/websocket"
)

// Version is the version of the server. A release is built with its own.
var Version = "0.1.0"

// Options make a Server. One of ConfigFile, Config, Channels and Dev is needed.
type Options struct {
	ConfigFile string // path of the YAML file; see docs/configuration.md
	Config     []byte // the YAML itself, instead of a file
	// Channels are declared before those of the configuration, of which there need be
	// none: of all that match a name the first holds.
	Channels []Channel
	// Dev declares every channel and lets everybody do everything, on loopback
	// only. With a configuration it only relaxes what is not declared there.
	Dev bool
	// DevFiles is a folder whose files are served beside the API in dev mode, for
	// pages that are being written: one that is opened as a file has no origin, and
	// is not let in.
	DevFiles string
	// Listen is the address to listen on, such as ":8000" or "127.0.0.1:0". It
	// takes the place of the configuration's listen; with neither, nothing is
	// listened on and Handler is yours to serve.
	Listen string
	// ListenDefault is listened on when neither names an address.
	ListenDefault string
	// Engine chooses how connections are driven: "epoll" (Linux), "std", or ""
	// for the configuration's choice, which by default is the best there is.
	Engine string
	// StoreDir is the directory to keep messages in, in place of the configuration's
	// store. Config without a store keeps them in memory until the server ends;
	// ConfigFile without one keeps them in ringdown-data beside the file.
	StoreDir string
	Logger   *slog.Logger // default slog.Default()
	// Authenticate tells who makes a request, by the sessions and cookies of your own
	// program: on the WebSocket, for Server-Sent Events, polls and REST alike. nil and
	// no error say that you do not know, and a token is looked for. An error refuses:
	// a *protocol.Error reaches the client as it is; any other is logged, and the client
	// is told to come back. The request has its headers, its address behind
	// trusted_proxies and no body; its context ends when the answer would come too late.
	//
	// Requests that a page of another site may have made are not asked about: see
	// docs/embedding.md.
	Authenticate func(*http.Request) (*User, error)
	// Registry receives the metrics that /metrics shows. Default: one of its own.
	Registry *prometheus.Registry
	// Env looks up environment variables for env: values of the configuration.
	// Default os.LookupEnv.
	Env func(name string) (string, bool)
	// DrainNotice is how long a server that stops says so at /readyz and lets
	// nobody in before it begins to send its clients away, for load balancers to
	// notice. Default 0.
	DrainNotice time.Duration
	// DrainWindow is the time over which clients are asked to come back when the
	// server stops, and over which those who do not are closed. Servers with few
	// clients take less. Default 8 s.
	DrainWindow time.Duration
}

// Server is a running or not yet running server. All methods are safe for
// concurrent use; Start and Stop may each be called once.
type Server struct {
	opts Options
	log  *slog.Logger

	descriptors int // that this process may have
	front       *front.Front
	engine      *reactor.Engine
	verifier    *auth.Verifier
	node        *node.Node
	kept        *embedded.Broker // nil: there is no store in a directory
	redis       *redis.Broker    // nil: this is the only node
	sessions    *session.Server
	sockets     *websocket.Handler
	events      *sse.Handler
	polls       *poll.Handler
	rest        *api.Handler
	handler     http.Handler
	registry    *prometheus.Registry
	refusals    *refusal.Recorder

	conf   atomic.Pointer[config.Config]
	reload sync.Mutex

	hooks   session.Hooks // guarded by hooksMu
	hooksMu sync.Mutex

	running   lifecycle.Stack
	metricsAt net.Addr
}

// New reads the configuration and builds a server that is not started. The
// error lists every problem of the configuration, with file and line.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.DrainWindow <= 0 {
		o.DrainWindow = 8 * time.Second
	}
	s := &Server{opts: o, log: o.Logger, registry: o.Registry, refusals: refusal.NewRecorder(o.Logger)}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
		s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	conf, err := s.load()
	if err != nil {
		return nil, err
	}
	s.conf.Store(conf)
	if err := s.build(conf); err != nil {
		return nil, errors.Join(err, s.running.Stop(context.Background()))
	}
	return s, nil
}

func (s *Server) load() (*config.Config, error) {
	channels, err := items(s.opts.Channels)
	if err != nil {
		return nil, err
	}
	lo := config.LoadOptions{Dev: s.opts.Dev, Env: s.opts.Env, Known: s.opts.Authenticate != nil, Channels: channels}
	switch {
	case s.opts.ConfigFile != "" && s.opts.Config != nil:
		return nil, errors.New("ringdown: give either ConfigFile or Config, not both")
	case s.opts.ConfigFile != "":
		return config.Load(s.opts.ConfigFile, lo)
	case s.opts.Config != nil:
		return config.Parse("configuration", s.opts.Config, lo)
	case s.opts.Dev:
		return config.Parse("--dev", nil, lo)
	case channels != nil:
		return config.Parse("Options", nil, lo)
	}
	return nil, errors.New("ringdown: there is no configuration; give ConfigFile, Config, Channels or Dev")
}

// build makes the rooms, from the lowest to the highest.
func (s *Server) build(conf *config.Config) (err error) {
	ro := conf.Engine
	ro.Logger = s.log
	if s.opts.Engine != "" {
		ro.Engine = s.opts.Engine
	}
	if s.engine, err = reactor.New(ro); err != nil {
		return err
	}
	// It holds descriptors already, whether it is started or not.
	s.running.Push("event loops", s.engine.Stop)
	ao := conf.Auth
	ao.Logger = s.log
	if s.verifier, err = auth.New(ao); err != nil {
		return err
	}
	files, err := reactor.RaiseFileLimit()
	s.descriptors = int(min(files, 1<<30))
	if err != nil {
		s.log.Warn("the limit of open files could not be raised", "error", err)
	}
	limits := conf.Limits.Session.WithDefaults()
	s.front = front.New(front.Options{Policy: frontPolicy(conf), Descriptors: s.descriptors, Exempt: s.hasKey, Refusals: s.refusals})
	logs, err := s.newBroker(conf)
	if err != nil {
		return err
	}
	s.node = node.New(node.Options{
		Broker:   logs,
		Table:    conf.Table(),
		Channels: limits.ChannelsPerNode,
		Logger:   s.log,
	})
	s.sessions = session.New(session.Options{
		Engine: s.engine, Node: s.node, Verifier: s.verifier, Policy: s.policy(conf),
		Authenticate: s.authenticate(), Front: s.front, Name: "ringdown " + Version, Refusals: s.refusals, Logger: s.log,
	})
	s.sockets = websocket.New(s.engine, s.sessions, s.socketOptions(conf))
	s.events = sse.New(s.engine, s.sessions, s.eventOptions(conf))
	s.polls = poll.New(s.engine, s.sessions, poll.Options{Origins: s.origins(conf)})
	if s.rest, err = api.New(s.apiOptions(conf)); err != nil {
		return err
	}
	if s.handler, err = s.routes(conf); err != nil {
		return err
	}
	return s.registry.Register(&collector{s})
}

// policy is what the sessions take from the configuration.
func (s *Server) policy(conf *config.Config) session.Policy {
	return session.Policy{
		Limits:    conf.Limits.Session,
		Anonymous: conf.Anonymous || s.opts.Dev,
		AnyToken:  s.opts.Dev,
		AnyKey:    s.openToAll(conf),
		Ping:      conf.WebSocket.PingInterval,

		PresenceGrace: conf.PresenceGrace,
		Origins:       s.origins(conf),
		Calls:         conf.Calls,
	}
}

// Handler serves everything: the WebSocket and its further paths, the REST API
// under /v1/, /livez, /readyz and /metrics. To mount it in another mux, forward
// the paths as they are. The server must be started.
func (s *Server) Handler() http.Handler { return s.handler }

// Start starts the rooms and, if there is an address to listen on, serves it.
// It returns when connections are accepted; ctx bounds only the starting. A
// failed Start leaves nothing running.
func (s *Server) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.running.Stop(context.WithoutCancel(ctx)))
		}
	}()
	conf := s.conf.Load()
	start := func(name string, svc lifecycle.Service) {
		if err != nil {
			return
		}
		if err = svc.Start(ctx); err != nil {
			err = fmt.Errorf("starting the %s: %w", name, err)
			return
		}
		switch svc {
		case s.engine: // see build
		case s.node: // it has to write down what it was given
			s.running.PushShare(name, 4, svc.Stop)
		default:
			s.running.Push(name, svc.Stop)
		}
	}
	// First of all: if another process has the address, its store shall not be
	// waited for, nor anything be begun.
	if err := s.listen(ctx); err != nil {
		return err
	}
	if err := s.listenMetrics(ctx); err != nil {
		return err
	}
	start("token verifier", s.verifier)
	start("event loops", s.engine)
	start("broker", s.node)
	if err != nil {
		return err
	}
	s.running.Push("sessions", s.sessions.Stop)
	if conf.Dev {
		s.log.Warn("DEV MODE: every channel exists and everybody may do everything; this server listens on loopback only and must not be deployed like this")
	}
	for _, w := range conf.Warnings {
		s.log.Warn("configuration", "warning", w)
	}
	s.front.Serve(s.handler, s.log)
	s.running.Push("listener", s.stopListening)
	// Before the listener is closed: who comes meanwhile is told to come back, by
	// a server that answers, and /readyz says why.
	s.running.Push("connections", s.drain)
	return nil
}

// listen takes the addresses.
func (s *Server) listen(ctx context.Context) error {
	s.running.Push("addresses", func(context.Context) error { return s.front.Close() })
	for _, addr := range s.listenAddrs() {
		if err := s.loopbackOnly(addr); err != nil {
			return err
		}
		if err := s.front.Listen(ctx, addr); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) stopListening(ctx context.Context) error {
	cut, err := s.front.Stop(ctx)
	if cut > 0 {
		s.log.Warn("requests that did not end were cut off", "requests", cut)
	}
	return err
}

// drain sends everybody away.
func (s *Server) drain(ctx context.Context) error {
	s.sessions.Refuse()
	if s.opts.DrainNotice > 0 {
		select {
		case <-time.After(s.opts.DrainNotice):
		case <-ctx.Done():
		}
	}
	s.front.SendAway()
	return s.sessions.Drain(ctx, s.opts.DrainWindow)
}

// ListenAddr returns the first address that Start listens on, "" for none.
func (s *Server) ListenAddr() string {
	if addrs := s.listenAddrs(); len(addrs) > 0 {
		return addrs[0]
	}
	return ""
}

func (s *Server) listenAddrs() []string {
	if s.opts.Listen != "" {
		return []string{s.opts.Listen}
	}
	if l := s.conf.Load().Listen; len(l) > 0 {
		return l
	}
	if s.opts.ListenDefault != "" {
		return []string{s.opts.ListenDefault}
	}
	return nil
}

// Addr returns the first address that is listened on, nil before Start or without
// one.
func (s *Server) Addr() net.Addr {
	if addrs := s.front.Addrs(); len(addrs) > 0 {
		return addrs[0]
	}
	return nil
}

// Addrs returns all addresses that are listened on.
func (s *Server) Addrs() []net.Addr { return s.front.Addrs() }

// Stop lets nobody in any more, tells every client to come back, closes the
// connections over the drain window, stops listening and ends the rooms, in the
// reverse order of Start. ctx bounds it all: each of these has its part of the time,
// so that a client that does not leave costs the store none of it. Clients that are
// cut off are told in the log; a room that cannot be ended in order is an error.
// When ctx is cancelled, all that waits for somebody is cut off at once, and each
// room has a second to end. Stopping a server that was not started does nothing.
func (s *Server) Stop(ctx context.Context) error { return s.running.Stop(ctx) }

// Reload reads the configuration again and swaps channels, rules, schemas,
// limits, keys and origins at once, for every connection that is open. If the
// configuration is bad, all stays as it is and the error says what is wrong.
// listen, http, metrics, paths, engine, broker and store are read at Start only.
func (s *Server) Reload() error {
	s.reload.Lock()
	defer s.reload.Unlock()
	conf, err := s.load()
	if err != nil {
		return err
	}
	ao := conf.Auth
	ao.Logger = s.log
	// The only step that can fail comes first.
	if err := s.verifier.Reload(ao); err != nil {
		return err
	}
	old := s.conf.Swap(conf)
	s.node.SetTable(conf.Table())
	s.sessions.SetPolicy(s.policy(conf))
	s.front.SetPolicy(frontPolicy(conf))
	s.sockets.Reload(s.socketOptions(conf))
	s.events.Reload(s.eventOptions(conf))
	s.polls.Reload(poll.Options{Origins: s.origins(conf)})
	s.rest.Reload(s.apiOptions(conf))
	s.sessions.Recheck()
	if !slices.Equal(old.Listen, conf.Listen) || old.Front.Idle != conf.Front.Idle || old.Metrics != conf.Metrics ||
		old.Engine.Engine != conf.Engine.Engine || !slices.Equal(old.Paths, conf.Paths) ||
		!slices.Equal(old.SSE.Paths, conf.SSE.Paths) || !slices.Equal(old.Poll.Paths, conf.Poll.Paths) ||
		!reflect.DeepEqual(old.Redis, conf.Redis) || !reflect.DeepEqual(old.Store, conf.Store) {
		s.log.Warn("listen, http, metrics, paths, engine, broker or store changed in the configuration; they take effect at the next start")
	}
	return nil
}
