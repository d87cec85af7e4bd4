package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringdown/internal/store"
)

func storeCommand(g *global) *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Look at, verify and back up the store of a server that is stopped",
		Long: `Look at what a server keeps in the directory of its store (store.dir in the
configuration). The server must be stopped: a store is open in one place only.`,
		Example: `  ringdown store inspect ./data
  ringdown store verify ./data
  ringdown store backup ./data /backups/monday`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },

		SuggestionsMinimumDistance: 2,
	}
	c.PersistentFlags().Bool("json", false, "print the result as JSON")
	c.AddCommand(inspectCommand(g), verifyCommand(g), backupCommand(g))
	return c
}

func (g *global) storeOptions(dir string) (store.Options, error) {
	log, err := g.logger()
	return store.Options{Dir: dir, Logger: log}, err
}

// wantsJSON reports whether a store command was told --json.
func wantsJSON(c *cobra.Command) bool {
	v, _ := c.Flags().GetBool("json") // every command of the store has it
	return v
}

// inspected is what --json prints of a store.
type inspected struct {
	Store    string        `json:"store"`
	Epoch    string        `json:"epoch"`
	Clean    bool          `json:"clean"`
	Fsync    store.Fsync   `json:"fsync"`
	Channels uint64        `json:"channels"`
	Batches  uint64        `json:"batches"`
	Journal  int           `json:"journal"`
	Bytes    uint64        `json:"bytes"`
	List     []storedState `json:"list,omitempty"`
}

type storedState struct {
	Name   string    `json:"name"`
	Head   uint64    `json:"head"`
	Kept   uint64    `json:"kept"`
	Keys   uint64    `json:"keys"`
	Bytes  uint64    `json:"bytes"`
	Newest time.Time `json:"newest"`
}

func inspectedOf(dir string, i store.Info) inspected {
	return inspected{Store: dir, Epoch: i.Epoch, Clean: i.Clean, Fsync: i.Fsync, Channels: i.Channels, Batches: i.LSN, Journal: i.Journal, Bytes: i.Bytes}
}

func inspectCommand(g *global) *cobra.Command {
	var channels bool
	var prefix string
	c := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Say what is in a store",
		Long: `Say what is in a store: its epoch, how it was closed, how many channels it has,
and with --channels where each of them stands. Nothing is changed. Exits with 1
if the store cannot be read.`,
		Example: `  ringdown store inspect ./data
  ringdown store inspect ./data --channels --prefix chat:
  ringdown store inspect ./data --channels --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDirectory,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := g.storeOptions(args[0])
			if err != nil {
				return err
			}
			var each func(store.ChannelInfo) error
			var list []storedState
			switch {
			case channels && wantsJSON(c):
				each = func(i store.ChannelInfo) error {
					if strings.HasPrefix(i.Name, prefix) {
						list = append(list, storedState{i.Name, i.Head, i.Kept(), i.Keys, i.Bytes, i.Time.UTC()})
					}
					return nil
				}
			case channels:
				fmt.Fprintf(g.streams.Out, "%-40s %12s %10s %10s %12s  %s\n", "channel", "head", "kept", "keys", "bytes", "newest")
				each = func(i store.ChannelInfo) error {
					if strings.HasPrefix(i.Name, prefix) {
						fmt.Fprintf(g.streams.Out, "%-40s %12d %10d %10d %12d  %s\n", i.Name, i.Head, i.Kept(), i.Keys, i.Bytes, i.Time.UTC().Format(time.RFC3339))
					}
					return nil
				}
			}
			info, err := store.Inspect(c.Context(), o, each)
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				out := inspectedOf(args[0], info)
				out.List = list
				return g.writeJSON(out)
			}
			g.printInfo(args[0], info)
			return nil
		},
	}
	c.Flags().BoolVar(&channels, "channels", false, "list the channels")
	c.Flags().StringVar(&prefix, "prefix", "", "list only channels whose names begin so")
	return c
}

func (g *global) printInfo(dir string, i store.Info) {
	ended := "not closed; what is in the journal is read at the next start"
	if i.Clean {
		ended = "closed"
	}
	fmt.Fprintf(g.streams.Out, "store     %s\nepoch     %s\nended     %s\nfsync     %s\nchannels  %d\nbatches   %d, and %d in the journal\ndatabase  %d bytes\n",
		dir, i.Epoch, ended, i.Fsync, i.Channels, i.LSN, i.Journal, i.Bytes)
}

func verifyCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Read a whole store and say what is damaged",
		Long: `Read everything in a store, check every checksum, and hold the channels, their
messages and their states against each other. Nothing is changed. Exits with 1 if
anything is damaged or missing.`,
		Example: `  ringdown store verify ./data
  ringdown store verify ./data --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeDirectory,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := g.storeOptions(args[0])
			if err != nil {
				return err
			}
			last := time.Now()
			r, err := store.Verify(c.Context(), o, func(values uint64) {
				if time.Since(last) > time.Second {
					last = time.Now()
					fmt.Fprintf(g.streams.Err, "%d values read\n", values)
				}
			})
			if err != nil {
				return err
			}
			if wantsJSON(c) {
				return g.verifiedJSON(args[0], r)
			}
			for _, d := range r.Damage {
				fmt.Fprintln(g.streams.Out, "damage:", d)
			}
			if n := len(r.Damage); n > 0 {
				return fmt.Errorf("%s is damaged in %s", args[0], count(n, "place"))
			}
			g.printInfo(args[0], r.Info)
			fmt.Fprintf(g.streams.Out, "all is well: %s and %s of states, in %s\n", count(r.Messages, "message"), count(r.Keys, "key"), count(r.Values, "value"))
			return nil
		},
	}
}

