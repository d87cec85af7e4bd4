package auth

import (
	"net/http"
	"strings"
)

// subprotocolPrefix begins the Sec-WebSocket-Protocol item that carries a token,
// for browsers, which can set no other header. It is never echoed.
const subprotocolPrefix = "bearer."

// RequestKey finds what may be a server key: the credential of Authorization:
// Bearer alone. Addresses end up in logs and in histories, and a page has no
// business with a server key.
func RequestKey(r *http.Request) (key string, found bool) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	key = strings.Trim(key, " ")
	return key, key != ""
}

// LooksLikeKey reports whether a text is more likely a server key than the name
// of a user: it is as long as a key has to be, and neither an address nor a signed
// token.
func LooksLikeKey(s string) bool {
	return len(s) >= MinKey && !strings.Contains(s, "@") && !LooksSigned(s)
}

// LooksSigned reports whether a text looks like a JSON Web Token.
func LooksSigned(s string) bool { return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 }

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
