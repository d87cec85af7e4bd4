package proxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"ringdown/internal/api"
	"ringdown/internal/auth"
	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/broker/redis"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/transport/poll"
	"ringdown/internal/transport/sse"
	"ringdown/internal/transport/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "a-secret-of-at-least-thirty-two-bytes!"
	key    = "a-key-of-sixteen-bytes-or-more"
	// beat is the heartbeat of the nodes, and patience after how much silence the
	// proxies hang up.
	beat     = time.Second
	patience = 3 * time.Second
)

// newNode starts a server on a port of its own and returns its address. Redis is
// the address of the one that it shares with others; "" for none.
func newNode(t *testing.T, address string) string {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	anyone := channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}
	table, err := channel.NewTable([]*channel.Declaration{{Name: "orders", History: &channel.History{Messages: 10_000}, Allow: anyone}})
	check(err)
	engine, err := reactor.New(reactor.Options{Logger: log})
	check(err)
	verifier, err := auth.New(auth.Options{JWT: []auth.JWT{{Secret: []byte(secret)}}, Keys: []string{key}, Logger: log})
	check(err)
	var b broker.Broker = memory.New(memory.Options{})
	if address != "" {
		b, err = redis.New(redis.Options{Addresses: []string{address}})
		check(err)
	}
	n := node.New(node.Options{Broker: b, Table: table, Logger: log})
	s := session.New(session.Options{Engine: engine, Node: n, Verifier: verifier, Name: "test", Logger: log,
		Policy: session.Policy{Limits: session.Limits{MessagesPerSecond: 10_000, MessagesBurst: 10_000}, Ping: beat}})
	rest, err := api.New(api.Options{Sessions: s, Metrics: prometheus.NewRegistry(), Ready: n.Ready, Logger: log})
	check(err)
	mux := http.NewServeMux()
	mux.Handle("/", rest)
	mux.Handle("/v1/ws", websocket.New(engine, s, websocket.Options{PingInterval: beat, Logger: log}))
	mux.Handle("/v1/sse", sse.New(engine, s, sse.Options{Heartbeat: beat, Logger: log}))
	mux.Handle("/v1/poll", poll.New(engine, s, poll.Options{}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	for _, start := range []func(context.Context) error{verifier.Start, engine.Start, n.Start} {
		check(start(t.Context()))
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = web.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = web.Close()
		<-served
		for _, stop := range []func(context.Context) error{engine.Stop, s.Stop, n.Stop, verifier.Stop} {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return l.Addr().String()
}
