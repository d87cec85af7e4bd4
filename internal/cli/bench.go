package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringdown/internal/load"
)

// benchScenarios is what bench runs when it is not told otherwise: each kind of
// load once, the fan-out in the three ways that matter.
var benchScenarios = map[string][]string{
	"idle":   {"idle"},
	"fanout": {"fanout", "burst", "overload"},
	"rooms":  {"rooms", "beside"},
	"storm":  {"storm"},
}

func benchCommand(g *global) *cobra.Command {
	var n int
	var addr, engine string
	var duration time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench [idle|fanout|rooms|storm]...",
		Short: "Measure this server on this machine",
		Long: `Start a server in a process of its own, put load on it from this one, over
loopback, and say what it cost the server: deliveries per second, latency, CPU
per delivery, memory per connection. Without arguments all scenarios run.

  idle    subscribed connections that get nothing: memory, connect rate
  fanout  everybody on one channel: one at a time, in bursts of 16, and offered
          50 a second, which is more than most servers can send
  rooms   many small channels, and a small one beside a large one
  storm   all connect at once, are cut, and come back at once

The client shares the machine with the server: look at the server's CPU first.
What polls cost beside streams and WebSockets is measured by bench transports.`,
		Example: `  ringdown bench
  ringdown bench transports --help
  ringdown bench fanout -n 1000 --duration 2s
  ringdown bench idle --json > idle.json`,
		ValidArgs: []string{"idle", "fanout", "rooms", "storm"},
		Args:      cobra.OnlyValidArgs,
		RunE: func(c *cobra.Command, args []string) error {
			b := &bench{streams: g.streams, n: n, duration: duration, json: asJSON, logLevel: g.logLevel}
			scenarios, err := b.scenarios(args)
			if err != nil {
				return err
			}
			return b.run(c.Context(), scenarios, addr, engine)
		},
	}
	f := c.Flags()
	f.IntVarP(&n, "connections", "n", 5000, "subscribers")
	f.DurationVar(&duration, "duration", 4*time.Second, "measured time of each scenario")
	f.StringVar(&addr, "addr", "", "measure a server that runs already (loopback only; without its CPU and memory)")
	f.StringVar(&engine, "engine", "", "engine of the server: epoll or std")
	f.BoolVar(&asJSON, "json", false, "print results as JSON")
	_ = c.RegisterFlagCompletionFunc("engine", words("epoll", "std"))
	c.AddCommand(benchTransportsCommand(g))
	return c
}

type bench struct {
	streams  Streams
	n        int
	duration time.Duration
	json     bool
	logLevel string
}

func (b *bench) scenarios(args []string) ([]load.Scenario, error) {
	if b.n < 1 || b.n > 19_000 {
		return nil, usage("-n must be from 1 to 19000: a process has only so many descriptors")
	}
	if len(args) == 0 {
		args = []string{"idle", "fanout", "rooms", "storm"}
	}
	var list []load.Scenario
	for _, name := range args {
		for _, preset := range benchScenarios[name] {
			s, err := load.Preset(preset, b.n)
			if err != nil {
				return nil, err
			}
			if s.Kind != load.Storm && s.Kind != load.Idle {
				s.Duration = b.duration
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// run measures each scenario on a server that was just started, so that none
// sees the memory of the one before.
func (b *bench) run(ctx context.Context, scenarios []load.Scenario, addr, engine string) error {
	var results []*load.Result
	for i, s := range scenarios {
		bar := newProgressBar(b.streams.Err, fmt.Sprintf("[%d/%d] %s", i+1, len(scenarios), s.Name))
		r, err := b.one(ctx, s, addr, engine, bar)
		bar.clear()
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.Name, err)
		}
		results = append(results, r)
	}
	if b.json {
		enc := json.NewEncoder(b.streams.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	}
	return load.Summary(results).WriteText(b.streams.Out)
}

func (b *bench) one(ctx context.Context, s load.Scenario, addr, engine string, bar *progressBar) (*load.Result, error) {
	t := load.Target{Name: "ringdown", Addr: addr}
	if addr == "" {
		srv, err := startServer(ctx, engine, benchConfig)
		if err != nil {
			return nil, err
		}
		defer srv.stop()
		t.Addr, t.PID = srv.addr, srv.cmd.Process.Pid
	}
	return load.Run(ctx, s, t, bar.show)
}

// child is a server in a process of its own.
type child struct {
	cmd  *exec.Cmd
	addr string
}

// benchConfig declares what the load client uses, with limits out of the way of
// one publisher that stands for many.
const benchConfig = `
auth: {anonymous: true}
limits: {connection: {messages_per_second: 1000000, messages_burst: 1000000}}
channels:
  - name: "{channel}"
    allow: {subscribe: anyone, publish: anyone}
  - name: "{a}:{b}"
    allow: {subscribe: anyone, publish: anyone}
`

var listening = regexp.MustCompile(`url=ws://([0-9.:]+)/v1/ws`)

// startServer starts a server with a configuration, and further variables of its
// environment.
func startServer(ctx context.Context, engine, config string, env ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "ringdown-bench-*.yaml")
	if err != nil {
		return nil, err
	}
	// The server has read it once it listens.
	defer os.Remove(file.Name())
	_, err = file.WriteString(config)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "--config", file.Name(), "--listen", "127.0.0.1:0", "--engine", engine, "--log-format", "text", "--log-level", "info")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr := make(chan string, 1)
	go watchLog(out, addr)
	c := &child{cmd: cmd}
	select {
	case a := <-addr:
		if a != "" {
			c.addr = a
			return c, waitForPort(ctx, a)
		}
		err = errors.New("the server ended at once; run ringdown serve --dev to see why")
	case <-time.After(20 * time.Second):
		err = errors.New("the server does not listen after 20 s")
	}
	c.stop()
	return nil, err
}

// watchLog finds the address, and then reads on so that the server never waits
// for its log. It ends with the process.
func watchLog(r io.Reader, addr chan<- string) {
	lines := bufio.NewScanner(r)
	found := false
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil && !found {
			found = true
			addr <- m[1]
		}
	}
	if !found {
		addr <- ""
	}
}

func waitForPort(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

func (c *child) stop() {
	_ = c.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = c.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = c.cmd.Process.Kill()
		<-done
	}
}

// progressBar is one line that is written again and again, on a terminal only.
type progressBar struct {
	out   io.Writer
	title string
	last  time.Time
	width int
}

func newProgressBar(out io.Writer, title string) *progressBar {
	f, ok := out.(*os.File)
	if ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			ok = false
		}
	}
	p := &progressBar{out: out, title: title}
	if !ok {
		// Not a terminal: one line for each scenario is enough.
		fmt.Fprintln(out, title)
		p.out = io.Discard
	}
	return p
}

func (p *progressBar) show(at load.Progress) {
	if time.Since(p.last) < 100*time.Millisecond && at.Done < 1 {
		return
	}
	p.last = time.Now()
	const cells = 30
	full := min(cells, int(at.Done*cells))
	line := fmt.Sprintf("%-20s %-10s [%s%s] %3.0f %%", p.title, at.Phase, strings.Repeat("=", full), strings.Repeat(" ", cells-full), at.Done*100)
	pad := max(0, p.width-len(line))
	p.width = len(line)
	fmt.Fprint(p.out, "\r", line, strings.Repeat(" ", pad))
}

func (p *progressBar) clear() {
	fmt.Fprint(p.out, "\r", strings.Repeat(" ", p.width), "\r")
}
