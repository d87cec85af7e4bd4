package stage

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"ringdown/internal/front"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
)

const stopTime = 10 * time.Second

// Part is something that runs beside the HTTP server: it is started before the
// first request and stopped after the last.
type Part interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// Serve listens on address, with the guards of the server towards the network, starts the parts in order, and answers requests
// with h until ctx ends; then it stops everything in reverse. ready is called
// once requests are being answered. A stop that was asked for is not an error.
func Serve(ctx context.Context, address string, h http.Handler, log *slog.Logger, ready func(net.Addr), parts ...Part) (err error) {
	descriptors, err := reactor.RaiseFileLimit()
	if err != nil {
		log.Warn("the limit of open files could not be raised", "error", err)
	}
	web := front.New(front.Options{Descriptors: int(min(descriptors, 1<<30)), Refusals: refusal.NewRecorder(log)})
	if err := web.Listen(ctx, address); err != nil {
		return err
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
			return errors.Join(err, web.Close())
		}
		stops = append(stops, part.Stop)
	}
	web.Serve(web.Handler(h), log)
	stops = append(stops, func(ctx context.Context) error {
		_, err := web.Stop(ctx)
		return err
	})
	ready(web.Addrs()[0])
	<-ctx.Done()
	return nil // what went wrong, if anything, comes from stopping
}
