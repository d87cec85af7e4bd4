package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"ringdown/internal/load"
)

// report is what a tournament comes to.
type report struct {
	Date        time.Time `json:"date"`
	Environment []string  `json:"environment"`
	Rounds      int       `json:"rounds"`
	Rows        []row     `json:"figures"`
	Records     []record  `json:"runs"`

	subject string
	servers []string
}

// row is one figure of all servers, medians over the rounds.
type row struct {
	Scenario string             `json:"scenario"`
	Name     string             `json:"figure"`
	Median   map[string]float64 `json:"median"`
	Spread   map[string]float64 `json:"spread"` // greatest less smallest, to the median
	Goal     string             `json:"goal,omitempty"`
	Met      *bool              `json:"met,omitempty"`
}

// The rivals that ratios are given to.
const (
	yardstick = "floor"
	classic   = "gws"
)

func newReport(o options, records []record) *report {
	r := &report{Date: time.Now().UTC().Truncate(time.Second), Environment: environment(o), Rounds: o.rounds, Records: records}
	for _, rival := range o.rivals {
		r.servers = append(r.servers, rival.name)
	}
	r.subject = "ringdown"
	if !slices.Contains(r.servers, r.subject) {
		r.subject = r.servers[0]
	}
	for _, f := range figures {
		if row := r.row(f); len(row.Median) > 0 {
			r.Rows = append(r.Rows, row)
		}
	}
	return r
}

func (r *report) row(f figure) row {
	values := make(map[string][]float64)
	for _, rec := range r.Records {
		if rec.Scenario != f.scenario || rec.Result == nil {
			continue
		}
		if v := f.get(rec.Result); v != nil {
			values[rec.Server] = append(values[rec.Server], *v)
		}
	}
	row := row{Scenario: f.scenario, Name: f.name, Median: make(map[string]float64), Spread: make(map[string]float64)}
	for server, v := range values {
		row.Median[server], row.Spread[server] = median(v)
	}
	if f.goal != nil {
		row.Goal = f.goal.String()
		if met, known := f.goal.met(r.subject, row.Median); known {
			row.Met = &met
		}
	}
	return row
}

// table has a column for each server's median, the subject's spread over the
// rounds, and its ratio to the yardstick and to the classic.
func (r *report) table() load.Table {
	t := load.Table{Header: []string{"scenario", "figure"}, Text: 2}
	t.Header = append(t.Header, r.servers...)
	t.Header = append(t.Header, "spread", "× "+yardstick, "× "+classic, "goal", "")
	for _, row := range r.Rows {
		cells := []string{row.Scenario, row.Name}
		for _, server := range r.servers {
			cells = append(cells, cell(row.Median, server, load.Figure))
		}
		cells = append(cells, cell(row.Spread, r.subject, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }))
		cells = append(cells, row.ratio(r.subject, yardstick), row.ratio(r.subject, classic))
		t.Rows = append(t.Rows, append(cells, row.Goal, row.verdict()))
	}
	return t
}

func cell(values map[string]float64, server string, format func(float64) string) string {
	if v, ok := values[server]; ok {
		return format(v)
	}
	return load.NoFigure
}

func (r row) ratio(subject, rival string) string {
	v, ok1 := r.Median[subject]
	base, ok2 := r.Median[rival]
	if !ok1 || !ok2 || base <= 0 || subject == rival {
		return load.NoFigure
	}
	return fmt.Sprintf("%.2f", v/base)
}

func (r row) verdict() string {
	switch {
	case r.Met == nil:
		return ""
	case *r.Met:
		return "met"
	}
	return "MISSED"
}

// notes are what a reader has to know beside the table: losses, failures, noise.
func (r *report) notes() []string {
	var notes []string
	losses := make(map[string]int)
	var busiest float64
	for _, rec := range r.Records {
		busiest = max(busiest, rec.OtherPercent)
		what := rec.Scenario + ", " + rec.Server
		switch {
		case rec.Result == nil:
			notes = append(notes, fmt.Sprintf("%s, round %d failed: %s", what, rec.Round, rec.Error))
		case rec.Result.Lost > 0:
			losses[fmt.Sprintf("%s: the server closed connections (%s)", what, rec.Result.LostCause)]++
		case rec.Result.Missing > 0:
			losses[what+": publications were skipped"]++
		case rec.Result.Disordered > 0:
			losses[what+": publications came twice or out of order"]++
		}
	}
	for _, text := range slices.Sorted(maps.Keys(losses)) {
		notes = append(notes, fmt.Sprintf("%s, in %d of %d rounds", text, losses[text], r.Rounds))
	}
	return append(notes, fmt.Sprintf("CPU used by anything else meanwhile: at most %.0f %% of a core", busiest))
}

// failures is an error if any run failed.
func (r *report) failures() error {
	n := 0
	for _, rec := range r.Records {
		if rec.Error != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d runs failed", n, len(r.Records))
}

func (r *report) write(out io.Writer, jsonFile, mdFile string) error {
	if err := r.table().WriteText(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n%s\n", strings.Join(r.Environment, "; "), strings.Join(r.notes(), "\n"))
	var errs []error
	if jsonFile != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		errs = append(errs, err, os.WriteFile(jsonFile, append(text, '\n'), 0o644))
	}
	if mdFile != "" {
		var b bytes.Buffer
		_ = r.table().WriteMarkdown(&b) // to memory
		fmt.Fprintf(&b, "\n%s, %s.\n\n", r.Date.Format("2 January 2006"), strings.Join(r.Environment, "; "))
		for _, note := range r.notes() {
			fmt.Fprintf(&b, "- %s\n", note)
		}
		errs = append(errs, os.WriteFile(mdFile, b.Bytes(), 0o644))
	}
	return errors.Join(errs...)
}

// environment says where and how the figures were made, without naming the machine.
func environment(o options) []string {
	env := []string{
		fmt.Sprintf("%d CPUs", runtime.NumCPU()),
		runtime.GOOS + "/" + runtime.GOARCH,
		runtime.Version(),
		fmt.Sprintf("%d rounds, medians", o.rounds),
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // the rest names the build
		env = append(env, "kernel "+version)
	}
	if model := cpuModel(); model != "" {
		env = append(env, model)
	}
	if o.pin {
		env = append(env, "server and client pinned to a CPU each")
	}
	return env
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
