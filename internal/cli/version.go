package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"ringdown"
)

// build is what is known of how this program was made.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, with + where it was changed
	Go       string `json:"go"`
	System   string `json:"system"`
	Protocol int    `json:"protocol"`
}

func thisBuild() build {
	b := build{Version: ringdown.Version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Protocol: 1}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				b.Revision = s.Value[:min(12, len(s.Value))] + b.Revision
			case s.Key == "vcs.modified" && s.Value == "true":
				b.Revision += "+"
			}
		}
	}
	return b
}

func versionCommand(g *global) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Example: `  ringdown version
  ringdown version --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if asJSON {
				return g.writeJSON(b)
			}
			fmt.Fprintf(g.streams.Out, "ringdown %s (%s, %s, protocol %d)\n", b.Version, b.Go, b.System, b.Protocol)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}
