package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringdown"
)

func serveCommand(g *global) *cobra.Command {
	var o ringdown.Options
	var grace time.Duration
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a declared real-time API",
		Long: `Serve the channels that a configuration file declares. SIGHUP reads the file
again and swaps it whole; a bad file keeps the old one and says why. SIGTERM and
Ctrl-C make /readyz fail, tell the clients to come back, and end the server
inside the grace period; a second one cuts off whoever is still there.`,
		Example: `  ringdown serve                  what ./ringdown.yaml declares
  ringdown serve --config ringdown.yaml
  ringdown serve --config ringdown.yaml --listen 127.0.0.1:9000
  ringdown serve --config ringdown.yaml --drain-notice 5s --grace 30s
  ringdown serve --dev            every channel, everybody, on loopback only
  ringdown serve --dev --www .    with the pages of this folder`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.ConfigFile == "" && !o.Dev {
				if !isFile("./" + defaultConfig) {
					return usage("there is no ./%s; name a file with --config, or try things out with --dev\nSee ringdown serve --help", defaultConfig)
				}
				o.ConfigFile = defaultConfig
			}
			if o.DevFiles != "" && !o.Dev {
				return usage("--www is for trying things out, with --dev")
			}
			log, err := g.logger()
			if err != nil {
				return err
			}
			o.Logger = log
			return serve(c.Context(), o, grace)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.ConfigFile, "config", "c", "", "configuration file (default ./ringdown.yaml, but with --dev none)")
	f.BoolVar(&o.Dev, "dev", false, "allow everything to everybody, on loopback only")
	f.StringVar(&o.DevFiles, "www", "", "with --dev: serve the files of `FOLDER` beside the API")
	f.StringVarP(&o.Listen, "listen", "l", "", "address to listen on, in place of the file's (default 127.0.0.1:8000)")
	f.StringVar(&o.Engine, "engine", "", "how connections are driven: epoll or std (default: the best there is)")
	f.DurationVar(&grace, "grace", 15*time.Second, "time to end in after SIGTERM, notice and window included")
	f.DurationVar(&o.DrainNotice, "drain-notice", 0, "time for load balancers to see /readyz fail before clients are sent away")
	f.DurationVar(&o.DrainWindow, "drain-window", 8*time.Second, "time over which clients are sent away; less where there are few")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	_ = c.MarkFlagDirname("www")
	_ = c.RegisterFlagCompletionFunc("engine", words("epoll", "std"))
	return c
}

const defaultListen = "127.0.0.1:8000"

// headroom is memory that is reserved and never touched, so it is never resident.
// The collector waits for garbage in proportion to the heap; the server's is so
// small that a burst of connects would otherwise collect again and again.
const headroom = 32 << 20

func serve(ctx context.Context, o ringdown.Options, grace time.Duration) error {
	// Who sets GOGC has an opinion of their own.
	if os.Getenv("GOGC") == "" {
		reserve := make([]byte, headroom)
		defer runtime.KeepAlive(reserve)
	}
	o.ListenDefault = defaultListen
	srv, err := ringdown.New(o)
	if err != nil {
		return err
	}
	if err := srv.Start(ctx); err != nil {
		return err
	}
	o.Logger.Info("ringdown is listening", "url", urls(srv.Addrs()), "version", ringdown.Version, "pid", os.Getpid())
	reload := make(chan os.Signal, 1)
	notifyReload(reload)
	defer signal.Stop(reload)
	for {
		select {
		case <-reload:
			reloadOnce(srv, o.Logger)
		case <-ctx.Done():
			o.Logger.Info("stopping")
			// Its own deadline: the one that ended is what asked for the stop.
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
			defer cancel()
			defer onSecondSignal(func() {
				o.Logger.Warn("told to stop again: whoever is still there is cut off")
				cancel()
			})()
			return srv.Stop(stopping)
		}
	}
}

// urls says where clients find a server that listens on these addresses.
func urls(addrs []net.Addr) string {
	var list []string
	for _, a := range addrs {
		url := fmt.Sprintf("ws://%s/v1/ws", a)
		if a.Network() == "unix" {
			url = "unix:" + a.String()
		}
		list = append(list, url)
	}
	return strings.Join(list, " ")
}

// onSecondSignal calls fn when the process is told to end once more. What it
// returns ends the watch.
func onSecondSignal(fn func()) (stop func()) {
	again, done := make(chan os.Signal, 1), make(chan struct{})
	notifyStop(again)
	go func() {
		select {
		case <-again:
			fn()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(again)
		close(done)
	}
}

func reloadOnce(srv *ringdown.Server, log *slog.Logger) {
	if err := srv.Reload(); err != nil {
		log.Error("the configuration is bad and was not taken; the old one stays in force", "error", err)
		return
	}
	log.Info("the configuration was read again")
}
