// Mutate changes the code of packages in small ways, one at a time, and runs the
// tests of the package against each change: what no test notices is a hole in
// the tests. The source is not touched.
//
//	go run ./scripts/mutate [-n 300] [-seed 1] [-least 85] package …
//
// All changes of a package are compiled into one test binary, asleep, and each
// run of it wakes one. Survivors that are all right are listed with the reason
// in survivors.txt.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := options{progress: os.Stderr}
	flag.IntVar(&o.n, "n", 300, "changes of each package")
	flag.Uint64Var(&o.seed, "seed", 1, "which changes are chosen")
	flag.Float64Var(&o.least, "least", 85, "percentage that must be noticed")
	flag.IntVar(&o.parallel, "parallel", 2, "test runs at a time")
	flag.DurationVar(&o.slowest, "slowest", 2*time.Minute, "time that one run may take at most")
	flag.StringVar(&o.survivors, "survivors", "scripts/mutate/survivors.txt", "the list of survivors and their reasons")
	flag.StringVar(&o.run, "run", "", "run only the tests that this matches")
	flag.StringVar(&o.only, "only", "", "only changes whose file has this in its name")
	flag.Parse()
	// What the tests start is in process groups of its own, which a signal to ours
	// does not reach.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok := true
	for _, pkg := range flag.Args() {
		r, err := o.mutate(ctx, pkg)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		r.print(os.Stdout)
		ok = ok && r.percent() >= o.least
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "less than %.0f %% were noticed\n", o.least)
		os.Exit(1)
	}
}

type options struct {
	n, parallel    int
	seed           uint64
	least          float64
	slowest        time.Duration
	survivors, run string
	only           string
	progress       io.Writer
}

// outcome is what became of one change.
type outcome int

const (
	survived outcome = iota
	unreached
	killed
	timedOut
	outcomes
)

var outcomeNames = [outcomes]string{"survived", "not reached by any test", "killed", "timed out"}

// report is what became of all changes of one package.
type report struct {
	pkg     string
	count   [outcomes]int
	alive   []*point // survived or not reached
	how     map[*point]outcome
	reasons map[string]string
	took    time.Duration
}

func (r *report) total() (n int) {
	for _, c := range r.count {
		n += c
	}
	return n
}

// percent returns how many of the changes were noticed. Those that are listed
// with a reason count as neither.
func (r *report) percent() float64 {
	excused := 0
	for _, p := range r.alive {
		if r.reasons[p.key()] != "" {
			excused++
		}
	}
	noticed, all := r.count[killed]+r.count[timedOut], r.total()-excused
	if all == 0 {
		return 100
	}
	return 100 * float64(noticed) / float64(all)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d changes in %v, %.1f %% noticed", r.pkg, r.total(), r.took.Round(time.Second), r.percent())
	for o, n := range r.count {
		fmt.Fprintf(w, ", %d %s", n, outcomeNames[o])
	}
	fmt.Fprintln(w)
	for _, p := range r.alive {
		reason := r.reasons[p.key()]
		if reason == "" {
			reason = "?"
		}
		fmt.Fprintf(w, "  %s:%d: %s\n    %s # %s\n", p.file, p.line, outcomeNames[r.how[p]], p.key(), reason)
	}
}

// readReasons reads the list of survivors: one key a line, a #, and the reason.
func readReasons(name string) (map[string]string, error) {
	reasons := make(map[string]string)
	text, err := os.ReadFile(filepath.Clean(name))
	if os.IsNotExist(err) {
		return reasons, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndex(line, " # ")
		if i < 0 {
			return nil, fmt.Errorf("%s: %q has no reason", name, line)
		}
		reasons[strings.TrimSpace(line[:i])] = strings.TrimSpace(line[i+3:])
	}
	return reasons, nil
}
