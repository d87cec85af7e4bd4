// Package cli is the command line: one file a subcommand, each of which parses
// its flags and calls the room that does the work.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"ringdown"
	"ringdown/internal/telemetry"
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command line and returns the exit code: 0, 1 when the command
// failed, 2 when it was not understood.
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 0
	}
	fmt.Fprintln(s.Err, "ringdown:", err)
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

// usageError is a command line that was not understood.
type usageError struct{ error }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// global is the flags that every command has.
type global struct {
	logLevel, logFormat string
	streams             Streams
}

func newRoot(s Streams) *cobra.Command {
	g := &global{streams: s}
	root := &cobra.Command{
		Use:   "ringdown",
		Short: "A self-hosted real-time API server",
		Long: `Ringdown serves the real-time API that you declare in one file, over plain
WebSocket beside a REST API.`,
		Example: `  ringdown demo                          a pet shop and a chat to look at
  ringdown serve --dev                   try things out, everything allowed
  ringdown serve --config ringdown.yaml  the real thing`,
		Version:       ringdown.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w\nSee %s --help", err, c.CommandPath())
	})
	root.PersistentFlags().StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	root.PersistentFlags().StringVar(&g.logFormat, "log-format", "text", "text or json")
	root.AddCommand(serveCommand(g), demoCommand(g), checkCommand(g), pubCommand(g), subCommand(g), tokenCommand(g), benchCommand(g), storeCommand(g))
	return root
}

func (g *global) logger() (*slog.Logger, error) {
	l, err := telemetry.NewLogger(g.streams.Err, telemetry.LogOptions{Level: g.logLevel, Format: g.logFormat})
	if err != nil {
		return nil, &usageError{err}
	}
	return l, nil
}
