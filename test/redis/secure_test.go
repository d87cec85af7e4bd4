package redis

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"ringdown"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/protocol"
)

// TestSecured: a server reaches a Redis with TLS and users as its configuration
// says, and does not start with a wrong password, which it tells nobody.
func TestSecured(t *testing.T) {
	const secret = "swordfish-0816"
	r := redistest.StartSecured(t, secret)
	options := fmt.Sprintf("addresses: %s, tls: true, ca: 'file:%s', username: ringdown, password: 'env:RINGDOWN_TEST_PASSWORD'", r.Address, r.CA)
	t.Setenv("RINGDOWN_TEST_PASSWORD", secret)
	p := dial(t, serve(t, options))
	p.subscribe("kept:1")
	q := dial(t, serve(t, options))
	at := q.publish("kept:1", "hello")
	if m := p.want("e"); m.Offset != at.Offset {
		t.Errorf("got %s", protocol.AppendJSON(nil, &m))
	}

	t.Setenv("RINGDOWN_TEST_PASSWORD", secret+"x")
	var log bytes.Buffer
	s, err := ringdown.New(ringdown.Options{Config: fmt.Appendf(nil, conf, options), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Start(t.Context())
	if err == nil {
		t.Fatal("it started with a wrong password")
	}
	if !strings.Contains(err.Error(), "does not take this username and password") || strings.Contains(err.Error()+log.String(), secret) {
		t.Errorf("the error is %q, and the log:\n%s", err, log.String())
	}
}
