package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"ringdown/protocol"
)

// body reads a JSON body of at most limit bytes, checked as messages are: syntax,
// UTF-8, keys that stand there twice, depth.
func body(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	if err := plainJSON(w, r); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, protocol.Errorf(protocol.CodeTooLarge, "the body has more than %d bytes", limit).WithLimit("limits.connection.max_message")
	case err != nil:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the body did not arrive whole").WithReason("body")
	case len(bytes.TrimSpace(text)) == 0:
		return nil, protocol.Errorf(protocol.CodeBadRequest, "the body is empty").WithReason("body")
	}
	for _, mark := range []string{"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF"} {
		if strings.HasPrefix(string(text[:min(3, len(text))]), mark) {
			return nil, protocol.Errorf(protocol.CodeBadRequest, "the body begins with a byte order mark (BOM, % X): send UTF-8 without one", mark).WithReason("body")
		}
	}
	if err := protocol.ValidJSON(text); err != nil {
		return nil, err
	}
	return text, nil
}

// plainJSON refuses bodies that their header says are not JSON as it stands.
func plainJSON(w http.ResponseWriter, r *http.Request) error {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		w.Header().Set("Accept-Encoding", "identity")
		return &httpError{http.StatusUnsupportedMediaType, protocol.Errorf(protocol.CodeBadRequest,
			"bodies are not taken with Content-Encoding: %.40s; send the JSON text itself, without compression", coding).WithReason("content_encoding")}
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return protocol.Errorf(protocol.CodeBadRequest, "the body must be JSON: send Content-Type: application/json").WithReason("content_type")
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return protocol.Errorf(protocol.CodeBadRequest, "the body must be UTF-8, and Content-Type says charset=%.40s", charset).WithReason("content_type")
	}
	return nil
}

// noFields reads the body of a request that says nothing in it: none at all, or an
// object without fields.
func (h *Handler) noFields(w http.ResponseWriter, r *http.Request) error {
	in := bufio.NewReaderSize(r.Body, 16)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return nil
	}
	r.Body = io.NopCloser(in)
	text, err := body(w, r, 1<<10)
	if err == nil {
		_, err = object(text, "")
	}
	return err
}

// otherNames are the names that other services have for our fields.
var otherNames = map[string]string{
	"event": "type", "name": "type", "kind": "type", "action": "type",
	"text": "data", "payload": "data", "message": "data", "body": "data", "content": "data", "value": "data", "base64": "data64",
	"topic": "channel", "room": "channel", "channels": "channel",
	"idempotency_key": "dedupe", "idempotencyKey": "dedupe", "id": "dedupe",
	"events": "messages", "batch": "messages", "items": "messages",
}

// object takes a JSON object apart. Its names are exactly those that are known: a
// field with another name would be dropped in silence, and the message go out
// without it. where says which object it is when there are several.
func object(text []byte, where string, known ...string) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return nil, protocol.Errorf(protocol.CodeBadRequest, "%s must be an object with %s", subject(where), listed(known)).WithReason("body")
	}
	var strange []string
	for name := range fields {
		if !slices.Contains(known, name) {
			strange = append(strange, name)
		}
	}
	if len(strange) == 0 {
		return fields, nil
	}
	name := slices.Min(strange)
	e := protocol.Errorf(protocol.CodeBadRequest, "%s has a field %q, and it can have %s", subject(where), shorten(name), listed(known)).WithReason("field")
	if e.DidYouMean = suggest(name, known); e.DidYouMean != "" {
		e.Message += "; did you mean " + e.DidYouMean + "?"
		if e.DidYouMean == "data" && fields["data"] != nil {
			e.Message += " What the application says goes inside data"
		}
	}
	return nil, e
}

func listed(known []string) string {
	if len(known) == 0 {
		return "no fields"
	}
	return strings.Join(known, ", ")
}

func subject(where string) string {
	if where == "" {
		return "the body"
	}
	return where
}

// shorten keeps a client's own text from filling its answer.
func shorten(s string) string { return strings.ToValidUTF8(s[:min(40, len(s))], "") }

// suggest guesses which field was meant.
func suggest(name string, known []string) string {
	if m := otherNames[name]; m != "" && slices.Contains(known, m) {
		return m
	}
	for _, k := range known {
		if strings.EqualFold(k, name) || near(k, name) {
			return k
		}
	}
	return ""
}

// near reports whether two names are one edit apart: a byte more, less, another,
// or two that changed places.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 || len(a) < 3 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return i == len(a) || a[i+1:] == b[i+1:] ||
		i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// text reads a field that is a string.
func text(fields map[string]json.RawMessage, where, name string, into *string) error {
	value := fields[name]
	if len(value) == 0 {
		return nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		if where != "" {
			where += "."
		}
		return protocol.Errorf(protocol.CodeBadRequest, "field %s%s must be a string", where, name).WithReason("field")
	}
	return nil
}
