package ringdown

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringdown/internal/front"
)

// scrapers is how many sockets there may be at the metrics' own address.
const scrapers = 32

// listenMetrics takes the address that the metrics have to themselves, if they do.
func (s *Server) listenMetrics(ctx context.Context) error {
	addr := s.conf.Load().Metrics
	if addr == "" {
		return nil
	}
	f := front.New(front.Options{Policy: front.Policy{Sockets: scrapers, HTTP: scrapers}, Refusals: s.refusals})
	s.running.Push("metrics address", func(context.Context) error { return f.Close() })
	if err := f.Listen(ctx, addr); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	f.Serve(f.Handler(mux), s.log)
	s.running.Push("metrics", func(ctx context.Context) error {
		_, err := f.Stop(ctx)
		return err
	})
	s.metricsAt = f.Addrs()[0]
	s.log.Info("the metrics have an address of their own", "address", s.metricsAt.String())
	return nil
}

// MetricsAddr returns the address that the metrics have to themselves, nil before
// Start or without one.
func (s *Server) MetricsAddr() net.Addr { return s.metricsAt }
