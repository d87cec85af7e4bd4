package reactor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// certificate is made once: making one takes a while.
var certificate = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

func tlsPair(t *testing.T) (client, server *tls.Conn) {
	c, s := pair(t)
	client = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	server = tls.Server(s, certificate())
	failed := make(chan error, 1)
	go func() { failed <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, "the handshake", failed); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestTLS: a loop drives TLS beside bare sockets, in the same way.
func TestTLS(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		bare, bareServer := pair(t)
		hb := newHooks()
		hb.data = func(c *Conn, p []byte) { c.Send(p) }
		add(t, e, bareServer, hb, "")

		client, server := tlsPair(t)
		h := newHooks()
		h.data = func(c *Conn, p []byte) { c.Send(p) }
		c := add(t, e, server, h, "")
		sent := bytes.Repeat([]byte("hello, hello "), 100_000)
		go func() { _, _ = client.Write(sent) }()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, sent) {
			t.Fatal("the echo is another:", err)
		}
		on(t, c.Loop(), func() {
			if c.RemoteAddr() != client.LocalAddr().(*net.TCPAddr).AddrPort() {
				t.Errorf("remote address %s", c.RemoteAddr())
			}
			if c.Dead() {
				t.Error("dead")
			}
			c.Share(sent)
			c.CloseAfterFlush(inVain)
		})
		if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("the last words were %d bytes, not %d; %v", len(got), len(sent), err)
		}
		client.Close()
		if err := wait(t, "Closed", h.closed); err != io.EOF {
			t.Error(err)
		}
		if _, err := bare.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(bare, make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// TestTLSPeerThatDoesNotRead: closing does not wait for it, nor does Stop.
func TestTLSPeerThatDoesNotRead(t *testing.T) {
	drivers(t, func(t *testing.T, e *Engine) {
		for _, grace := range []time.Duration{0, time.Millisecond, time.Hour} {
			_, server := tlsPair(t)
			h := newHooks()
			c := add(t, e, server, h, "")
			on(t, c.Loop(), func() {
				c.Share(make([]byte, 64<<20))
				if !c.Blocked() || c.Pending() == 0 {
					t.Error("not blocked")
				}
				if grace > 0 {
					c.CloseAfterFlush(grace)
				} else {
					c.Close(nil)
				}
			})
			if grace < time.Hour {
				wait(t, "Closed", h.closed)
			}
		}
		stop(t, e)
	})
}
