package redis

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/internal/broker/redis/redistest"
)

// secret must appear nowhere.
const secret = "swordfish-0815"

// quiet is a log that is read while it is written, and must not have the secret.
type quiet struct {
	mu sync.Mutex
	bytes.Buffer
}

func (q *quiet) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.Buffer.Write(p)
}

func (q *quiet) logger(t *testing.T) *slog.Logger {
	t.Cleanup(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if strings.Contains(q.String(), secret) {
			t.Errorf("the password is in the log:\n%s", q.String())
		}
	})
	return slog.New(slog.NewTextHandler(q, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TestSecured: nodes reach a server that speaks TLS and has users, with no more
// rights than the documentation gives, also after their connections broke.
func TestSecured(t *testing.T) {
	t.Parallel()
	s := redistest.StartSecured(t, secret)
	o := Options{Addresses: []string{s.Address}, TLS: s.Trust(), Username: "ringdown", Password: secret, Logger: new(quiet).logger(t)}
	a, b := join(t, "a", o), join(t, "b", o)
	a.follow("c")
	a.put("c", "a1")
	a.await("c", b.publish("c", "1").Position)
	if err := b.Send(t.Context(), "a", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	s.Do("CLIENT", "KILL", "TYPE", "normal")
	b.eventually("c", "2")
	a.await("c", b.eventually("c", "3").Position)
	// The user is taken its password, and given another: nobody new comes in.
	s.Do("ACL", "SETUSER", "ringdown", "resetpass", ">another")
	s.Do("CLIENT", "KILL", "TYPE", "normal")
	redistest.Await(t, 10*time.Second, "not ready", func() bool { return b.Ready(t.Context()) != nil })
	if o := b.try("c", "4", ""); o.err == nil || strings.Contains(o.err.Error(), secret) {
		t.Errorf("published without the password: %v", o.err)
	}
	s.Do("ACL", "SETUSER", "ringdown", "resetpass", ">"+secret)
	a.await("c", b.eventually("c", "5").Position)
}

// TestRefused: a server that does not let a node in ends its start at once, with
// an error that says why and has no password in it.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := redistest.StartSecured(t, secret)
	s.Do("ACL", "SETUSER", "weak", "on", ">"+secret, "~rd:*", "&rd:*", "+@all", "-eval", "-evalsha")
	plain := redistest.Start(t)
	right := Options{Addresses: []string{s.Address}, TLS: s.Trust(), Username: "ringdown", Password: secret}
	for _, c := range []struct {
		name, want string
		change     func(o *Options)
	}{
		{"wrong password", "does not take this username and password", func(o *Options) { o.Password = secret + "x" }},
		{"wrong user", "does not take this username and password", func(o *Options) { o.Username = "nobody" }},
		{"no password", "wants a password", func(o *Options) { o.Username, o.Password = "", "" }},
		{"too few rights", "NOPERM", func(o *Options) { o.Username = "weak" }},
		{"another authority", "not trusted", func(o *Options) { o.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()} }},
		{"no TLS", "tls: true", func(o *Options) { o.TLS = nil }},
		{"TLS where there is none", "remove tls: true", func(o *Options) { o.Addresses, o.Timeout = []string{plain.Address}, time.Second }},
		{"a password where there is none", "does not take this username and password", func(o *Options) { o.Addresses, o.TLS = []string{plain.Address}, nil }},
		{"no cluster", "no Redis Cluster", func(o *Options) { o.Cluster = true }},
		{"wrong password of a cluster", "does not take this username and password", func(o *Options) { o.Cluster, o.Password = true, "x"+secret }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := right
			o.Logger = new(quiet).logger(t)
			c.change(&o)
			b := open(t, o)
			begun := time.Now()
			err := b.Start(t.Context(), "a", &node{t: t})
			if err == nil {
				t.Fatal("it started")
			}
			if text := fmt.Sprintf("%v %+v", err, err); !strings.Contains(text, c.want) || strings.Contains(text, secret) {
				t.Errorf("the error is %q, which should say %q", text, c.want)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("that took %v", took)
			}
			if err := b.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			redistest.Await(t, 5*time.Second, "no connection is left", func() bool { return !strings.Contains(s.Do("CLIENT", "LIST"), "name=ringdown") })
		})
	}
}
