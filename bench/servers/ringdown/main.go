// Command ringdown is Ringdown itself, embedded as a program would embed it, for
// the comparison with its rivals. Like them it has no history (but on kept:…, which
// is for coming back), lets anyone in and
// limits no publisher: the load client publishes thousands of messages per second
// over one connection. All else is as by default, heartbeats included; only the
// scenarios that ask how fast connections can come lift the limit on that.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"time"

	"ringdown"
	"ringdown/bench/internal/host"
)

const configuration = `
auth: {anonymous: true}
limits: {node: {handshakes_per_second: %d}, connection: {messages_per_second: 1000000, messages_burst: 1000000}}
channels:
  - name: bench
    allow: {subscribe: anyone, publish: anyone}
  - name: room:{number}
    allow: {subscribe: anyone, publish: anyone}
  - name: kept:{number}
    history: {messages: 1000}
    allow: {subscribe: anyone, publish: anyone}
`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ringdown:", err)
		os.Exit(1)
	}
}

func run() error {
	handshakes := 2_500 // the default
	if os.Getenv("RINGDOWN_BENCH_SCENARIO") != "recover" {
		handshakes = 1_000_000
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	text := fmt.Sprintf(configuration, handshakes)
	if address := os.Getenv("RINGDOWN_BENCH_REDIS"); address != "" {
		text += "broker: {redis: {addresses: " + strconv.Quote(address) + "}}\n"
	}
	server, err := ringdown.New(ringdown.Options{
		Config:      []byte(text),
		Logger:      log,
		Engine:      os.Getenv("RINGDOWN_BENCH_ENGINE"), // "std" weighs the portable engine
		DrainWindow: time.Millisecond,                   // nobody is to come back
	})
	if err != nil {
		return err
	}
	// As `ringdown serve` does: memory that is reserved and never touched, so that
	// the collector does not run all the time on a heap of a few megabytes.
	reserve := make([]byte, 32<<20)
	defer runtime.KeepAlive(reserve)
	ctx := context.Background()
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = server.Stop(ctx) }()
	return host.Serve(server.Handler())
}
