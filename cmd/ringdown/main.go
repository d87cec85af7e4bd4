// Command ringdown is the server and its tools. See ringdown --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ringdown/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
