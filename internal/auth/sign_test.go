package auth

import (
	"maps"
	"strings"
	"testing"
)

func TestSignAndVerify(t *testing.T) {
	for algorithm := range methods {
		t.Run(algorithm, func(t *testing.T) {
			private, public := keysFor(t, algorithm)
			private.Audience, private.Issuer, private.KeyID = "shop", "https://id.example", "k1"
			public.Audience, public.Issuer, public.KeyID = "shop", "https://id.example", "k1"
			claims := ann()
			before := maps.Clone(claims)
			token := sign(t, private, claims)
			if !maps.Equal(claims, before) {
				t.Errorf("Sign changed the claims to %v", claims)
			}
			who, err := verifier(t, public).Token(t.Context(), token)
			if err != nil || who.User != "ann" || who.Expires.Unix() != claims["exp"] {
				t.Fatalf("%+v, %v", who, err)
			}
		})
	}
}

func TestSignKeepsClaims(t *testing.T) {
	k, _ := keysFor(t, "HS256")
	k.Audience, k.Issuer = "shop", "https://id.example"
	claims := ann()
	claims["aud"], claims["iss"] = "chat", "https://other.example"
	token := sign(t, k, claims)
	k.Audience, k.Issuer = "chat", "https://other.example"
	if _, err := verifier(t, k).Token(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestSignRefuses(t *testing.T) {
	private, public := keysFor(t, "ES256")
	secret := []byte(NewSecret())
	for want, k := range map[string]JWT{
		"needs a secret":    {},
		"not both":          {Secret: secret, PrivateKey: private.PrivateKey},
		"at least 32 bytes": {Secret: []byte("short")},
		"is for ES256":      {PrivateKey: private.PrivateKey, Algorithm: "RS256"},
		"is for HS256":      {Secret: secret, Algorithm: "none"},
		"is no private key": {PrivateKey: public.PublicKey},
		"not a key in PEM":  {PrivateKey: []byte("nonsense")},
		"and not a secret":  {Secret: public.PublicKey},
		"the most is 8192":  {Secret: secret, Issuer: strings.Repeat("i", 9000)},
	} {
		if _, err := Sign(k, ann()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, have %v", want, err)
		}
	}
	if _, _, err := NewKeyPair("HS256"); err == nil {
		t.Error("there is a key pair for HS256")
	}
}

func TestNewSecret(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	if a == b || len(a) != 43 || verifyKey(a) != nil || verifySecret([]byte(a)) != nil {
		t.Errorf("%q and %q", a, b)
	}
}
