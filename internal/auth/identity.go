package auth

import (
	"cmp"
	"encoding/json"
	"time"
)

// Identity is who a token says somebody is. It is immutable.
type Identity struct {
	User    string          // valid by protocol.ValidUser
	Claims  json.RawMessage // the payload of the token, a JSON object
	Expires time.Time       // exp, without the leeway; zero for never
	Leeway  time.Duration   // how much longer a token is good that was let in after it expired
	Caps    Capabilities    // from the claim "ringdown", nil without it
	// Server: it is a server key, which no rule is asked about and which is nobody's.
	Server bool
}

// Assume returns who a token with these claims would say somebody is, without
// any token: for explaining decisions, never for a client. userClaim is as in
// JWT.
func Assume(payload json.RawMessage, userClaim string) (*Identity, error) {
	c, err := parseClaims(payload)
	if err != nil {
		return nil, err
	}
	return c.identity(payload, cmp.Or(userClaim, "sub"))
}

// identity reads who the claims are about, and what they grant.
func (c claims) identity(payload json.RawMessage, userClaim string) (*Identity, error) {
	user, err := c.user(userClaim)
	if err != nil {
		return nil, err
	}
	who := &Identity{User: user, Claims: payload}
	if raw, ok := c[capabilityClaim]; ok {
		if who.Caps, err = parseCapabilities(raw); err != nil {
			return nil, err
		}
	}
	return who, nil
}
