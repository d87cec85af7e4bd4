package ringdown

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"ringdown/internal/auth"
	"ringdown/protocol"
)

// User is who makes a request, as Options.Authenticate tells it.
type User struct {
	// ID is what rules know as user: 1 to 200 bytes of UTF-8 without control
	// characters.
	ID string
	// Claims are what rules know as claims, and hooks get as Connection.Claims. They
	// are marshalled to JSON. sub is always the ID.
	Claims map[string]any
	// Expires is when connections that were opened with this end: the client comes
	// back, and you are asked again. Zero: never.
	Expires time.Time
}

// authenticate returns the application's way to tell who somebody is, as the rooms
// have it; nil if there is none.
func (s *Server) authenticate() func(*http.Request) (*auth.Identity, error) {
	ask := s.opts.Authenticate
	if ask == nil {
		return nil
	}
	return func(r *http.Request) (*auth.Identity, error) {
		u, err := ask(r)
		if u == nil || err != nil {
			return nil, err
		}
		return u.identity()
	}
}

func (u *User) identity() (*auth.Identity, error) {
	if err := protocol.ValidUser(u.ID); err != nil {
		return nil, notAUser(err)
	}
	claims := maps.Clone(u.Claims)
	if claims == nil {
		claims = map[string]any{}
	}
	claims["sub"] = u.ID
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("ringdown: encoding the claims of user %q: %w", u.ID, err)
	}
	who, err := auth.Assume(payload, "sub")
	if err != nil {
		return nil, notAUser(err)
	}
	who.Expires = u.Expires
	return who, nil
}

// notAUser is not the error as it is, which would reach the client: the application
// said this, and not the client.
func notAUser(err error) error {
	return errors.New("ringdown: Authenticate returned a user that cannot be one: " + err.Error())
}
