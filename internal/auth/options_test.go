package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func pemOf(t testing.TB, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestNewRefuses(t *testing.T) {
	private, public := keysFor(t, "ES256")
	_, other := keysFor(t, "EdDSA")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakDER, err := x509.MarshalPKIXPublicKey(&weak.PublicKey)
	weakPEM := pemOf(t, "PUBLIC KEY", weakDER, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384DER, err := x509.MarshalPKIXPublicKey(&p384.PublicKey)
	p384PEM := pemOf(t, "PUBLIC KEY", p384DER, err)
	block, _ := pem.Decode(public.PublicKey)
	secret := []byte(NewSecret())

	for name, c := range map[string]struct {
		jwt        JWT
		path, want string
	}{
		"nothing":              {JWT{}, "jwt[0]", "exactly one of"},
		"two":                  {JWT{Secret: secret, PublicKey: public.PublicKey}, "jwt[0]", "exactly one of"},
		"three":                {JWT{Secret: secret, PublicKey: public.PublicKey, JWKS: "https://a"}, "jwt[0]", "exactly one of"},
		"only private":         {private, "jwt[0]", "exactly one of"},
		"short secret":         {JWT{Secret: secret[:31]}, "jwt[0].secret", "openssl rand -base64 32"},
		"public key as secret": {JWT{Secret: public.PublicKey}, "jwt[0].secret", "put it under public_key"},
		"with a space before":  {JWT{Secret: append([]byte("  \n"), public.PublicKey...)}, "jwt[0].secret", "put it under public_key"},
		"DER as secret":        {JWT{Secret: block.Bytes}, "jwt[0].secret", "put it under public_key"},
		"PKCS #1 as secret":    {JWT{Secret: x509.MarshalPKCS1PublicKey(&weak.PublicKey)}, "jwt[0].secret", "put it under public_key"},
		"no PEM":               {JWT{PublicKey: secret}, "jwt[0].public_key", "not a key in PEM"},
		"private key":          {JWT{PublicKey: private.PrivateKey}, "jwt[0].public_key", "private key"},
		"two keys":             {JWT{PublicKey: append(append([]byte{}, public.PublicKey...), other.PublicKey...)}, "jwt[0].public_key", "its own entry"},
		"damaged":              {JWT{PublicKey: pemOf(t, "PUBLIC KEY", block.Bytes[:40], nil)}, "jwt[0].public_key", "damaged"},
		"other PEM":            {JWT{PublicKey: pemOf(t, "CERTIFICATE REQUEST", block.Bytes, nil)}, "jwt[0].public_key", "no public key"},
		"RSA of 1024 bits":     {JWT{PublicKey: weakPEM}, "jwt[0].public_key", "2048"},
		"P-384":                {JWT{PublicKey: p384PEM}, "jwt[0].public_key", "P-256"},
		"none":                 {JWT{Secret: secret, Algorithm: "none"}, "jwt[0].algorithm", algorithmNames},
		"HS512":                {JWT{Secret: secret, Algorithm: "HS512"}, "jwt[0].algorithm", algorithmNames},
		"RS256 with a secret":  {JWT{Secret: secret, Algorithm: "RS256"}, "jwt[0].algorithm", "HS256, not for RS256"},
		"HS256 with a key":     {JWT{PublicKey: public.PublicKey, Algorithm: "HS256"}, "jwt[0].algorithm", "ES256, not for HS256"},
		"HS256 with a set":     {JWT{JWKS: "https://id.example", Algorithm: "HS256"}, "jwt[0].algorithm", "public keys"},
		"kid with a set":       {JWT{JWKS: "https://id.example", KeyID: "a"}, "jwt[0].key_id", "itself"},
		"http":                 {JWT{JWKS: "http://id.example/jwks"}, "jwt[0].jwks", "use https"},
		"http, almost local":   {JWT{JWKS: "http://localhost.evil/jwks"}, "jwt[0].jwks", "use https"},
		"file":                 {JWT{JWKS: "file:///etc/jwks"}, "jwt[0].jwks", "not a URL"},
		"no host":              {JWT{JWKS: "https://:443/jwks"}, "jwt[0].jwks", "not a URL"},
		"ftp":                  {JWT{JWKS: "ftp://id.example/jwks"}, "jwt[0].jwks", "use https"},
		"userinfo":             {JWT{JWKS: "https://me:secret@id.example/jwks"}, "jwt[0].jwks", "name or password"},
		"fragment":             {JWT{JWKS: "https://id.example/jwks#a"}, "jwt[0].jwks", "fragment"},
		"leeway":               {JWT{Secret: secret, Leeway: 31 * time.Second}, "jwt[0].leeway", "30s"},
	} {
		_, err := New(Options{JWT: []JWT{c.jwt}, HTTP: noNetwork(t)})
		e, ok := errors.AsType[*OptionError](err)
		if !ok || e.Path != c.path || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, hidden := range []string{string(secret[:20]), "me:secret", "MFkw"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%s: the error quotes the value: %v", name, err)
			}
		}
	}
}

func TestNewAccepts(t *testing.T) {
	_, public := keysFor(t, "RS256")
	block, _ := pem.Decode(public.PublicKey)
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pemOf(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(parsed.(*rsa.PublicKey)), nil)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "id"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	for name, j := range map[string]JWT{
		"32 bytes":      {Secret: []byte(strings.Repeat("s", 32))},
		"any bytes":     {Secret: []byte(strings.Repeat("\x00\xff", 16))},
		"PKCS #1":       {PublicKey: pkcs1},
		"certificate":   {PublicKey: pemOf(t, "CERTIFICATE", der, err), Algorithm: "ES256"},
		"http loopback": {JWKS: "http://127.0.0.1:9/jwks"},
		"http ::1":      {JWKS: "http://[::1]:9/jwks", Algorithm: "ES256"},
		"localhost":     {JWKS: "http://localhost/jwks"},
		"leeway":        {Secret: []byte(NewSecret()), Leeway: 30 * time.Second},
	} {
		if _, err := New(Options{JWT: []JWT{j}, HTTP: noNetwork(t)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := verifier(t)
	if !v.Empty() || v.Key("") || v.Key("anything at all") {
		t.Error("a verifier without keys takes something")
	}
	if _, err := v.Token(t.Context(), "a.b.c"); err == nil {
		t.Error("a verifier without keys takes a token")
	}
}

func TestEveryProblemIsTold(t *testing.T) {
	_, err := New(Options{JWT: []JWT{{}, {Secret: []byte("x")}}, Keys: []string{"short", strings.Repeat("k", 16), "with a space in the middle"}})
	for _, path := range []string{"jwt[0]: ", "jwt[1].secret: ", "keys[0]: ", "keys[2]: "} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is not in: %v", path, err)
		}
	}
	if strings.Contains(err.Error(), "keys[1]") || strings.Contains(err.Error(), "middle") {
		t.Error(err)
	}
}

func TestServerKeys(t *testing.T) {
	a, b := NewSecret(), NewSecret()
	v, err := New(Options{Keys: []string{a, b}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{
		a: true, b: true, "": false, a[:16]: false, a + b: false, a + "\x00": false, strings.ToUpper(a): false, " " + a: false, NewSecret(): false,
	} {
		if v.Key(key) != want {
			t.Errorf("a key of %d bytes: %t", len(key), !want)
		}
	}
	if !v.Empty() {
		t.Error("server keys verify tokens")
	}
	for _, key := range []string{"", strings.Repeat("k", 15), strings.Repeat("k", 16) + "\n", "k\tkkkkkkkkkkkkkkkkk", strings.Repeat("ü", 16)} {
		if _, err := New(Options{Keys: []string{key}}); err == nil {
			t.Errorf("%q is taken for a key", key)
		}
	}
}

// TestOptionsDoNotShowSecrets prints options in every way there is.
func TestOptionsDoNotShowSecrets(t *testing.T) {
	secret, key := NewSecret(), NewSecret()
	o := Options{JWT: []JWT{{Secret: []byte(secret)}}, Keys: []string{key}}
	var out strings.Builder
	conf := struct{ Auth Options }{o}
	fmt.Fprintf(&out, "%v %+v %#v %s %v %+v %#v %v %+v\n", o, o, o, o, o.JWT[0], o.JWT[0], o.JWT, conf, &conf)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("options", "o", o, "jwt", o.JWT[0], "list", o.JWT, "conf", conf)
	}
	p, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(p)
	for _, s := range []string{secret, key, fmt.Sprintf("%d", []byte(secret))[1:40]} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%s is in %s", s, &out)
		}
	}
}
