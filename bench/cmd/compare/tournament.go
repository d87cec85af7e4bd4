package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"ringdown/internal/load"
)

// record is one run: a scenario on a server in a round.
type record struct {
	Round    int          `json:"round"`
	Scenario string       `json:"scenario"`
	Server   string       `json:"server"`
	Result   *load.Result `json:"result,omitempty"`
	Error    string       `json:"error,omitempty"`
	// OtherPercent is the CPU that neither server nor client used meanwhile; 100 is
	// one core. Where it is much, the figures are of a busy machine.
	OtherPercent float64 `json:"other_cpu_percent"`
}

// tournament is all runs, one after the other.
type tournament struct {
	options
	servers []server
	line    *progressLine
}

func newTournament(o options, servers []server) *tournament {
	t := &tournament{options: o, servers: servers}
	runs := 0
	for _, s := range o.scenarios {
		for _, srv := range servers {
			if plays(s, srv) {
				runs += o.rounds
			}
		}
	}
	t.line = newProgressLine(os.Stderr, runs)
	return t
}

// plays reports whether a server can do what a scenario asks.
func plays(s load.Scenario, srv server) bool {
	return s.Kind != load.Recover || load.Resumes(srv.dialect)
}

// runTimeout ends a run that does not end by itself, which takes at most 90 s to
// connect, as long to subscribe, and its own time.
const runTimeout = 4 * time.Minute

// play returns what has been recorded also when ctx ends. A run that fails is a
// record, not an error.
func (t *tournament) play(ctx context.Context) ([]record, error) {
	defer t.line.end()
	var records []record
	for round := 1; round <= t.rounds; round++ {
		for _, s := range t.scenarios {
			for _, srv := range t.servers {
				if !plays(s, srv) {
					continue
				}
				t.line.next(fmt.Sprintf("round %d/%d  %s  %s", round, t.rounds, s.Name, srv.name))
				rec := record{Round: round, Scenario: s.Name, Server: srv.name}
				var err error
				rec.Result, rec.OtherPercent, err = t.match(ctx, s, srv)
				if ctx.Err() != nil {
					return records, errors.New("interrupted: the figures are of the runs so far")
				}
				if err != nil {
					rec.Error = err.Error()
					t.line.say(err.Error())
				}
				records = append(records, rec)
			}
		}
	}
	return records, nil
}

// match is one run.
func (t *tournament) match(ctx context.Context, s load.Scenario, srv server) (*load.Result, float64, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	c, err := start(srv, t.pin, "RINGDOWN_BENCH_SCENARIO="+s.Name)
	if err != nil {
		return nil, 0, err
	}
	defer c.stop()
	debug.FreeOSMemory() // what the last run left is not to be collected during this one
	process := load.ProcessOf(c.cmd.Process.Pid)
	before := readSpent(process)
	result, err := load.Run(ctx, s, load.Target{
		Name: srv.name, Addr: c.addr, Dialect: srv.dialect, PID: c.cmd.Process.Pid, Settle: "/settle",
	}, t.line.progress)
	other := readSpent(process).othersSince(before)
	if err != nil {
		return nil, other, fmt.Errorf("%s: %w", srv.name, err)
	}
	return result, other, nil
}
