package poll

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/problem"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/transport"
	"ringdown/protocol"
)

// Options of the transport.
type Options struct {
	Paths   []string // aliases beside /v1/poll; whoever routes uses them
	Origins auth.Origins
}

const (
	defaultWait = 25 * time.Second
	maxWait     = 60 * time.Second
	// slack is how much longer than its wait a request may take: for the
	// application's own listeners, and for a store that is slow.
	slack = 15 * time.Second
)

// Handler answers GET /v1/poll. Safe for concurrent use.
type Handler struct {
	engine *reactor.Engine
	server *session.Server
	opts   atomic.Pointer[Options]
	next   atomic.Uint32 // the loop of the next request
}

// New returns the handler whose requests are sessions of s, on the loops of e.
func New(e *reactor.Engine, s *session.Server, o Options) *Handler {
	h := &Handler{engine: e, server: s}
	h.Reload(o)
	return h
}

// Reload changes the options; Paths are not looked at.
func (h *Handler) Reload(o Options) { h.opts.Store(&o) }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !transport.Enter(w, r, h.opts.Load().Origins) {
		return
	}
	l, open, err := h.read(r)
	if err == nil {
		err = h.serve(w, r, l, open)
	}
	if err != nil && r.Context().Err() == nil {
		e := protocol.AsError(err)
		problem.Write(w, e.Code.HTTPStatus(), e)
	}
}

// read makes the link of a request and says how its session is opened.
func (h *Handler) read(r *http.Request) (*link, session.Open, error) {
	asked, err := transport.Read(r)
	if err != nil {
		return nil, session.Open{}, err
	}
	if len(asked.Follow) == 0 {
		return nil, session.Open{}, protocol.Errorf(protocol.CodeBadRequest, "say what to follow: ?channel=…, once for each channel")
	}
	if asked.Follow[0].Rate > 0 {
		return nil, session.Open{}, protocol.Errorf(protocol.CodeBadRequest, "there is no rate here: poll less often")
	}
	l := &link{resumed: asked.Resumed, wait: defaultWait, answered: make(chan answer, 1)}
	if s := asked.Query.Get("wait"); s != "" {
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil || !(seconds >= 0 && seconds <= maxWait.Seconds()) {
			return nil, session.Open{}, protocol.Errorf(protocol.CodeBadRequest, "wait must be from 0 to %v seconds", maxWait.Seconds())
		}
		l.wait = time.Duration(seconds * float64(time.Second))
	}
	// The storm that handshakes are limited for is one of newcomers.
	err = h.server.Accepting()
	if !asked.Resumed {
		err = h.server.Admit(r.Context())
	}
	if err != nil {
		return nil, session.Open{}, err
	}
	open, err := transport.Identify(h.server, r, "poll", asked)
	return l, open, err
}

// serve waits for the answer and gives it.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, l *link, open session.Open) error {
	loops := h.engine.Loops()
	l.loop = loops[h.next.Add(1)%uint32(len(loops))]
	// The server's own limit is for requests that come slowly. This one is here,
	// and what the deadline would end is the watch for the client's leaving.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(l.wait + 2*slack))
	ctx, cancel := context.WithTimeout(r.Context(), l.wait+slack)
	defer cancel()
	errStopped := protocol.Errorf(protocol.CodeUnavailable, "this server is going down")
	if !l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { h.server.Open(l, open) })) {
		return errStopped
	}
	var a answer
	select {
	case a = <-l.answered:
	case <-ctx.Done():
		l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { l.end() }))
		return errStopped
	}
	if a.err != nil {
		return a.err
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Length", strconv.Itoa(len(a.body)))
	_, _ = w.Write(a.body) // who has gone asks again with the same cursor
	return nil
}
