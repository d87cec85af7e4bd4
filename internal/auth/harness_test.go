package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringdown/protocol"
)

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

func ann() map[string]any { return map[string]any{"sub": "ann", "exp": inAnHour()} }

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

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge makes a token of any header and payload, signed with the algorithm that
// is asked for, whatever the header says.
func forge(t testing.TB, algorithm string, k JWT, header, payload string) string {
	t.Helper()
	_, private, err := signingKey(k)
	if err != nil {
		t.Fatal(err)
	}
	signed := encode(header) + "." + encode(payload)
	signature, err := methods[algorithm].Sign(signed, private)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// forgeSecret is forge for HS256 with a secret of any kind.
func forgeSecret(t testing.TB, secret []byte, header, payload string) string {
	t.Helper()
	signed := encode(header) + "." + encode(payload)
	signature, err := jwt.SigningMethodHS256.Sign(signed, secret)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// code returns the code of an error of Token, which must be a *protocol.Error.
func code(t testing.TB, err error) protocol.Code {
	t.Helper()
	e, ok := errors.AsType[*protocol.Error](err)
	if !ok {
		t.Fatalf("%v (%T) is no *protocol.Error", err, err)
	}
	return e.Code
}

// jwk writes the public half of a key to sign with as a JSON Web Key.
func jwk(t testing.TB, kid string, k JWT) string {
	t.Helper()
	_, private, err := signingKey(k)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]string{"kid": kid, "use": "sig"}
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := private.(type) {
	case *rsa.PrivateKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PrivateKey:
		point, err := p.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PrivateKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(p.Public().(ed25519.PublicKey))
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func jwks(keys ...string) string { return fmt.Sprintf(`{"keys":[%s]}`, strings.Join(keys, ",")) }

// roundTrip is a network that is a function.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// noNetwork fails the test when something goes out.
func noNetwork(t testing.TB) *http.Client {
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("a request went out to %s", r.URL.Host)
		return nil, errors.New("no network in this test")
	})}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
