package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"unicode/utf8"

	"ringdown/protocol"
)

// maxIdempotencyKey is how long the header may be: some clients write a digest or
// a path into it.
const maxIdempotencyKey = 255

// dedupeOf returns the idempotency key of a request: that of the body, or the
// header Idempotency-Key.
func dedupeOf(r *http.Request, body string) (string, error) {
	header := r.Header.Get("Idempotency-Key")
	if header == "" || header == body {
		return body, nil
	}
	if body != "" {
		return "", protocol.Errorf(protocol.CodeBadRequest, "dedupe in the body and the header Idempotency-Key are not the same; send one of them")
	}
	if len(header) > maxIdempotencyKey || !utf8.ValidString(header) {
		return "", protocol.Errorf(protocol.CodeBadRequest, "Idempotency-Key has 1 to %d bytes of UTF-8, this one %d bytes", maxIdempotencyKey, len(header))
	}
	if len(header) <= protocol.MaxDedupe {
		return header, nil
	}
	// What is longer than the dedupe of a message goes as its digest.
	sum := sha256.Sum256([]byte(header))
	return "sha256-" + base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
