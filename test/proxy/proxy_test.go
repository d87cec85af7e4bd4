package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
	"ringdown/test/program"
)

// client is the address that clients come from.
const client = "127.0.0.2"

// proxy is a running one.
type proxy struct {
	t     *testing.T
	base  string // https://…
	web   *http.Client
	nodes [2]*node
}

// snippet is the configuration that docs/transports.md gives for a proxy, with
// the names of the example replaced.
func snippet(t *testing.T, language string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/transports.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```"+language+"\n")
	code, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatalf("docs/transports.md has no %s in it", language)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(code, replace[i]) {
			t.Fatalf("the %s of docs/transports.md does not say %q", language, replace[i])
		}
		code = strings.ReplaceAll(code, replace[i], replace[i+1])
	}
	return code
}

// start runs a proxy in front of two nodes.
func start(t *testing.T, name string, configure func(dir, address string, nodes [2]*node) (args []string)) *proxy {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed")
	}
	shared := redistest.Start(t)
	nodes := [2]*node{newNode(t, shared.Address), newNode(t, shared.Address)}
	dir := t.TempDir()
	pool := certificate(t, dir)
	address := program.FreeAddress(t)
	var said program.Output
	c := exec.Command(name, configure(dir, address, nodes)...)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, base: "https://" + address, nodes: nodes}
	// The clients' address is another one than the proxy's, as it is in the world.
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	p.web = &http.Client{Transport: &http.Transport{DialContext: from.DialContext, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}}
	t.Cleanup(func() {
		p.web.CloseIdleConnections()
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := p.web.Get(p.base + "/livez")
		if err == nil {
			resp.Body.Close()
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", name, err, said.String())
		}
	}
}

// certificate writes a certificate for this machine: cert.pem, key.pem, and
// both.pem with both.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private8 := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": private8, "both.pem": append(bytes.Clone(cert), private8...)} {
		write(t, filepath.Join(dir, name), string(text))
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNginx (A12): every transport works through it, TLS included, configured as
// the documents say.
func TestNginx(t *testing.T) {
	p := start(t, "nginx", func(dir, address string, nodes [2]*node) []string {
		server := snippet(t, "nginx", "listen 443", "listen "+address, "10.0.0.1:8000", nodes[0].addr, "10.0.0.2:8000", nodes[1].addr,
			"/etc/ssl/shop.pem", dir+"/cert.pem", "/etc/ssl/shop.key", dir+"/key.pem", "75s", fmt.Sprint(patience.Seconds(), "s"))
		temp := ""
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temp += kind + "_temp_path " + dir + "/" + kind + ";\n"
		}
		write(t, dir+"/nginx.conf", "daemon off; master_process off; pid "+dir+"/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+temp+server+"\n}\n")
		return []string{"-c", dir + "/nginx.conf", "-p", dir}
	})
	p.everything()
}

// TestHAProxy (A12) is the same.
func TestHAProxy(t *testing.T) {
	p := start(t, "haproxy", func(dir, address string, nodes [2]*node) []string {
		write(t, dir+"/haproxy.cfg", snippet(t, "haproxy", "bind :443", "bind "+address, "10.0.0.1:8000", nodes[0].addr, "10.0.0.2:8000", nodes[1].addr,
			"/etc/ssl/shop-both.pem", dir+"/both.pem", "75s", fmt.Sprint(patience.Seconds(), "s")))
		return []string{"-db", "-f", dir + "/haproxy.cfg"}
	})
	p.everything()
}
