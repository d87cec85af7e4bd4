package stage

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"ringdown/protocol"
)

// Detailed is an error that has more to say than a sentence: its fields become
// members of the problem document, so that a program can act on them.
type Detailed interface {
	error
	Details() map[string]any
}

// Reply writes v as JSON.
func Reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		Refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// Refuse writes err as a problem document (RFC 9457). Errors that are not a
// *protocol.Error become a neutral 500: what went wrong inside is not for
// strangers.
func Refuse(w http.ResponseWriter, err error) {
	e := protocol.AsError(err)
	status := e.Code.HTTPStatus()
	problem := map[string]any{
		"type":   "about:blank",
		"title":  http.StatusText(status),
		"status": status,
		"code":   e.Code,
		"detail": e.Message,
	}
	if d, ok := errors.AsType[Detailed](err); ok {
		for name, value := range d.Details() {
			problem[name] = value
		}
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	body, err := json.Marshal(problem)
	if err != nil {
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal"}`)
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// ReadJSON decodes the body of r into v: one JSON value of at most limit
// bytes, without fields that v does not have. Errors are *protocol.Error.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind != "application/json" && kind != "application/x-www-form-urlencoded" {
		// curl -d says x-www-form-urlencoded without being asked; the body decides.
		return protocol.Errorf(protocol.CodeBadRequest, "the body must be application/json, not %s", kind)
	}
	return DecodeJSON(http.MaxBytesReader(w, r.Body, limit), v)
}

// DecodeJSON decodes exactly one JSON value without unknown fields.
func DecodeJSON(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, extra := d.Token(); extra == io.EOF {
			return nil
		}
		return protocol.Errorf(protocol.CodeBadRequest, "the body must be one JSON value and nothing after it")
	}
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return protocol.Errorf(protocol.CodeTooLarge, "the body may be %d bytes at most", big.Limit)
	}
	if errors.Is(err, io.EOF) {
		return protocol.Errorf(protocol.CodeBadRequest, "the body is empty: send a JSON object")
	}
	return protocol.Errorf(protocol.CodeBadRequest, "the body is not the JSON expected here: %v", err)
}
