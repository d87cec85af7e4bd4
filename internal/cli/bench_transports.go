package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringdown"
	"ringdown/internal/auth"
	"ringdown/internal/load"
)

func benchTransportsCommand(g *global) *cobra.Command {
	b := &transportsBench{streams: g.streams}
	c := &cobra.Command{
		Use:   "transports",
		Short: "Measure polls, streams and WebSockets beside each other",
		Long: `Let many users follow one channel on which an update of 128 bytes comes each
second, in one way after the other: by polls each second and each 5 seconds
(REST, with what is behind the last message known), by long-poll, by Server-Sent
Events and by WebSocket. Each user has a connection of its own that stays open,
without TLS, and a token. Each way has a server of its own, started for it.

What is told of each way: requests a second, bytes in each direction and CPU of
the server for each update delivered to a user, delay from when an update was
due until the user had it, what the server has grown by for each user, and how
many updates were not delivered, which should be none. Bytes are those that TCP
carries, without its own headers. CPU is that of the server's process.

A row for polls each 30 seconds is computed from those each second and each 5
seconds. With --rounds all is done again so often; figures are medians then, and
the spread of the CPU is the greatest less the least, to the median.`,
		Example: `  ringdown bench transports
  ringdown bench transports -n 100 --duration 5s
  ringdown bench transports --rounds 3 --html transports.html
  ringdown bench transports --browser --json > transports.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if b.users < 1 || b.users > 19_000 {
				return usage("-n must be from 1 to 19000: a process has only so many descriptors")
			}
			if b.duration < longestPoll || b.duration > time.Hour {
				return usage("--duration must be from %v, so that each user polls, to 1h", longestPoll)
			}
			if b.rounds < 1 || b.rounds > 100 {
				return usage("--rounds must be from 1 to 100")
			}
			return b.run(c.Context())
		},
	}
	f := c.Flags()
	f.IntVarP(&b.users, "users", "n", 1000, "users")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "measured time of each way; best a multiple of 5s")
	f.IntVar(&b.rounds, "rounds", 1, "how often to measure all of it")
	f.BoolVar(&b.browser, "browser", false, "have requests carry the headers that a browser sends, and not the fewest there can be")
	f.StringVar(&b.engine, "engine", "", "engine of the server: epoll or std")
	f.BoolVar(&b.json, "json", false, "print results as JSON")
	f.StringVar(&b.html, "html", "", "write a page with charts to this file")
	_ = c.RegisterFlagCompletionFunc("engine", words("epoll", "std"))
	_ = c.MarkFlagFilename("html", "html")
	return c
}

type transportsBench struct {
	streams  Streams
	users    int
	duration time.Duration
	rounds   int
	browser  bool
	engine   string
	json     bool
	html     string
}

const longestPoll = 5 * time.Second

// followWays are those that are measured. Polls each second come first and polls each
// five seconds second: polls at other periods are computed from these two.
var followWays = []load.Following{
	{Way: load.ShortPoll, Every: time.Second},
	{Way: load.ShortPoll, Every: longestPoll},
	{Way: load.LongPoll},
	{Way: load.SSE},
	{Way: load.WebSocket},
}

// transportsConfig declares the one channel. What it keeps is in memory, so that no
// disk is measured. Users may ask as often as they like.
const transportsConfig = `
auth: {jwt: {secret: env:RINGDOWN_BENCH_SECRET}}
store: {memory: true}
channels:
  - name: ` + load.FollowChannel + `
    history: {messages: 1000}
    allow: {subscribe: signed_in, publish: 'user == "publisher"'}
`

func (b *transportsBench) run(ctx context.Context) error {
	report := &load.WaysReport{
		Date: time.Now().UTC().Format("2006-01-02"), Version: ringdown.Version, Machine: thisMachine(),
		Users: b.users, Payload: load.PayloadBytes, Rounds: b.rounds, Seconds: b.duration.Seconds(), Browser: b.browser,
	}
	results := make([][]*load.Followed, len(followWays))
	for round := range b.rounds {
		for i, f := range followWays {
			title := fmt.Sprintf("[%d/%d] %s", round*len(followWays)+i+1, b.rounds*len(followWays), load.WayName(f.Way, f.Every))
			bar := newProgressBar(b.streams.Err, title)
			r, err := b.one(ctx, f, bar)
			bar.clear()
			if err != nil {
				return fmt.Errorf("%s: %w", load.WayName(f.Way, f.Every), err)
			}
			results[i] = append(results[i], r)
		}
	}
	for _, rounds := range results {
		report.Ways = append(report.Ways, load.Fold(rounds))
	}
	each30 := load.PollEach(30*time.Second, b.users, report.Ways[0], report.Ways[1])
	report.Ways = append(report.Ways[:2], append([]load.Row{each30}, report.Ways[2:]...)...)
	return b.tell(report)
}

func (b *transportsBench) tell(report *load.WaysReport) error {
	if b.html != "" {
		var page bytes.Buffer
		if err := report.WriteHTML(&page); err != nil {
			return err
		}
		if err := os.WriteFile(b.html, page.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if b.json {
		enc := json.NewEncoder(b.streams.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	return report.Table().WriteText(b.streams.Out)
}

// one measures one way on a server that was just started.
func (b *transportsBench) one(ctx context.Context, f load.Following, bar *progressBar) (*load.Followed, error) {
	secret := auth.NewSecret()
	srv, err := startServer(ctx, b.engine, transportsConfig, "RINGDOWN_BENCH_SECRET="+secret)
	if err != nil {
		return nil, err
	}
	defer srv.stop()
	f.Users, f.Duration = b.users, b.duration
	if b.browser {
		f.Headers = load.BrowserHeaders
	}
	expires := time.Now().Add(24 * time.Hour).Unix()
	f.Token = func(user int) (string, error) {
		name := fmt.Sprintf("user-%d", user)
		if user == 0 {
			name = "publisher"
		}
		return auth.Sign(auth.JWT{Algorithm: "HS256", Secret: []byte(secret)}, map[string]any{"sub": name, "exp": expires})
	}
	return load.Follow(ctx, f, load.Target{Name: "ringdown", Addr: srv.addr, PID: srv.cmd.Process.Pid}, bar.show)
}

// thisMachine says what it can of where this runs: on Linux the processor, the kernel
// and how busy the machine is.
func thisMachine() load.Machine {
	m := load.Machine{Processor: runtime.GOARCH, Cores: runtime.NumCPU(), System: runtime.GOOS, Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.Processor = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), ":"))
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System = "Linux " + strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.LoadBefore, _, _ = strings.Cut(string(text), " ")
	}
	return m
}
