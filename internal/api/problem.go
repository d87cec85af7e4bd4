package api

import (
	"encoding/json"
	"net/http"

	"ringdown/internal/problem"
	"ringdown/protocol"
)

func problemOf(status int, e *protocol.Error) problem.Document { return problem.Of(status, e) }

// fail answers with an error. What is not the protocol's is logged and not told.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := protocol.AsError(err)
	if e.Code == protocol.CodeInternal && r.Context().Err() == nil {
		h.opts.Load().Logger.Error("a request failed", "method", r.Method, "pattern", r.Pattern, "error", err)
	}
	problem.Write(w, e.Code.HTTPStatus(), e)
}

// answer writes a JSON document.
func (h *Handler) answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	h.write(w, status, v)
	return nil
}

func (h *Handler) write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// An error is the client's having gone: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
