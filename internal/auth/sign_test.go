package auth

import (
	"strings"
	"testing"
	"time"
)

func TestSignAndVerify(t *testing.T) {
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			private, public := keysFor(t, algorithm)
			v := verifier(t, public)
			who, err := v.Token(t.Context(), sign(t, private, map[string]any{"sub": "ann", "exp": inAnHour()}))
			if err != nil || who.User != "ann" {
				t.Fatalf("%v, %v", who, err)
			}
		})
	}
}

// keysFor makes keys to sign and to verify with.
func keysFor(t testing.TB, algorithm string) (private, public JWT) {
	t.Helper()
	if algorithm == "HS256" {
		k := JWT{Secret: []byte(NewSecret())}
		return k, k
	}
	p, q, err := NewKeyPair(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return JWT{PrivateKey: p}, JWT{PublicKey: q}
}

func inAnHour() int64 { return time.Now().Add(time.Hour).Unix() }

func sign(t testing.TB, k JWT, claims map[string]any) string {
	t.Helper()
	s, err := Sign(k, claims)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verifier(t testing.TB, keys ...JWT) *Verifier {
	t.Helper()
	v, err := New(Options{JWT: keys})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSignRefuses(t *testing.T) {
	private, public := keysFor(t, "ES256")
	for name, k := range map[string]JWT{
		"needs a secret":    {},
		"not both":          {Secret: []byte(NewSecret()), PrivateKey: private.PrivateKey},
		"at least 32 bytes": {Secret: []byte("short")},
		"is for ES256":      {PrivateKey: private.PrivateKey, Algorithm: "RS256"},
		"is no private key": {PrivateKey: public.PublicKey},
		"not a key in PEM":  {PrivateKey: []byte("nonsense")},
		"no secret":         {Secret: public.PublicKey},
		"the most is 8192":  {Secret: []byte(NewSecret()), Issuer: strings.Repeat("i", 9000)},
	} {
		_, err := Sign(k, map[string]any{"sub": "ann"})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("want an error with %q, have %v", name, err)
		}
	}
	if _, _, err := NewKeyPair("HS256"); err == nil {
		t.Error("a key pair for HS256")
	}
}
