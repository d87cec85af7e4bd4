package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ringdown/examples/demo"
	"ringdown/examples/trucks"
)

func demoCommand(g *global) *cobra.Command {
	var o demo.Options
	c := &cobra.Command{
		Use:   "demo [app]...",
		Short: "Serve a gallery of live apps to look at",
		Long: `Serve a gallery of small live apps, from a pet shop to a shared document, with the
configuration file that they run on. Each has a page that explains it. Named apps alone are
served, else all. What they keep stands in the data directory.

Apps: ` + strings.Join(demo.Names(), ", "),
		Example: `  ringdown demo
  ringdown demo shop trucks               # these two alone
  ringdown demo --listen 127.0.0.1:9000 --data /tmp/shop
  ringdown demo --listen 0.0.0.0:8000     # prints an address and a QR code for a phone
  ringdown demo --trucks 50
  RINGDOWN_API_KEY=… ringdown demo`,
		ValidArgs: demo.Names(),
		Args:      cobra.OnlyValidArgs,
		RunE: func(c *cobra.Command, args []string) error {
			log, err := g.logger()
			if err != nil {
				return err
			}
			o.Apps = args
			o.Logger, o.Out, o.APIKey = log, g.streams.Out, os.Getenv("RINGDOWN_API_KEY")
			return demo.Run(c.Context(), o)
		},
	}
	c.Flags().StringVarP(&o.Listen, "listen", "l", "127.0.0.1:8000", "address to listen on")
	c.Flags().StringVar(&o.DataDir, "data", "demo-data", "directory of what the demo keeps")
	c.Flags().IntVar(&o.Trucks, "trucks", trucks.DefaultTrucks, "how many trucks drive about, 1 to 5000")
	_ = c.MarkFlagDirname("data")
	return c
}
