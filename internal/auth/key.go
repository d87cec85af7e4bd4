package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// methods are the algorithms there are. None of them can be mistaken for
// another: each demands a Go type of key that no other takes.
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256,
	"RS256": jwt.SigningMethodRS256,
	"ES256": jwt.SigningMethodES256,
	"EdDSA": jwt.SigningMethodEdDSA,
}

const algorithmNames = "HS256, RS256, ES256 and EdDSA"

// key verifies signatures of one algorithm.
type key struct {
	id     string // kid, "" if it has none
	method jwt.SigningMethod
	public any // []byte, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey, as method wants it
}

func (k key) verify(t *token) bool {
	return k.method.Verify(t.signed, t.signature, k.public) == nil
}

// publicAlgorithm returns the algorithm that fits a public key.
func publicAlgorithm(public any) (string, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return "", fmt.Errorf("an RSA key needs %d to %d bits, and this has %d", minRSABits, maxRSABits, n)
		}
		if k.E < 3 || k.E&1 == 0 {
			return "", errors.New("the RSA key has an impossible exponent")
		}
		return "RS256", nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return "", fmt.Errorf("an ECDSA key must be on the curve P-256, and this is on %s", k.Curve.Params().Name)
		}
		return "ES256", nil
	case ed25519.PublicKey:
		return "EdDSA", nil
	}
	return "", errors.New("the key is neither RSA nor ECDSA nor Ed25519")
}

// parsePublic reads one public key, or the one in a certificate.
func parsePublic(text []byte) (any, error) {
	block, err := onlyBlock(text)
	if err != nil {
		return nil, err
	}
	switch block.Type {
	case "PUBLIC KEY":
		return quiet(x509.ParsePKIXPublicKey(block.Bytes))
	case "RSA PUBLIC KEY":
		return quiet(x509.ParsePKCS1PublicKey(block.Bytes))
	case "CERTIFICATE":
		c, err := quiet(x509.ParseCertificate(block.Bytes))
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("this is a private key, which this server must not have; give it the public one (openssl pkey -pubout)")
	}
	return nil, errors.New("the PEM block is no public key")
}

// parsePrivate reads one private key.
func parsePrivate(text []byte) (any, error) {
	block, err := onlyBlock(text)
	if err != nil {
		return nil, err
	}
	switch block.Type {
	case "PRIVATE KEY":
		return quiet(x509.ParsePKCS8PrivateKey(block.Bytes))
	case "RSA PRIVATE KEY":
		return quiet(x509.ParsePKCS1PrivateKey(block.Bytes))
	case "EC PRIVATE KEY":
		return quiet(x509.ParseECPrivateKey(block.Bytes))
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("the private key is encrypted; decrypt it first (openssl pkey)")
	}
	return nil, errors.New("the PEM block is no private key")
}

func onlyBlock(text []byte) (*pem.Block, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("this is not a key in PEM (-----BEGIN …)")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("there is more than one key; give each its own entry")
	}
	return block, nil
}

// quiet keeps what a parser says about a key's bytes out of errors.
func quiet[T any](k T, err error) (T, error) {
	if err != nil {
		var none T
		return none, errors.New("the key in the PEM block is damaged or of an unknown kind")
	}
	return k, nil
}
