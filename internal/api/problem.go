package api

import (
	"cmp"
	"errors"
	"net/http"

	"ringdown/internal/problem"
	"ringdown/internal/refusal"
	"ringdown/internal/session"
	"ringdown/protocol"
)

// httpError is an error for which HTTP has a more exact status than its code.
type httpError struct {
	status int
	err    *protocol.Error
}

func (e *httpError) Error() string { return e.err.Error() }
func (e *httpError) Unwrap() error { return e.err }

// fail answers with an error. What is not the protocol's is logged and not told.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	d := h.refused(r, r.PathValue("channel"), err)
	problem.Header(w.Header(), d.Status, protocol.AsError(err))
	w.WriteHeader(d.Status)
	// An error is the client's having gone: there is nobody left to tell.
	_, _ = w.Write(d.JSON())
}

// refused records that a request, or a message of one, was refused, and returns
// what is said of it.
func (h *Handler) refused(r *http.Request, channel string, err error) problem.Document {
	o, e := h.opts.Load(), protocol.AsError(err)
	status := e.Code.HTTPStatus()
	if x, ok := errors.AsType[*httpError](err); ok {
		status = x.status
	}
	if e.Code == protocol.CodeInternal && r.Context().Err() == nil {
		o.Logger.Error("a request failed", "method", r.Method, "pattern", r.Pattern, "error", err)
	}
	if _, ok := errors.AsType[*session.Noted](err); ok {
		return problem.Of(status, e)
	}
	x := refusal.Refusal{Door: refusal.REST, Err: err, Action: action(r), Channel: channel, Address: remote(r)}
	info := infoOf(r.Context())
	x.User, x.Action = info.user, cmp.Or(info.action, x.Action)
	o.Sessions.Refusals().Note(x)
	return problem.Of(status, e)
}
