package load

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// WaysReport is what following has cost in each way, in all rounds.
type WaysReport struct {
	Date    string  `json:"date"`
	Version string  `json:"version"`
	Machine Machine `json:"machine"`
	Users   int     `json:"users"`
	Payload int     `json:"payload_bytes"`
	Rounds  int     `json:"rounds"`
	Seconds float64 `json:"seconds"` // measured in each round
	Browser bool    `json:"browser_headers"`
	Ways    []Row   `json:"ways"`
}

// Machine is where it was measured.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	System    string `json:"system"`
	Go        string `json:"go"`
	// LoadBefore is the load average of the last minute before it began: what other work there was.
	LoadBefore string `json:"load_before,omitempty"`
}

// Row is one way: the median of each figure over the rounds, and its least and most.
type Row struct {
	Name     string  `json:"name"`
	Way      Way     `json:"way"`
	Every    float64 `json:"every_seconds,omitempty"`
	Computed bool    `json:"computed"` // from other rows, and not measured
	Figures
	Least *Figures `json:"least,omitempty"`
	Most  *Figures `json:"most,omitempty"`
	// Tally is summed over all rounds.
	Tally *Tally `json:"tally,omitempty"`
}

// WayName says how users follow, for people.
func WayName(w Way, every time.Duration) string {
	switch w {
	case ShortPoll:
		return fmt.Sprintf("Poll each %g s", every.Seconds())
	case LongPoll:
		return "Long-poll"
	case SSE:
		return "Server-Sent Events"
	}
	return "WebSocket"
}

// Fold makes one row of the rounds of one way.
func Fold(rounds []*Followed) Row {
	first := rounds[0]
	row := Row{Name: WayName(first.Way, first.Every), Way: first.Way, Every: first.Every.Seconds(), Least: &Figures{}, Most: &Figures{}, Tally: &Tally{}}
	middle, least, most := row.list(), row.Least.list(), row.Most.list()
	for k := range middle {
		var all []float64
		for _, r := range rounds {
			all = append(all, *r.list()[k])
		}
		slices.Sort(all)
		*middle[k], *least[k], *most[k] = all[len(all)/2], all[0], all[len(all)-1]
	}
	for _, r := range rounds {
		row.Tally.Published += r.Published
		row.Tally.Delivered += r.Delivered
		row.Tally.Missing += r.Missing
		row.Tally.Disordered += r.Disordered
		row.Tally.Skipped += r.Skipped
		row.Tally.Lost += r.Lost
	}
	return row
}

// PollEach computes what polls at a longer period would cost. A poll costs something for
// itself and something for each update in its answer; which is which follows from two rows
// of short polls with different periods, where one update comes each second.
func PollEach(every time.Duration, users int, one, other Row) Row {
	row := Row{Name: WayName(ShortPoll, every), Way: ShortPoll, Every: every.Seconds(), Computed: true}
	project := func(figure func(*Figures) *float64) {
		a, b := *figure(&one.Figures)*one.Every, *figure(&other.Figures)*other.Every // of a poll
		update := max(0, (b-a)/(other.Every-one.Every))
		poll := a - update*one.Every
		*figure(&row.Figures) = poll/row.Every + update
	}
	project(func(f *Figures) *float64 { return &f.BytesUp })
	project(func(f *Figures) *float64 { return &f.BytesDown })
	project(func(f *Figures) *float64 { return &f.CPUMicros })
	row.CPUPercent = row.CPUMicros * float64(users) / 1e4
	row.Requests = float64(users) / row.Every
	row.Memory = one.Memory
	// An update comes at any moment of the period.
	period := milliseconds(every)
	row.P50, row.P99, row.Max = period/2, period*0.99, period
	return row
}

// Table shows the report as `ringdown bench transports` does.
func (r *WaysReport) Table() Table {
	t := Table{
		Header: []string{"way", "", "requests/s", "bytes up", "bytes down", "server CPU %", "µs/update", "spread", "p50 ms", "p99 ms", "KB/user", "missing"},
		Text:   2,
	}
	for _, w := range r.Ways {
		kind, spread, memory, missing := "measured", NoFigure, NoFigure, NoFigure
		if w.Computed {
			kind = "computed"
		} else {
			spread = percent(w.Most.CPUMicros-w.Least.CPUMicros, w.CPUMicros)
			memory = Figure(w.Memory / 1000)
			missing = strconv.FormatUint(w.Tally.Missing+w.Tally.Disordered, 10)
		}
		t.Rows = append(t.Rows, []string{
			w.Name, kind, Figure(w.Requests), Figure(w.BytesUp), Figure(w.BytesDown), Figure(w.CPUPercent), Figure(w.CPUMicros), spread,
			Figure(w.P50), Figure(w.P99), memory, missing,
		})
	}
	return t
}

func percent(part, of float64) string {
	if of <= 0 {
		return NoFigure
	}
	return fmt.Sprintf("%.0f %%", 100*part/of)
}
