package auth

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Limits of what can be configured.
const (
	MinSecret  = 32               // bytes of an HS256 secret, as RFC 7518 §3.2 demands
	MinKey     = 16               // bytes of a server key
	MaxLeeway  = 30 * time.Second // how far clocks may be apart, at most and by default
	minRSABits = 2048
	maxRSABits = 8192
)

// Options say which tokens and keys are good.
type Options struct {
	JWT    []JWT            // verifiers of user tokens; a token is good if one of them accepts it
	Keys   []string         // server keys for the REST API, each at least MinKey visible ASCII characters
	Now    func() time.Time // wall clock, for exp, nbf and iat; default time.Now
	HTTP   *http.Client     // fetches key sets, with its own timeout and without redirects; default a new one
	Logger *slog.Logger     // default slog.Default()
}

// JWT says how one kind of token is verified, or made. Exactly one of Secret,
// PublicKey and JWKS is set, or PrivateKey for Sign.
type JWT struct {
	Secret     []byte // for HS256: at least MinSecret bytes, used as they are
	PublicKey  []byte // one key in PEM: RSA of 2048 to 8192 bits, ECDSA on P-256, or Ed25519
	JWKS       string // URL of a JWK set: https, or http on loopback
	PrivateKey []byte // one key in PEM; only Sign uses it

	// Algorithm is HS256, RS256, ES256 or EdDSA; by default what fits the key. A
	// key is never used with another one, whatever a token says. With JWKS it
	// leaves out the keys of other algorithms.
	Algorithm string
	// KeyID, if set, refuses tokens whose header names another key (kid). A token
	// that names none is tried. Sign puts it into the header.
	KeyID string

	Audience  string        // if set, aud must be or contain exactly this
	Issuer    string        // if set, iss must be exactly this
	UserClaim string        // the claim that holds the user's id; default "sub"
	Leeway    time.Duration // how far clocks may be apart: up to MaxLeeway, 0 means MaxLeeway, negative none
}

// What fmt, log/slog and encoding/json show of options never holds a secret.
const hidden = "[auth options]"

func (JWT) String() string                   { return hidden }
func (JWT) GoString() string                 { return hidden }
func (JWT) MarshalText() ([]byte, error)     { return []byte(hidden), nil }
func (Options) String() string               { return hidden }
func (Options) GoString() string             { return hidden }
func (Options) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// problems collects everything that is wrong.
type problems []error

func (p *problems) add(path, what, remedy string) {
	*p = append(*p, &OptionError{path, what, remedy})
}

func (p problems) err() error { return errors.Join(p...) }

const remedySecret = "make one with: openssl rand -base64 32"

// verifySecret says what is wrong with a secret for HS256.
func verifySecret(secret []byte) *OptionError {
	if looksPublic(secret) {
		return &OptionError{What: "this is a key in PEM or DER and not a secret; whoever knows a public key could sign with it",
			Remedy: "put it under public_key"}
	}
	if len(secret) < MinSecret {
		return &OptionError{What: fmt.Sprintf("an HS256 secret needs at least %d bytes, and this has %d, so it could be guessed from a token", MinSecret, len(secret)),
			Remedy: remedySecret}
	}
	return nil
}

// looksPublic recognises what is published and therefore no secret.
func looksPublic(p []byte) bool {
	if bytes.Contains(p, []byte("-----BEGIN ")) {
		return true
	}
	if _, err := x509.ParsePKIXPublicKey(p); err == nil {
		return true
	}
	_, err := x509.ParsePKCS1PublicKey(p)
	return err == nil
}

// verifyKey says what is wrong with a server key.
func verifyKey(key string) *OptionError {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return &OptionError{What: fmt.Sprintf("a server key may hold visible ASCII characters only, and byte %d is none", i),
				Remedy: "look for a space or a line break at its end"}
		}
	}
	if len(key) < MinKey {
		return &OptionError{What: fmt.Sprintf("a server key needs at least %d characters, and this has %d", MinKey, len(key)), Remedy: remedySecret}
	}
	return nil
}

// verifyURL says what is wrong with the URL of a JWK set. Plain http would let
// anybody on the way put in keys of their own.
func verifyURL(raw string) *OptionError {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return &OptionError{What: "this is not a URL", Remedy: "write something like https://id.example/.well-known/jwks.json"}
	case u.User != nil:
		return &OptionError{What: "the URL of a key set may not hold a name or password", Remedy: "key sets are public; serve it without"}
	case u.Fragment != "":
		return &OptionError{What: "the URL has a fragment (#…), which is never sent", Remedy: "leave it out"}
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return &OptionError{What: "keys may only come over https (or over http from this machine itself)", Remedy: "use https"}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// address is the part of a URL that may be logged.
func address(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}
