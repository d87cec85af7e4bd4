// Package problem answers HTTP requests with RFC 9457 problem documents that
// carry the codes of the protocol.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"ringdown/protocol"
)

// Type is the media type of a document.
const Type = "application/problem+json"

// Document is a problem.
type Document struct {
	Type      string        `json:"type"`
	Title     string        `json:"title"`
	Status    int           `json:"status"`
	Detail    string        `json:"detail"`
	Code      protocol.Code `json:"code"`
	Retryable bool          `json:"retryable"`
}

// Of returns the document of an error; status is e.Code.HTTPStatus() where HTTP
// has nothing more exact.
func Of(status int, e *protocol.Error) Document {
	return Document{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code, Retryable: e.Retryable}
}

// JSON returns the text of a document.
func (d Document) JSON() []byte {
	text, _ := json.Marshal(d) // plain values always encode
	return text
}

// Header sets what goes with the document of e.
func Header(h http.Header, status int, e *protocol.Error) {
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", Type)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

// Write answers with the document of e.
func Write(w http.ResponseWriter, status int, e *protocol.Error) {
	Header(w.Header(), status, e)
	w.WriteHeader(status)
	// An error is the client's having gone: there is nobody left to tell.
	_, _ = w.Write(Of(status, e).JSON())
}
