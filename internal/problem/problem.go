// Package problem answers HTTP requests with RFC 9457 problem documents that
// carry the codes of the protocol, and holds the pages that tell about the codes.
package problem

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"ringdown/protocol"
)

// Type is the media type of a document.
const Type = "application/problem+json"

// Document is a problem. What refused, and what was perhaps meant, is there under
// the same names as in an error message.
type Document struct {
	Type       string        `json:"type"`
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail"`
	Code       protocol.Code `json:"code"`
	Retryable  bool          `json:"retryable"`
	RetryAfter float64       `json:"retry_after,omitempty"` // seconds
	Rule       string        `json:"rule,omitempty"`
	Limit      string        `json:"limit,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	DidYouMean string        `json:"did_you_mean,omitempty"`
	Href       string        `json:"href"`
}

// Of returns the document of an error; status is e.Code.HTTPStatus() where HTTP
// has nothing more exact.
func Of(status int, e *protocol.Error) Document {
	return Document{
		Type: e.Href(), Title: title(e.Code), Status: status, Detail: e.Message, Code: e.Code,
		Retryable: e.Retryable, RetryAfter: float64(milliseconds(e.RetryAfter)) / 1000,
		Rule: e.Rule, Limit: e.Limit, Reason: e.Reason, DidYouMean: e.DidYouMean, Href: e.Href(),
	}
}

func milliseconds(d time.Duration) int64 {
	return int64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}

// JSON returns the text of a document.
func (d Document) JSON() []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(d) // plain values always encode
	return text.Bytes()
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
