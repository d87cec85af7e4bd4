package session

import (
	"context"
	"mime"
	"net/http"

	"ringdown/internal/auth"
	"ringdown/protocol"
)

// Known asks the application who makes a request, for every door: nil when it does
// not know. It is not asked about requests that a page of another site may have
// made a browser send, with the cookies of whoever looks at it. Errors are
// *protocol.Error, or have one.
func (s *Server) Known(ctx context.Context, r *http.Request) (who *auth.Identity, err error) {
	ask := s.opts.Authenticate
	if ask == nil || !s.policy.Load().Origins.Cookies(r) || formLike(r) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.Limits().AuthTimeout)
	defer cancel()
	copied := r.Clone(ctx) // it is the application's, and the body is not
	copied.Body = http.NoBody
	err = s.Guarded(ctx, func(context.Context) (err error) {
		who, err = ask(copied)
		return err
	})
	if err == nil {
		return who, nil
	}
	err = hookError(err)
	if protocol.AsError(err).Code == protocol.CodeUnauthorized {
		s.metrics.TokensRefused.Add(1)
	}
	return nil, err
}

// formLike reports whether a request is one that any page can make a browser send
// without asking first: a POST that is not of JSON.
func formLike(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err != nil || kind != "application/json"
}
