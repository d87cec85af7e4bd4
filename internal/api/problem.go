package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"ringdown/protocol"
)

// problem is RFC 9457 with the protocol's code.
type problem struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail"`
	Code      protocol.Code `json:"code"`
	Retryable bool          `json:"retryable"`
}

func problemOf(status int, e *protocol.Error) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code, Retryable: e.Retryable}
}

// fail answers with an error. What is not the protocol's is logged and not told.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := protocol.AsError(err)
	if e.Code == protocol.CodeInternal && r.Context().Err() == nil {
		h.opts.Load().Logger.Error("a request failed", "method", r.Method, "pattern", r.Pattern, "error", err)
	}
	if e.Code == protocol.CodeUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	h.problem(w, e.Code.HTTPStatus(), e)
}

func (h *Handler) problem(w http.ResponseWriter, status int, e *protocol.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	h.write(w, status, problemOf(status, e))
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
