package auth

import (
	"encoding/base64"
	"encoding/json"

	"ringdown/protocol"
)

// token is a JWS in compact form (RFC 7515 §7.1), taken apart and not verified.
type token struct {
	algorithm string // as the header says: to be compared, never to be obeyed
	kid       string
	named     bool   // there is a kid
	signed    string // what the signature is over
	payload   string // base64url; decoded only once the signature is verified
	signature []byte
}

// strict is base64url without padding whose last character has no stray bits, so
// that a token has one spelling.
var strict = base64.RawURLEncoding.Strict()

// parseToken takes a token apart. It allocates nothing before it knows the
// token to be small and of three parts.
func parseToken(s string) (*token, error) {
	if len(s) > protocol.MaxToken {
		return nil, refuse("the token has %d bytes, the most is %d", len(s), protocol.MaxToken)
	}
	var dots [2]int
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if n < len(dots) {
				dots[n] = i
			}
			n++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return nil, errShape
		}
	}
	switch n {
	case 2:
	case 4:
		return nil, errEncrypted
	default:
		return nil, errShape
	}
	t := &token{signed: s[:dots[1]], payload: s[dots[0]+1 : dots[1]]}
	header, err := strict.DecodeString(s[:dots[0]])
	if err != nil {
		return nil, errShape
	}
	if t.signature, err = strict.DecodeString(s[dots[1]+1:]); err != nil {
		return nil, errShape
	}
	return t, t.readHeader(header)
}

// readHeader takes alg and kid from the header. The names of other parameters
// are not looked at but for crit, which forbids to ignore what is not known.
func (t *token) readHeader(header []byte) error {
	var h map[string]json.RawMessage
	if protocol.ValidJSON(header) != nil || json.Unmarshal(header, &h) != nil || h == nil {
		return errHeader
	}
	if _, ok := h["crit"]; ok {
		return errCritical
	}
	if _, ok := h["enc"]; ok {
		return errEncrypted
	}
	alg, ok := quoted(h["alg"])
	if !ok {
		return errHeader
	}
	t.algorithm = alg
	if raw, ok := h["kid"]; ok {
		t.named = true
		if t.kid, ok = quoted(raw); !ok {
			return errHeader
		}
	}
	return nil
}

// quoted decodes a JSON string, and only that.
func quoted(raw json.RawMessage) (string, bool) {
	var s *string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// claims decodes the payload. The signature must have been verified before.
func (t *token) claims() (claims, json.RawMessage, error) {
	payload, err := strict.DecodeString(t.payload)
	if err != nil {
		return nil, nil, errShape
	}
	c, err := parseClaims(payload)
	return c, payload, err
}
