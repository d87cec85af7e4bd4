// Command shop runs the pet shop on its own: a program of about fifty lines
// around a Ringdown server, its own HTTP routes and its own database.
//
//	RINGDOWN_API_KEY=choose-a-long-one go run ./examples/shop/cmd/shop -listen 127.0.0.1:8000 -data ./shop-data
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"ringdown"
	"ringdown/examples/demo/stage"
	"ringdown/examples/shop"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address to listen on")
	data := flag.String("data", "shop-data", "directory to keep the shop's records in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *data, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, data string, out io.Writer) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	key := cmp.Or(os.Getenv("RINGDOWN_API_KEY"), stage.RandomKey())
	gate, err := stage.OpenGate(data, key)
	if err != nil {
		return err
	}
	server, err := ringdown.New(ringdown.Options{Config: shop.Config, Env: gate.Env})
	if err != nil {
		return err
	}
	pets, err := shop.Open(shop.Options{Dir: data, Gate: gate, Publish: shop.Through(server)})
	if err != nil {
		return err
	}
	pets.Answer(server)

	mux := http.NewServeMux()
	mux.Handle("/", server.Handler())
	mux.Handle("/demo/assets/", stage.Assets())
	mux.HandleFunc("GET /demo/token", gate.ServeToken)
	mux.Handle("GET /{$}", http.RedirectHandler("/shop/", http.StatusFound))
	mux.Handle("GET /demo/assets/served.js", stage.Served("shop"))
	mux.Handle("GET /demo/about/{app}", stage.About())
	pets.Routes(mux)

	ready := func(a net.Addr) { fmt.Fprintf(out, "the shop is open: http://%s/shop/ (API key %s)\n", a, key) }
	return stage.Serve(ctx, listen, mux, slog.Default(), ready, server, pets)
}
