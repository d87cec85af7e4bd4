package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Rights are what a user of Redis needs for nodes with the prefix "rd:", as
// docs/clustering.md has them.
var Rights = []string{"~rd:*", "&rd:*", "+@all", "-@admin", "-@dangerous", "+info"}

// Secured is a server that speaks TLS only, and has a user "ringdown" besides
// the one that this package uses.
type Secured struct {
	*Server
	CA string // file of the certificate that its own is signed with
}

// StartSecured starts such a server with a password of its user "ringdown".
func StartSecured(t testing.TB, password string) *Secured {
	t.Helper()
	s := prepare(t, "redis-server")
	s.password = "of-the-tests"
	s.args = append([]string{"--port", "0", "--tls-port", strconv.Itoa(s.Port), "--tls-auth-clients", "no", "--requirepass", s.password,
		"--tls-cert-file", filepath.Join(s.Dir, "cert.pem"), "--tls-key-file", filepath.Join(s.Dir, "key.pem"), "--tls-ca-cert-file", filepath.Join(s.Dir, "ca.pem"),
		"--user", "ringdown", "on", ">" + password}, Rights...)
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: certify(t, s.Dir)}
	s.Run()
	return &Secured{s, filepath.Join(s.Dir, "ca.pem")}
}

// certify writes ca.pem, cert.pem and key.pem for 127.0.0.1 into a directory, and
// returns who trusts them.
func certify(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	signer := newKey(t)
	ca, err := x509.CreateCertificate(rand.Reader, authority, authority, &signer.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	key := newKey(t)
	cert, err := x509.CreateCertificate(rand.Reader, server, authority, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: ca}, "cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return pool
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Trust is the TLS configuration of a client that trusts the server.
func (s *Secured) Trust() *tls.Config { return s.tls.Clone() }
