// Package cli is the command line: one file a subcommand, each of which parses
// its flags and calls the room that does the work.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"ringdown"
	"ringdown/internal/config"
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
	root, g := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 0
	}
	if errors.Is(err, errSaid) {
		return 1
	}
	fmt.Fprintln(s.Err, "ringdown:", err)
	var usage *usageError
	if errors.As(err, &usage) || !g.begun {
		return 2
	}
	return 1
}

// errSaid ends a command with 1 that has said all there is to say.
var errSaid = errors.New("said already")

// usageError is a command line that was not understood.
type usageError struct{ error }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// global is the flags that every command has.
type global struct {
	logLevel, logFormat string
	streams             Streams
	// begun: the command line was understood, and a command runs.
	begun bool
}

func newRoot(s Streams) (*cobra.Command, *global) {
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
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w\nSee %s --help", err, c.CommandPath())
	})
	root.PersistentFlags().StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	root.PersistentFlags().StringVar(&g.logFormat, "log-format", "text", "text or json")
	_ = root.RegisterFlagCompletionFunc("log-level", words("debug", "info", "warn", "error"))
	_ = root.RegisterFlagCompletionFunc("log-format", words("text", "json"))
	root.AddCommand(serveCommand(g), demoCommand(g), checkCommand(g), typesCommand(g), pubCommand(g), subCommand(g), tokenCommand(g), benchCommand(g), storeCommand(g), versionCommand(g))
	g.noteBegin(root)
	return root, g
}

// noteBegin notes of c and the commands under it when they run: what fails
// before that is a command line that was not understood.
func (g *global) noteBegin(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			g.begun = true
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		g.noteBegin(sub)
	}
}

// days is a duration flag that knows days too: 90s, 1h30m, 7d.
type days time.Duration

func (d *days) String() string { return time.Duration(*d).String() }
func (d *days) Type() string   { return "duration" }
func (d *days) Set(s string) error {
	v, err := config.ParseDuration(s)
	if err != nil {
		return errors.New("write a number and its unit, as in 30s, 5m, 12h or 7d")
	}
	*d = days(v)
	return nil
}

// count writes a number and what there is of it: 1 channel, 2 channels.
func count[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (g *global) logger() (*slog.Logger, error) {
	l, err := telemetry.NewLogger(g.streams.Err, telemetry.LogOptions{Level: g.logLevel, Format: g.logFormat})
	if err != nil {
		return nil, &usageError{err}
	}
	return l, nil
}
