package client

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// TokenReason says why a token is asked for.
type TokenReason string

const (
	TokenConnect   TokenReason = "connect"
	TokenReconnect TokenReason = "reconnect"
	TokenExpiring  TokenReason = "expiring"
	TokenExpired   TokenReason = "expired"
	TokenRefused   TokenReason = "refused"
)

// TokenFunc answers with a token. It is asked before every opening of a line, and before
// a token expires. ctx ends when the answer would come too late.
type TokenFunc func(ctx context.Context, reason TokenReason) (string, error)

// settings are what the client goes by; the figures of docs/writing-a-client.md.
type settings struct {
	token      TokenFunc
	fixed      string
	onState    func(StateChange)
	log        *slog.Logger
	transports []transport
	random     func() float64   // from 0 to 1
	now        func() time.Time // of the wall, for the other clock may stand still in sleep

	openTimeout, tokenTimeout, bufferedTimeout, probeTimeout time.Duration
	silence, watch, backoffBase, backoffCap, healthy         time.Duration
	betterAfter, betterCap                                   time.Duration
	publishTimeout, ackTimeout, callTimeout, requestTimeout  time.Duration
	outboxMessages, outboxBytes, pipeline, buffer            int
}

func defaults() settings {
	return settings{
		log: slog.New(slog.DiscardHandler), random: rand.Float64, now: func() time.Time { return time.Now().Round(0) }, transports: transports(http.DefaultClient, false),
		openTimeout: 10 * time.Second, tokenTimeout: 10 * time.Second, bufferedTimeout: 5 * time.Second, probeTimeout: 3 * time.Second,
		silence: 15 * time.Second, watch: 5 * time.Second, backoffBase: 500 * time.Millisecond, backoffCap: 20 * time.Second, healthy: 30 * time.Second,
		betterAfter: time.Minute, betterCap: 10 * time.Minute,
		publishTimeout: 2 * time.Minute, ackTimeout: 10 * time.Second, callTimeout: 10 * time.Second, requestTimeout: 10 * time.Second,
		outboxMessages: 1000, outboxBytes: 1 << 20, pipeline: 1, buffer: 1024,
	}
}

// Option changes how a client goes about it.
type Option func(*settings)

// WithToken has the client sign in with what fn answers. Without a token it is anonymous.
func WithToken(fn TokenFunc) Option { return func(s *settings) { s.token = fn } }

// WithFixedToken has the client sign in with one token; if it is refused, the client closes.
func WithFixedToken(token string) Option { return func(s *settings) { s.fixed = token } }

// WithStateHandler has fn called at each change of the connection's state, in their
// order, by one goroutine.
func WithStateHandler(fn func(StateChange)) Option { return func(s *settings) { s.onState = fn } }

// WithLogger has changes of state logged at debug.
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// WithHTTPClient has all requests and handshakes made by h: for its proxy, its
// certificates, its dialer. A Timeout of its own would end streams.
func WithHTTPClient(h *http.Client) Option {
	return func(s *settings) { s.transports = transports(h, false) }
}

// WithProtobuf has frames of a WebSocket in Protobuf.
func WithProtobuf() Option {
	return func(s *settings) { s.transports = transports(http.DefaultClient, true) }
}

// WithTransports has the client use only these of websocket, sse and poll, the best first.
func WithTransports(names ...string) Option {
	return func(s *settings) {
		var chosen []transport
		for _, name := range names {
			for _, t := range s.transports {
				if t.name() == name {
					chosen = append(chosen, t)
				}
			}
		}
		s.transports = chosen
	}
}

// WithBackoff has the delay before another attempt drawn below base, which doubles up to
// most. Default 0.5 s and 20 s.
func WithBackoff(base, most time.Duration) Option {
	return func(s *settings) { s.backoffBase, s.backoffCap = base, most }
}

// WithPipeline lets n publications of one channel be under way at a time. More than the
// one of the default may change their order when one is refused.
func WithPipeline(n int) Option { return func(s *settings) { s.pipeline = max(n, 1) } }

// WithOutbox bounds the publications that wait for their acknowledgement, and the bytes
// of their data. Default 1,000 and 1 MiB.
func WithOutbox(messages, bytes int) Option {
	return func(s *settings) { s.outboxMessages, s.outboxBytes = messages, bytes }
}
