// Package api is REST: publish, look at channels and
// connections, disconnect, health and metrics, and the documents that describe
// it all. Errors are problem documents (RFC 9457) with the codes of the protocol.
//
// A caller is a server, by one of the configured keys, or a user, by a token.
// Servers may do everything; users publish, read and see who is present where the
// rules let them, and see nothing else of others.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// Options make a Handler. Sessions are needed; without Metrics there are none here.
type Options struct {
	Sessions *session.Server
	Metrics  prometheus.Gatherer
	Origins  auth.Origins
	Dev      bool                            // callers without a key may do everything
	Name     string                          // of the server, such as "ringdown 0.1.0"
	Public   bool                            // the documents and the metrics are for everybody
	AsyncAPI func() ([]byte, error)          // the document of the declared channels
	Ready    func(ctx context.Context) error // nil: requests can be served
	Logger   *slog.Logger
}

// Handler serves the REST API. Safe for concurrent use.
type Handler struct {
	opts   atomic.Pointer[Options]
	routes []route
	mux    *http.ServeMux
}

// route is one operation, as the OpenAPI document has it.
type route struct {
	method, path string
	access       access
	serve        func(h *Handler, w http.ResponseWriter, r *http.Request) error
}

// access is who may use a route.
type access uint8

const (
	byHandler access = iota // the handler decides
	everybody               // needs no credential
	everyPage               // nor an origin that is listed
	withKey                 // needs a server key
	documents               // needs a server key, unless Options.Public says otherwise
)

var routes = []route{
	{"POST", "/v1/channels/{channel}/messages", byHandler, (*Handler).publish},
	{"GET", "/v1/channels/{channel}/messages", byHandler, (*Handler).history},
	{"GET", "/v1/channels/{channel}/state", byHandler, (*Handler).state},
	{"PUT", "/v1/channels/{channel}/state/{key}", byHandler, (*Handler).setState},
	{"DELETE", "/v1/channels/{channel}/state/{key}", byHandler, (*Handler).deleteState},
	{"POST", "/v1/messages", byHandler, (*Handler).publishBatch},
	{"GET", "/v1/channels/{channel}/presence", byHandler, (*Handler).listMembers},
	{"GET", "/v1/channels", withKey, (*Handler).listChannels},
	{"GET", "/v1/connections", withKey, (*Handler).listConnections},
	{"GET", "/v1/connections/{connection}", withKey, (*Handler).getConnection},
	{"DELETE", "/v1/connections/{connection}", withKey, (*Handler).deleteConnection},
	{"POST", "/v1/connections/{connection}/messages", byHandler, (*Handler).postMessage},
	{"POST", "/v1/tickets", byHandler, (*Handler).issueTicket},
	{"DELETE", "/v1/users/{user}/connections", withKey, (*Handler).deleteUser},
	{"GET", "/v1/openapi.json", documents, (*Handler).openAPI},
	{"GET", "/v1/asyncapi.json", documents, (*Handler).asyncAPI},
	{"GET", "/v1/errors", everybody, (*Handler).errorPages},
	{"GET", "/v1/errors/{code}", everybody, (*Handler).errorPage},
	{"GET", "/v1/client.js", everyPage, (*Handler).newestClient},
	{"GET", "/v1/client/{file}", everyPage, (*Handler).clientFile},
	{"GET", "/", everybody, (*Handler).root},
	{"GET", "/livez", everybody, (*Handler).live},
	{"GET", "/readyz", everybody, (*Handler).ready},
	{"GET", "/metrics", byHandler, (*Handler).metrics},
}

// New returns the handler.
func New(o Options) (*Handler, error) {
	h := &Handler{routes: routes, mux: http.NewServeMux()}
	h.Reload(o)
	allowed := map[string][]string{}
	for _, rt := range h.routes {
		path := rt.path
		if path == "/" {
			path = "/{$}" // and not everything under it
		}
		allowed[path] = append(allowed[path], rt.method)
		h.mux.HandleFunc(rt.method+" "+path, h.serve(rt))
	}
	for path, methods := range allowed {
		h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { h.otherMethod(w, r, methods) })
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.fail(w, r, nothingAt(r.URL.EscapedPath()))
	})
	return h, nil
}

