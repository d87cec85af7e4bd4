package load

import "strconv"

// column is one column of Summary.
type column struct {
	title string
	cell  func(r *Result, d *Delivery) string
}

// NoFigure stands in a table where there is nothing to tell.
const NoFigure = "–"

// summaryColumns are those of one part of a result: d is the delivery that the
// row is about, nil if there is none.
var summaryColumns = []column{
	{"conns", func(r *Result, d *Delivery) string {
		if d != nil && d == r.Small {
			return strconv.Itoa(r.Scenario.SmallConnections)
		}
		return strconv.Itoa(r.Scenario.Connections)
	}},
	{"deliveries/s", delivered(func(d *Delivery) float64 { return d.PerSecond })},
	{"delivered %", delivered(func(d *Delivery) float64 { return 100 * d.Share })},
	{"p50 ms", delivered(func(d *Delivery) float64 { return d.Latency.P50 })},
	{"p99 ms", delivered(func(d *Delivery) float64 { return d.Latency.P99 })},
	{"p99.9 ms", delivered(func(d *Delivery) float64 { return d.Latency.P999 })},
	{"µs/delivery", overall(func(r *Result) *float64 {
		if r.CPU == nil {
			return nil
		}
		return r.CPU.ServerMicros
	})},
	{"server CPU %", overall(func(r *Result) *float64 {
		if r.CPU == nil || r.Connect == nil || r.Connect.ServerMicros == nil {
			return nil
		}
		return &r.CPU.ServerPercent
	})},
	{"client CPU %", overall(func(r *Result) *float64 {
		if r.CPU == nil {
			return nil
		}
		return &r.CPU.ClientPercent
	})},
	{"bytes/conn", overall(func(r *Result) *float64 {
		if r.Memory == nil {
			return nil
		}
		return &r.Memory.PerConnection
	})},
	{"conns/s", overall(func(r *Result) *float64 {
		if r.Connect == nil {
			return nil
		}
		return &r.Connect.PerSecond
	})},
	{"upgrade µs", overall(func(r *Result) *float64 {
		if r.Connect == nil {
			return nil
		}
		return r.Connect.ServerMicros
	})},
	{"lost", overall(func(r *Result) *float64 {
		lost := float64(r.Missing) + float64(r.Lost)
		return &lost
	})},
}

// delivered makes a column of a delivery's figure.
func delivered(figure func(d *Delivery) float64) func(*Result, *Delivery) string {
	return func(_ *Result, d *Delivery) string {
		if d == nil {
			return NoFigure
		}
		return Figure(figure(d))
	}
}

// overall makes a column of a figure of the whole run, which stands in the row of
// its main part only.
func overall(figure func(r *Result) *float64) func(*Result, *Delivery) string {
	return func(r *Result, d *Delivery) string {
		v := figure(r)
		if v == nil || d != nil && d == r.Small {
			return NoFigure
		}
		return Figure(*v)
	}
}

// Summary puts results under each other, as `ringdown bench` shows them.
func Summary(results []*Result) Table {
	t := Table{Header: []string{"scenario"}, Text: 1}
	for _, c := range summaryColumns {
		t.Header = append(t.Header, c.title)
	}
	for _, r := range results {
		for _, wave := range r.Waves {
			t.Rows = append(t.Rows, summaryRow(r.Scenario.Name+" "+wave.Name, r.ofWave(wave), nil))
		}
		if len(r.Waves) == 0 {
			t.Rows = append(t.Rows, summaryRow(r.Scenario.Name, r, r.Delivery))
		}
		if r.Small != nil {
			t.Rows = append(t.Rows, summaryRow(r.Scenario.Name+" (small)", r, r.Small))
		}
	}
	return t
}

func summaryRow(name string, r *Result, d *Delivery) []string {
	row := []string{name}
	for _, c := range summaryColumns {
		row = append(row, c.cell(r, d))
	}
	return row
}

// ofWave shows a wave in the columns of connecting.
func (r *Result) ofWave(w Wave) *Result {
	return &Result{
		Scenario: r.Scenario, Missing: r.Missing, Lost: r.Lost,
		Connect: &Connect{Seconds: w.Seconds, PerSecond: w.PerSecond, ServerMicros: w.ServerMicros},
	}
}

// Figure writes a number with three significant digits or all of its integer
// part, whichever is more, thousands divided by commas.
func Figure(v float64) string {
	switch a := max(v, -v); {
	case a == 0:
		return "0"
	case a < 1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case a < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return grouped(strconv.FormatFloat(v, 'f', 0, 64))
}

// grouped divides thousands: 1234567 becomes 1,234,567.
func grouped(digits string) string {
	first := 0
	if digits[0] == '-' {
		first = 1
	}
	for i := len(digits) - 3; i > first; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
