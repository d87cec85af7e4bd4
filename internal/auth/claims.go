package auth

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringdown/protocol"
)

// claims are the payload of a verified token. Names are compared exactly, which
// decoding into a struct would not do. It implements jwt.Claims.
type claims map[string]json.RawMessage

// parseClaims decodes a payload, which must be an object without duplicates.
func parseClaims(payload []byte) (claims, error) {
	var c claims
	if protocol.ValidJSON(payload) != nil || json.Unmarshal(payload, &c) != nil || c == nil {
		return nil, errPayload
	}
	return c, nil
}

// maxDate is the end of the year 9999. Later dates are milliseconds by mistake,
// with which a token would practically never expire.
const maxDate = 253402300799

// date reads a NumericDate (RFC 7519 §2): seconds since 1970, of which a
// fraction is dropped. Exponents are refused: nobody writes a date so.
func (c claims) date(name string) (*jwt.NumericDate, error) {
	raw, ok := c[name]
	if !ok {
		return nil, nil
	}
	whole, _, _ := strings.Cut(string(raw), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 0 || strings.ContainsAny(string(raw), "eE-") {
		return nil, refuse("the claim %s of the token must be a number of seconds since 1970", name)
	}
	if n > maxDate {
		return nil, refuse("the claim %s of the token is after the year 9999; it must be in seconds, not in milliseconds", name)
	}
	return &jwt.NumericDate{Time: time.Unix(n, 0)}, nil
}

func (c claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.date("exp") }
func (c claims) GetNotBefore() (*jwt.NumericDate, error)      { return c.date("nbf") }
func (c claims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.date("iat") }

func (c claims) GetIssuer() (string, error) {
	s, ok, err := c.text("iss")
	if err != nil || !ok {
		return "", err
	}
	return s, nil
}

func (c claims) GetSubject() (string, error) {
	s, _, err := c.text("sub")
	return s, err
}

func (c claims) GetAudience() (jwt.ClaimStrings, error) {
	raw, ok := c["aud"]
	if !ok {
		return nil, nil
	}
	if one, ok := quoted(raw); ok {
		return jwt.ClaimStrings{one}, nil
	}
	var many []*string
	if json.Unmarshal(raw, &many) != nil || many == nil {
		return nil, errAudForm
	}
	list := make(jwt.ClaimStrings, 0, len(many))
	for _, s := range many {
		if s == nil {
			return nil, errAudForm
		}
		list = append(list, *s)
	}
	return list, nil
}

// text reads a claim that is a string.
func (c claims) text(name string) (value string, found bool, err error) {
	raw, found := c[name]
	if !found {
		return "", false, nil
	}
	s, ok := quoted(raw)
	switch {
	case ok:
		return s, true, nil
	case name == "iss":
		return "", true, errIssuerForm
	}
	return "", true, refuse("the claim %q of the token must be a string", name)
}

// user reads the id of the user. A whole number is taken as its digits, since
// many databases number their users.
func (c claims) user(name string) (string, error) {
	raw, found := c[name]
	if !found {
		return "", refuse("the token has no claim %q, which says who the user is", name)
	}
	if n, err := strconv.ParseUint(string(raw), 10, 64); err == nil && n <= protocol.MaxOffset {
		return string(raw), nil
	}
	s, _, err := c.text(name)
	if err != nil {
		return "", refuse("the claim %q of the token must be a string or a whole number: the id of the user", name)
	}
	if err := protocol.ValidUser(s); err != nil {
		return "", refuse("the claim %q of the token is no id of a user: %s", name, protocol.AsError(err).Message)
	}
	return s, nil
}
