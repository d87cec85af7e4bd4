package sse

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/internal/transport"
	"ringdown/protocol"
)

// Options of the transport. Zero fields mean the defaults.
type Options struct {
	Paths          []string      // aliases beside /v1/sse; whoever routes uses them
	Heartbeat      time.Duration // of silence before a comment, which may come up to a fifth earlier. Default 8 s: OkHttp gives up after 10 of silence
	StalledTimeout time.Duration // for a peer that takes nothing of what waits. Default 5 min
	Origins        auth.Origins
	Logger         *slog.Logger // default slog.Default()
}

// WithDefaults returns o with its zero fields filled in.
func (o Options) WithDefaults() Options {
	if o.Heartbeat <= 0 {
		o.Heartbeat = 8 * time.Second
	}
	if o.StalledTimeout <= 0 {
		o.StalledTimeout = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// closeGrace is how long a peer has to close after the stream has ended.
const closeGrace = 2 * time.Second

// Handler answers GET and POST /v1/sse. Safe for concurrent use.
type Handler struct {
	engine *reactor.Engine
	server *session.Server
	door   transport.Door
	opts   atomic.Pointer[Options]
}

// New returns the handler whose streams are sessions of s, on the loops of e.
func New(e *reactor.Engine, s *session.Server, o Options) *Handler {
	h := &Handler{engine: e, server: s, door: transport.Door{Name: refusal.SSE, Server: s}}
	h.Reload(o)
	return h
}

// Reload changes the options, for streams from now on; Paths are not looked at.
func (h *Handler) Reload(o Options) {
	o = o.WithDefaults()
	h.opts.Store(&o)
}

// ServeHTTP begins one stream. It returns when the stream was handed to a loop,
// or where that cannot be done when it has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := h.opts.Load()
	if !h.door.Enter(w, r, o.Origins) {
		return
	}
	asked, err := transport.Read(w, r)
	if err == nil && asked.Session != "" {
		err = protocol.Errorf(protocol.CodeBadRequest, "the field session is for polls; a stream goes on by its cursor").WithReason("field")
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	arrived, err := h.server.Admit(r.Context())
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	open, err := h.door.Identify(r, asked)
	if err != nil {
		arrived()
		h.refuse(w, r, err)
		return
	}
	h.take(w, r, &link{opts: o, opening: &opening{server: h.server, open: open}}, arrived)
}

// refuse answers a request that gets no stream, in a way that makes an
// EventSource come back if that may help.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := protocol.AsError(err)
	if !e.Retryable || !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		h.door.Refuse(w, r, e.Code.HTTPStatus(), e)
		return
	}
	h.door.Note(r, e)
	setHeader(w.Header())
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(appendGoodbye(nil, max(e.RetryAfter, time.Second))) // who has gone comes back anyway
}

// setHeader sets the header of a stream.
func setHeader(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx is not to collect the events
	h.Set("X-Content-Type-Options", "nosniff")
}

// comeback draws the time after which an EventSource comes back: not all that
// were cut off at once shall come back at once.
func comeback() time.Duration { return time.Second + rand.N(2*time.Second) }
