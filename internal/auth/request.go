package auth

import (
	"net/http"
	"strings"
)

// subprotocolPrefix begins the Sec-WebSocket-Protocol item that carries a token,
// for browsers, which can set no other header. It is never echoed.
const subprotocolPrefix = "bearer."

// RequestToken finds the token that came with a request: in ?token=, else in
// Authorization: Bearer (RFC 6750 §2.1), else in the Sec-WebSocket-Protocol item
// bearer.<token>. Of several the first in that order counts; an empty one does
// not. It may be a server key as well: see Verifier.Key.
func RequestToken(r *http.Request) (token string, found bool) {
	if r.URL.RawQuery != "" {
		if t := r.URL.Query().Get("token"); t != "" {
			return t, true
		}
	}
	if scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		if t = strings.Trim(t, " "); t != "" {
			return t, true
		}
	}
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for item := range strings.SplitSeq(line, ",") {
			if t, ok := strings.CutPrefix(strings.Trim(item, " \t"), subprotocolPrefix); ok && t != "" {
				return t, true
			}
		}
	}
	return "", false
}
