package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"ringdown/internal/config"
)

func checkCommand(g *global) *cobra.Command {
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration file",
		Long: `Read a configuration file with everything it names, and say what is wrong with
it: file, line, what, and the mend. Exits with 1 if there is an error.`,
		Example: `  ringdown check ringdown.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			conf, err := config.Load(args[0], config.LoadOptions{})
			if err != nil {
				return err
			}
			for _, w := range conf.Warnings {
				fmt.Fprintln(g.streams.Err, "warning:", w)
			}
			fmt.Fprintf(g.streams.Out, "%s is good: %d channels declared\n", args[0], len(conf.Channels))
			for _, d := range conf.Table().Declarations() {
				fmt.Fprintf(g.streams.Out, "  %-30s subscribe: %s, publish: %s\n", d.Name, d.Allow.Subscribe, d.Allow.Publish)
			}
			return nil
		},
	}
	return c
}
