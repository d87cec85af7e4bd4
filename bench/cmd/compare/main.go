// Command compare puts the same load on Ringdown and on its rivals and prints one
// table of what it cost each of them. Run it in the bench directory of the source
// tree; README.md there says what it needs.
//
// Every run starts the server afresh, as a process of its own, on loopback, and
// ends it. The rounds are interleaved: round one of every scenario and server,
// then round two, so that a busy spell of the machine does not fall on one server
// alone. Figures are medians over the rounds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"ringdown/internal/load"
)

// options are the command line.
type options struct {
	scenarios []load.Scenario
	rivals    []rival
	rounds    int
	pin       bool
	json, md  string
}

func main() {
	// Servers are told to die with the thread that started them, and pinning the
	// client pins a thread: so all is done on this one.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ringdown-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	servers, err := build(ctx, o.rivals, dir)
	if err != nil {
		return err
	}
	records, runErr := newTournament(o, servers).play(ctx)
	if len(records) == 0 {
		return runErr
	}
	report := newReport(o, records)
	if err := report.write(os.Stdout, o.json, o.md); err != nil {
		return err
	}
	return errors.Join(runErr, report.failures())
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("compare", flag.ExitOnError)
	scenario := flags.String("scenario", "all", "which scenarios, by commas: "+strings.Join(scenarioNames(), ", "))
	servers := flags.String("servers", "all", "which servers, by commas: "+strings.Join(rivalNames(), ", "))
	checkout := flags.String("before", "", "folder of another checkout of Ringdown, to compare with as the server named before")
	n := flags.Int("n", 10_000, "subscribers; idle has half as many again")
	duration := flags.Duration("duration", 0, "measured time of one run (default 4s, idle 2s)")
	quick := flags.Bool("quick", false, "a check that all works: 500 subscribers, one round, a second each; the figures mean little")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds; figures are medians over them")
	flags.BoolVar(&o.pin, "pin", false, "server on the first CPU with GOMAXPROCS=1, client on the second: the tightest comparison of CPU per delivery")
	flags.StringVar(&o.json, "json", "", "file to write every result to")
	flags.StringVar(&o.md, "md", "", "file to write the table to, as Markdown")
	_ = flags.Parse(args) // exits by itself
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *quick {
		*n, o.rounds = 500, 1
	}
	if o.rounds < 1 || o.rounds > 100 || *n < 1 || *duration < 0 || *duration > time.Minute {
		return o, errors.New("rounds are 1 to 100, subscribers at least 1, a duration at most a minute")
	}
	if o.pin && runtime.NumCPU() < 2 {
		return o, errors.New("-pin needs two CPUs")
	}
	var err error
	if o.rivals, err = chooseRivals(*servers); err != nil {
		return o, err
	}
	if *checkout != "" {
		o.rivals = append(o.rivals, before(*checkout))
	}
	if o.scenarios, err = chooseScenarios(*scenario, *n); err != nil {
		return o, err
	}
	for i := range o.scenarios {
		s := &o.scenarios[i]
		if *quick {
			s.Warmup, s.Duration = min(s.Warmup, 300*time.Millisecond), time.Second
		}
		if *duration > 0 {
			s.Duration = *duration
		}
	}
	return o, nil
}

// chosen splits a list of names and reports the first that is not known. "all" is
// every known name.
func chosen(list string, known []string) (map[string]bool, error) {
	want := make(map[string]bool)
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		found := false
		for _, k := range known {
			if name == k || name == "all" {
				want[k], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("no %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return want, nil
}

// moduleDir is the bench directory, found from where the command runs.
func moduleDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module ringdown/bench\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run this in the bench directory of the source tree")
		}
		dir = parent
	}
}
