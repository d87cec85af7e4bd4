package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const stopTime = 10 * time.Second

// Part is something that runs beside the HTTP server: it is started before the
// first request and stopped after the last.
type Part interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Serve listens on address, starts the parts in order, and answers requests
// with h until ctx ends; then it stops everything in reverse. ready is called
// once requests are being answered. A stop that was asked for is not an error.
func Serve(ctx context.Context, address string, h http.Handler, log *slog.Logger, ready func(net.Addr), parts ...Part) (err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	var stops []func(context.Context) error
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		for i := len(stops) - 1; i >= 0; i-- {
			err = errors.Join(err, stops[i](stop))
		}
	}()
	for _, part := range parts {
		if err := part.Start(ctx); err != nil {
			return errors.Join(err, listener.Close())
		}
		stops = append(stops, part.Stop)
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	ended := make(chan struct{})
	var failure error // read after ended
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failure = err
		}
	}()
	stops = append(stops, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		<-ended
		return errors.Join(err, failure)
	})
	ready(listener.Addr())
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return nil // what went wrong, if anything, comes from stopping
}
