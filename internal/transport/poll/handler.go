package poll

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/problem"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/internal/transport"
	"ringdown/protocol"
)

// Options of the transport.
type Options struct {
	Paths   []string      // aliases beside /v1/poll; whoever routes uses them
	Lease   time.Duration // how long a session outlives the last answer. Default 60 s
	Origins auth.Origins
}

const (
	defaultWait  = 25 * time.Second
	maxWait      = 60 * time.Second
	defaultLease = 60 * time.Second
	// slack is how much longer than its wait a request may take: for the
	// application's own listeners, and for a store that is slow.
	slack = 15 * time.Second
	// answerTime is how long a client may take to read its answer. One that does
	// not read it costs memory for no longer.
	answerTime = 30 * time.Second
)

// Handler answers GET and POST /v1/poll. Safe for concurrent use.
type Handler struct {
	engine *reactor.Engine
	server *session.Server
	door   transport.Door
	opts   atomic.Pointer[Options]
	next   atomic.Uint32 // the loop of the next request
	table  table
}

// New returns the handler whose requests are sessions of s, on the loops of e.
func New(e *reactor.Engine, s *session.Server, o Options) *Handler {
	h := &Handler{engine: e, server: s, door: transport.Door{Name: refusal.Poll, Server: s}}
	h.Reload(o)
	return h
}

// Reload changes the options; Paths are not looked at.
func (h *Handler) Reload(o Options) {
	if o.Lease <= 0 {
		o.Lease = defaultLease
	}
	h.opts.Store(&o)
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.door.Enter(w, r, h.opts.Load().Origins) {
		return
	}
	q, err := h.read(w, r)
	if err == nil {
		err = h.serve(w, r, q)
	}
	if err != nil && r.Context().Err() == nil {
		h.door.Refuse(w, r, protocol.AsError(err).Code.HTTPStatus(), err)
	}
}

// read reads what a request asks for, and lets it in.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*request, error) {
	asked, err := transport.Read(w, r)
	if err != nil {
		return nil, err
	}
	q := &request{asked: asked, wait: defaultWait, answered: make(chan answer, 1)}
	if err := q.check(r.Method == http.MethodPost); err != nil {
		return nil, err
	}
	if l := h.table.find(asked.Session); l != nil {
		q.line = l // it was let in before
	} else if err = h.server.Accepting(); err == nil && !asked.Resumed {
		// The storm that handshakes are limited for is one of newcomers.
		var arrived func()
		if arrived, err = h.server.Admit(r.Context()); err == nil {
			arrived()
		}
	}
	if err != nil {
		return nil, err
	}
	q.open, err = h.door.Identify(r, asked)
	return q, err
}

// check looks at what only a poll is particular about. A POST has a session; a
// GET keeps nothing.
func (q *request) check(post bool) error {
	switch {
	case !post && len(q.asked.Follow) == 0:
		return protocol.Errorf(protocol.CodeBadRequest, "say what to follow: ?channel=…, once for each channel")
	case len(q.asked.Follow) > 0 && q.asked.Follow[0].Rate > 0:
		return protocol.Errorf(protocol.CodeBadRequest, "there is no rate here: poll less often")
	case !post:
		q.asked.Places = nil
	}
	q.keep = post
	if s := q.asked.Query.Get("wait"); s != "" {
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil || !(seconds >= 0 && seconds <= maxWait.Seconds()) {
			return protocol.Errorf(protocol.CodeBadRequest, "wait must be from 0 to %v seconds", maxWait.Seconds())
		}
		q.wait = time.Duration(seconds * float64(time.Second))
	}
	return nil
}

// serve waits for the answer and gives it.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, q *request) error {
	// The server's own limit is for requests that come slowly. This one is here,
	// and what the deadline would end is the watch for the client's leaving.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(q.wait + 2*slack))
	ctx, cancel := context.WithTimeout(r.Context(), q.wait+slack)
	defer cancel()
	l, err := h.begin(ctx, q)
	if err != nil {
		return err
	}
	var a answer
	select {
	case a = <-q.answered:
	case <-ctx.Done():
		l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { l.abandon(q) }))
		return errStopped
	}
	if a.noted {
		problem.Write(w, protocol.AsError(a.err).Code.HTTPStatus(), protocol.AsError(a.err))
		return nil
	}
	if a.err != nil {
		return a.err
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Length", strconv.Itoa(len(a.body)))
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	_, _ = w.Write(a.body) // who has gone asks again with the same cursor
	return nil
}

var errStopped = protocol.Errorf(protocol.CodeUnavailable, "this server is going down")

// begin gives a request to the session that it names, or to a new one.
func (h *Handler) begin(ctx context.Context, q *request) (*link, error) {
	if l := q.line; l != nil {
		taken := make(chan bool, 1)
		if !l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { taken <- l.goOn(q) })) {
			return nil, errStopped
		}
		select {
		case yes := <-taken:
			if yes {
				return l, nil
			}
		case <-ctx.Done():
			l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { l.abandon(q) }))
			return nil, errStopped
		}
		if err := h.server.Accepting(); err != nil {
			return nil, err
		}
	}
	delete(q.open.Places, answers) // it is of another session
	loops := h.engine.Loops()
	l := &link{loop: loops[h.next.Add(1)%uint32(len(loops))], resumed: q.asked.Resumed, request: q}
	if q.keep {
		l.table, l.lease = &h.table, h.opts.Load().Lease
		l.owner, l.tag = ownerOf(&q.open), rand.Text()[:6]
		for _, f := range q.open.Follow {
			l.named = append(l.named, f.Channel)
		}
	}
	if !l.loop.Post(reactor.TaskFunc(func(*reactor.Loop) { h.server.Open(l, q.open) })) {
		return nil, errStopped
	}
	return l, nil
}