// verifiedJSON prints what was found, damage too, and fails if there is some.
func (g *global) verifiedJSON(dir string, r store.Report) error {
	out := struct {
		inspected
		Values   uint64   `json:"values"`
		Messages uint64   `json:"messages"`
		Keys     uint64   `json:"keys"`
		Damage   []string `json:"damage"`
	}{inspectedOf(dir, r.Info), r.Values, r.Messages, r.Keys, []string{}}
	for _, d := range r.Damage {
		out.Damage = append(out.Damage, d.Error())
	}
	if err := g.writeJSON(out); err != nil {
		return err
	}
	if len(r.Damage) > 0 {
		return errSaid
	}
	return nil
}

func backupCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "backup DIR NEW",
		Short: "Copy a store into a new directory",
		Long: `Copy a store into a new directory, and read the copy to verify it. On the same
file system the files are linked and take no room. A server that is started on the
copy begins a new epoch: clients that come back are told that messages may be
missing. To copy the store of a running server, call Server.Backup in a program
that embeds it.`,
		Example: `  ringdown store backup ./data /backups/monday`,
		Args:    cobra.ExactArgs(2),

		ValidArgsFunction: completeDirectory,
		RunE: func(c *cobra.Command, args []string) error {
			o, err := g.storeOptions(args[0])
			if err != nil {
				return err
			}
			return g.backup(c.Context(), o, args[1], wantsJSON(c))
		},
	}
}

func (g *global) backup(ctx context.Context, o store.Options, dst string, asJSON bool) (err error) {
	// What is not there is not made, which opening it to write would do.
	info, err := store.Inspect(ctx, o, nil)
	if err != nil {
		return err
	}
	o.Fsync = info.Fsync
	s, err := store.Open(o)
	if err != nil {
		return err
	}
	fmt.Fprintln(g.streams.Err, "copying")
	err = s.Backup(ctx, dst)
	if err = errors.Join(err, s.Close(ctx)); err != nil {
		return err
	}
	fmt.Fprintln(g.streams.Err, "verifying the copy")
	r, err := store.Verify(ctx, store.Options{Dir: dst, Logger: o.Logger}, nil)
	if err != nil {
		return err
	}
	if len(r.Damage) > 0 {
		return fmt.Errorf("the copy is damaged, and so may be what it was made of: %w", r.Damage[0])
	}
	if asJSON {
		return g.writeJSON(map[string]any{"store": o.Dir, "copy": dst, "channels": r.Channels, "messages": r.Messages})
	}
	fmt.Fprintf(g.streams.Out, "copied %s with %s to %s\n", count(r.Channels, "channel"), count(r.Messages, "message"), dst)
	return nil
}
