package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"ringdown/protocol"
)

// Literal takes the segments of a path as they stand. A mux would resolve the
// names . and .. , which are names of channels like others, and send who asks
// for a path with them to another one; so it would with //, which is what is left
// of a name that was not encoded.
func (h *Handler) Literal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw := r.URL.EscapedPath()
		if !strings.Contains(raw, "/.") && !strings.Contains(raw, "//") {
			next.ServeHTTP(w, r)
			return
		}
		parts := strings.Split(raw, "/")
		for i, p := range parts {
			if p == "" && i > 0 && i < len(parts)-1 {
				h.fail(w, r, nothingAt(raw))
				return
			}
			if p == "." || p == ".." {
				parts[i] = strings.ReplaceAll(p, ".", "%2E")
			}
		}
		copied := new(http.Request)
		*copied = *r
		copied.URL = new(url.URL)
		*copied.URL = *r.URL
		copied.URL.RawPath = strings.Join(parts, "/")
		next.ServeHTTP(w, copied)
	})
}

// nothingAt says that there is nothing at a path, and what was perhaps meant.
func nothingAt(raw string) *protocol.Error {
	e := protocol.Errorf(protocol.CodeNotFound, "there is nothing at this address; the API is described at /v1/openapi.json").WithReason("route")
	rest, ok := strings.CutPrefix(raw, "/v1/channels/")
	if !ok || len(raw) > 1000 {
		return e
	}
	// A name with slashes that were not encoded: the last of what a channel has
	// under it says where the name ends.
	parts := strings.Split(rest, "/")
	for end := len(parts) - 1; end >= 2; end-- {
		under := parts[end]
		if under != "messages" && under != "state" && under != "presence" || under != "state" && end < len(parts)-1 {
			continue
		}
		name := strings.ReplaceAll(strings.Join(parts[:end], "%2F"), "%2E", ".")
		if end < len(parts)-1 {
			under += "/" + strings.Join(parts[end+1:], "%2F")
		}
		e.Message = "there is nothing at this address. A channel's name is one segment of the path, so a slash in it is written as %2F: /v1/channels/" + name + "/" + under
		return e
	}
	if len(parts) == 2 && parts[1] == "" || len(parts) == 1 {
		e.Message = "there is nothing at this address. What a channel has is under its name: messages, state, presence, as in /v1/channels/" + parts[0] + "/messages"
	}
	return e
}

// otherMethod answers what a path does not do, and the preflights of browsers.
func (h *Handler) otherMethod(w http.ResponseWriter, r *http.Request, methods []string) {
	if !h.crossOrigin(w, r) {
		return
	}
	w.Header().Set("Allow", strings.Join(append(slices.Clone(methods), "OPTIONS"), ", "))
	if r.Method != http.MethodOptions {
		h.fail(w, r, &httpError{http.StatusMethodNotAllowed, protocol.Errorf(protocol.CodeBadRequest,
			"%.20s is not done here; %s", r.Method, done(methods)).WithReason("method")})
		return
	}
	if r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, "+streamHeader)
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// done says which methods a path has.
func done(methods []string) string {
	if last := len(methods) - 1; last > 0 {
		return strings.Join(methods[:last], ", ") + " and " + methods[last] + " are"
	}
	return methods[0] + " is"
}

// action names a request by its route, which holds nothing of what it is about.
func action(r *http.Request) string {
	if r.Pattern == "" || r.Pattern == "/" {
		return r.Method
	}
	_, route, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		route = r.Pattern
	}
	return r.Method + " " + path.Clean(route)
}

// remote is the address that a request came from.
func remote(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr().Unmap()
}