// Reload swaps the options.
func (h *Handler) Reload(o Options) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h.opts.Store(&o)
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), requestInfoKey{}, new(requestInfo)))
		if rt.access == everyPage {
			w.Header().Set("Access-Control-Allow-Origin", "*")
		} else if !h.crossOrigin(w, r) {
			return
		}
		var err error
		if rt.access == withKey || rt.access == documents && !h.opts.Load().Public {
			err = h.requireKey(r)
		}
		if err == nil {
			err = rt.serve(h, w, r)
		}
		if err != nil {
			h.fail(w, r, err)
		}
	}
}

// crossOrigin lets pages of the listed origins read the answers, and refuses
// requests of others before they do anything.
func (h *Handler) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if !h.opts.Load().Origins.Allow(r) {
		h.fail(w, r, auth.OriginRefused(r))
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	if h.opts.Load().Origins.Cookies(r) {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	return true
}

// caller is who makes a request.
type caller struct {
	server   bool
	identity *auth.Identity // of a user
	address  netip.AddrPort
	header   http.Header     // for hooks
	budget   *channel.Budget // of the whole request, however many messages it has
}

// forNode returns the caller as the node knows callers.
func (c caller) forNode() *node.Caller {
	if c.identity == nil {
		return &node.Caller{Server: c.server, Door: refusal.REST, Address: c.address}
	}
	return &node.Caller{User: c.identity.User, Caps: c.identity.Caps, RawClaims: c.identity.Claims, Door: refusal.REST, Address: c.address, Header: c.header, Budget: c.budget,
		Claims: func() map[string]any {
			var m map[string]any
			_ = json.Unmarshal(c.identity.Claims, &m) // the verifier has decoded it before
			return m
		}}
}

// charge lets the user pay for what deciding about the request took.
func (c caller) charge(s *session.Server) {
	if c.budget != nil {
		s.ChargeDeciding(c.user(), c.budget)
	}
}

// visit counts a request of a user.
func (c caller) visit(s *session.Server) error {
	if c.server {
		return nil
	}
	return s.Visit(c.user())
}

func (c caller) user() string {
	if c.identity == nil {
		return ""
	}
	return c.identity.User
}

// requestInfo is what is found out about a request while it is served, for the
// record of its refusal.
type requestInfo struct {
	user   string
	action string // as over a connection; empty: the route says it
}

type requestInfoKey struct{}

func infoOf(ctx context.Context) *requestInfo {
	if info, ok := ctx.Value(requestInfoKey{}).(*requestInfo); ok {
		return info
	}
	return new(requestInfo)
}

// identify finds out who makes a request: by a server key, else by what the
// application knows it by, else by a token. A token in the query does not count:
// here a header can always be set, and addresses end up in logs.
func (h *Handler) identify(r *http.Request) (caller, error) {
	o := h.opts.Load()
	credential, found := auth.RequestKey(r)
	if found && (o.Sessions.Verifier().Key(credential) || o.Dev && auth.LooksLikeKey(credential)) {
		return caller{server: true}, nil
	}
	id, err := o.Sessions.Known(r.Context(), r)
	switch {
	case id != nil || err != nil:
	case found:
		id, err = o.Sessions.Authenticate(r.Context(), credential)
	case o.Dev:
		return caller{server: true}, nil
	default:
		return caller{}, protocol.Errorf(protocol.CodeUnauthorized, "present a server key or a user token: Authorization: Bearer …").WithReason("credential")
	}
	if id != nil {
		infoOf(r.Context()).user = id.User
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // what does not parse stays empty
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	budget := channel.NewBudget(o.Sessions.Limits().RuleSteps)
	return caller{identity: id, address: from, budget: &budget, header: o.Sessions.Header(r)}, err
}

// requireKey refuses callers without a server key.
func (h *Handler) requireKey(r *http.Request) error {
	c, err := h.identify(r)
	if err == nil && !c.server {
		err = protocol.Errorf(protocol.CodeForbidden, "this needs a server key (auth.keys) and not a user's token").WithReason("server_key")
	}
	return err
}
