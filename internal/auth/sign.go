package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"

	"github.com/golang-jwt/jwt/v5"

	"ringdown/protocol"
)

// Sign makes a token with the key's Secret (HS256) or PrivateKey, for tests,
// demonstrations and `ringdown token`. KeyID goes into its header, and Audience
// and Issuer into its claims where these do not say otherwise; claims itself is
// not changed. Nothing checks that a verifier would accept the claims.
func Sign(k JWT, claims map[string]any) (string, error) {
	algorithm, private, err := signingKey(k)
	if err != nil {
		return "", err
	}
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return "", fmt.Errorf("the key is for %s, not for %s", algorithm, k.Algorithm)
	}
	all := jwt.MapClaims{}
	if k.Audience != "" {
		all["aud"] = k.Audience
	}
	if k.Issuer != "" {
		all["iss"] = k.Issuer
	}
	maps.Copy(all, claims)
	t := jwt.NewWithClaims(methods[algorithm], all)
	if k.KeyID != "" {
		t.Header["kid"] = k.KeyID
	}
	s, err := t.SignedString(private)
	if err != nil {
		return "", err
	}
	if len(s) > protocol.MaxToken {
		return "", fmt.Errorf("the token would have %d bytes, the most is %d; leave claims out", len(s), protocol.MaxToken)
	}
	return s, nil
}

// signingKey returns the key to sign with and the algorithm that it is for.
func signingKey(k JWT) (algorithm string, private any, err error) {
	switch {
	case len(k.Secret) > 0 && len(k.PrivateKey) > 0:
		return "", nil, errors.New("give either a secret or a private key, not both")
	case len(k.Secret) > 0:
		if e := verifySecret(k.Secret); e != nil {
			e.Path = "secret"
			return "", nil, e
		}
		return "HS256", k.Secret, nil
	case len(k.PrivateKey) > 0:
		if private, err = parsePrivate(k.PrivateKey); err != nil {
			return "", nil, err
		}
		signer, ok := private.(crypto.Signer)
		if !ok {
			return "", nil, errors.New("the private key is not for signatures")
		}
		algorithm, err = publicAlgorithm(signer.Public())
		return algorithm, private, err
	}
	return "", nil, errors.New("signing needs a secret (HS256) or a private key")
}

// NewSecret returns a random secret of 256 bits, written in 43 characters, that
// serves as an HS256 secret and as a server key. Use it as it is, undecoded.
func NewSecret() string {
	var p [32]byte
	_, _ = rand.Read(p[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(p[:])
}

// NewKeyPair makes keys for RS256 (2048 bits), ES256 or EdDSA, in PEM.
func NewKeyPair(algorithm string) (private, public []byte, err error) {
	var k crypto.Signer
	switch algorithm {
	case "RS256":
		k, err = rsa.GenerateKey(rand.Reader, minRSABits)
	case "ES256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, nil, errors.New("there are key pairs for RS256, ES256 and EdDSA")
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	q, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p}), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: q}), nil
}
