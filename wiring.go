package ringdown

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"ringdown/internal/api"
	"ringdown/internal/asyncapi"
	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/embedded"
	"ringdown/internal/broker/memory"
	"ringdown/internal/broker/redis"
	"ringdown/internal/config"
	"ringdown/internal/front"
	"ringdown/internal/store"
	"ringdown/internal/transport/sse"
	"ringdown/internal/transport/websocket"
)

// newBroker makes what keeps the messages: Redis where the configuration names
// it, or the store in a directory, and otherwise the memory of this process.
func (s *Server) newBroker(conf *config.Config) (broker.Broker, error) {
	switch {
	case conf.Redis != nil:
		o := *conf.Redis
		o.Logger = s.log
		b, err := redis.New(o)
		s.redis = b
		return b, err
	case conf.Store != nil || s.opts.StoreDir != "":
		o := *cmp.Or(conf.Store, &store.Options{})
		o.Dir = cmp.Or(s.opts.StoreDir, o.Dir)
		o.Logger = s.log
		o.OpenFiles = min(front.StoreFiles(s.descriptors), 1000)
		s.log.Info("messages are kept in a store", "dir", o.Dir, "fsync", cmp.Or(o.Fsync, store.Always))
		s.kept = embedded.New(o)
		return s.kept, nil
	}
	return memory.New(memory.Options{Channels: conf.Limits.Session.WithDefaults().ChannelsPerNode}), nil
}

// Backup copies the store, while the server runs, into the directory dir, which
// must not exist; see docs/storage.md. It fails on a server that keeps everything
// in memory.
func (s *Server) Backup(ctx context.Context, dir string) error {
	if s.kept == nil || !s.kept.Started() {
		return errors.New("ringdown: there is no store to copy; the configuration names none, or the server was not started")
	}
	return s.kept.Store().Backup(ctx, dir)
}

// frontPolicy is what the server towards the network takes from the configuration.
func frontPolicy(conf *config.Config) front.Policy {
	p, a := conf.Front, conf.Limits.Address
	p.PerAddress, p.HandshakesPerAddress, p.HandshakesBurst = a.Connections, a.HandshakesPerSecond, a.HandshakesBurst
	p.RequestsPerAddress, p.RequestsBurst = a.RequestsPerSecond, a.RequestsBurst
	return p
}

// hasKey reports whether a request is that of a server of the operator's own, which
// no limit of its address holds.
func (s *Server) hasKey(r *http.Request) bool {
	key, found := auth.RequestKey(r)
	return found && s.verifier.Key(key)
}

// routes puts everything on one handler.
func (s *Server) routes(conf *config.Config) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("/", s.rest)
	for _, t := range []struct {
		path    string
		aliases []string
		handler http.Handler
	}{{"/v1/ws", conf.Paths, s.sockets}, {"/v1/sse", conf.SSE.Paths, s.events}, {"/v1/poll", conf.Poll.Paths, s.polls}} {
		mux.Handle(t.path, t.handler)
		for _, path := range t.aliases {
			mux.Handle(path, t.handler)
		}
	}
	handler := s.rest.Literal(mux)
	if conf.Dev {
		var err error
		if handler, err = s.devRoutes(handler); err != nil {
			return nil, err
		}
	}
	return s.front.Handler(handler), nil
}

// origins are checked by the configuration; in dev mode pages that this machine
// serves may connect too.
func (s *Server) origins(conf *config.Config) auth.Origins {
	list := conf.Origins
	if conf.Dev {
		list = append(slices.Clone(list), "loopback")
	}
	o, err := auth.ParseOrigins(list)
	if err != nil {
		// The configuration has parsed the same list.
		s.log.Error("the origins do not parse; no page is let in", "error", err)
	}
	if s.opts.Authenticate != nil {
		o = o.WithCookies()
	}
	return o
}

// socketOptions is what the WebSocket transport takes from the configuration.
func (s *Server) socketOptions(conf *config.Config) websocket.Options {
	o := conf.WebSocket
	o.Origins = s.origins(conf)
	o.Logger = s.log
	return o
}

// eventOptions is what Server-Sent Events take from the configuration.
func (s *Server) eventOptions(conf *config.Config) sse.Options {
	o := conf.SSE
	o.Origins = s.origins(conf)
	o.Logger = s.log
	return o
}

// apiOptions is what the REST API takes from the configuration.
func (s *Server) apiOptions(conf *config.Config) api.Options {
	o := api.Options{
		Sessions: s.sessions,
		Public:   conf.Documents == config.DocumentsPublic,
		Origins:  s.origins(conf),
		Dev:      s.openToAll(conf),
		Name:     "ringdown " + Version,
		AsyncAPI: func() ([]byte, error) {
			return asyncapi.Document(conf.Table(), conf.Calls, asyncapi.Info{Title: "Ringdown", Version: Version})
		},
		Ready:  s.ready,
		Logger: s.log,
	}
	if conf.Metrics == "" {
		o.Metrics = s.registry
	}
	return o
}

// ready returns nil when the server can serve: its broker answers and it is not
// going down.
func (s *Server) ready(ctx context.Context) error {
	if err := s.sessions.Accepting(); err != nil {
		return err
	}
	return s.node.Ready(ctx)
}
