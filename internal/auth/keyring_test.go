package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseSet(t *testing.T) {
	es, _ := keysFor(t, "ES256")
	rs, _ := keysFor(t, "RS256")
	ed, _ := keysFor(t, "EdDSA")
	good := jwk(t, "1", es)
	with := func(key, field string) string { return strings.Replace(key, "{", "{"+field+",", 1) }
	without := func(key, field string) string { return strings.Replace(key, field, "", 1) }
	for name, c := range map[string]struct {
		set     string
		usable  int
		ignored int
	}{
		"all kinds":             {jwks(good, jwk(t, "2", rs), jwk(t, "3", ed)), 3, 0},
		"without use":           {jwks(without(good, `,"use":"sig"`)), 1, 0},
		"with alg":              {jwks(with(good, `"alg":"ES256"`)), 1, 0},
		"without kid":           {jwks(without(good, `"kid":"1",`)), 1, 0},
		"key_ops verify":        {jwks(with(good, `"key_ops":["verify"]`)), 1, 0},
		"unknown members":       {`{"keys":[` + with(good, `"a":{"b":[1]}`) + `],"b":1}`, 1, 0},
		"certificates":          {jwks(with(good, `"x5c":["AAAA"],"x5u":"http://169.254.169.254/","x5t":"AAAA"`)), 1, 0},
		"some for encryption":   {jwks(good, strings.Replace(good, `"sig"`, `"enc"`, 1)), 1, 1},
		"some for signing only": {jwks(good, with(good, `"key_ops":["sign"]`)), 1, 1},
		"another alg":           {jwks(good, with(good, `"alg":"ES384"`), with(jwk(t, "", rs), `"alg":"PS256"`), with(jwk(t, "", rs), `"alg":"HS256"`)), 1, 3},
		"a secret":              {jwks(good, `{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"s"}`), 1, 1},
		"another curve":         {jwks(good, `{"kty":"EC","crv":"P-521","x":"AAAA","y":"AAAA"}`, `{"kty":"OKP","crv":"X25519","x":"`+strings.Repeat("A", 43)+`"}`), 1, 2},
		"not on the curve":      {jwks(good, `{"kty":"EC","crv":"P-256","x":"`+strings.Repeat("A", 43)+`","y":"`+strings.Repeat("A", 43)+`"}`), 1, 1},
		"a weak key":            {jwks(good, `{"kty":"RSA","n":"`+strings.Repeat("q", 171)+`","e":"AQAB"}`), 1, 1},
		"exponent 1":            {jwks(good, `{"kty":"RSA","n":"`+strings.Repeat("q", 342)+`","e":"AQ"}`), 1, 1},
		"a monstrous key":       {jwks(good, `{"kty":"RSA","n":"`+strings.Repeat("q", 40000)+`","e":"AQAB"}`), 1, 1},
		"odd things":            {jwks(good, `null`, `1`, `"a"`, `[]`, `{}`, `{"kty":1}`, `{"kty":"RSA"}`, `{"kty":"EC","crv":"P-256"}`), 1, 8},
		"a private key":         {jwks(with(good, `"d":"`+strings.Repeat("A", 43)+`"`)), 1, 0},

		"empty":      {`{"keys":[]}`, 0, 0},
		"no keys":    {`{}`, 0, 0},
		"null":       {`null`, 0, 0},
		"a list":     {`[]`, 0, 0},
		"nothing":    {``, 0, 0},
		"cut off":    {jwks(good)[:40], 0, 0},
		"one secret": {jwks(`{"kty":"oct","k":"c2VjcmV0"}`), 0, 1},
	} {
		keys, ignored, err := parseSet([]byte(c.set))
		if len(keys) != c.usable || ignored != c.ignored || (err == nil) != (c.usable > 0) {
			t.Errorf("%s: %d usable, %d ignored, %v", name, len(keys), ignored, err)
		}
	}
	many := make([]string, maxSetKeys+1)
	for i := range many {
		many[i] = jwk(t, fmt.Sprint(i), ed)
	}
	if _, _, err := parseSet([]byte(jwks(many...))); err == nil {
		t.Errorf("%d keys are not too many", len(many))
	}
	if keys, _, err := parseSet([]byte(jwks(many[1:]...))); err != nil || len(keys) != maxSetKeys {
		t.Errorf("%d keys: %v", maxSetKeys, err)
	}
}

// TestTokensWithoutKeyID are tried with a few keys, not with any number.
func TestTokensWithoutKeyID(t *testing.T) {
	var fresh []key
	add := func(algorithm, kid string) JWT {
		signer, text := namedKey(t, algorithm, kid)
		keys, _, err := parseSet([]byte(jwks(text)))
		if err != nil {
			t.Fatal(err)
		}
		fresh = append(fresh, keys...)
		return signer
	}
	now := time.Now()
	ring := func() *keyring { return (&keyring{}).merge(fresh, now, time.Minute) }
	for i := range maxTries {
		add("ES256", fmt.Sprint(i))
	}
	ed := add("EdDSA", "ed")
	ed.KeyID = ""
	parsed, err := parseToken(long(t, ed))
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := ring().find(parsed, now); err != nil || len(keys) != 1 || !keys[0].verify(parsed) {
		t.Errorf("the only key of its algorithm: %d, %v", len(keys), err)
	}
	unnamed := &token{algorithm: "ES256"}
	if keys, err := ring().find(unnamed, now); err != nil || len(keys) != maxTries {
		t.Errorf("as many as are tried: %d, %v", len(keys), err)
	}
	add("ES256", "more")
	if _, err := ring().find(unnamed, now); !errors.Is(err, errNoKeyID) {
		t.Errorf("one more: %v", err)
	}
	if _, err := ring().find(&token{algorithm: "RS256"}, now); !errors.Is(err, errAlgorithm) {
		t.Errorf("no key of the algorithm: %v", err)
	}
	if _, err := ring().find(&token{algorithm: "ES256", kid: "ed", named: true}, now); !errors.Is(err, errAlgorithm) {
		t.Errorf("the named key is for another algorithm: %v", err)
	}
	if keys, err := ring().find(&token{algorithm: "ES256", kid: "more", named: true}, now); err != nil || len(keys) != 1 {
		t.Errorf("the named key: %d, %v", len(keys), err)
	}
}
