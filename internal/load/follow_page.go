package load

import (
	_ "embed"
	"html/template"
	"io"
	"math"
)

//go:embed follow_page.html
var followPage string

var followTemplate = template.Must(template.New("transports").Parse(followPage))

// chart is one measure of all ways, as bars.
type chart struct {
	Title, Unit, Note string
	Bars              []bar
}

type bar struct {
	Name, Text string
	Share      float64 // of the longest, in percent
	Computed   bool
}

// WriteHTML writes a page with charts and a table, which needs no other file.
func (r *WaysReport) WriteHTML(w io.Writer) error {
	bytesOf := func(f Figures) float64 { return f.BytesUp + f.BytesDown }
	return followTemplate.Execute(w, struct {
		*WaysReport
		Charts []chart
		Table  Table
	}{r, []chart{
		r.chart("Median delay", "ms", "From when an update was due until the user had it. The scale is logarithmic.", true, func(f Figures) float64 { return f.P50 }),
		r.chart("Server CPU for an update", "µs", "For each update delivered to one user.", false, func(f Figures) float64 { return f.CPUMicros }),
		r.chart("Bytes for an update", "", "In both directions, as TCP carries them, for each update delivered to one user.", false, bytesOf),
		r.chart("Requests", "a second", "Of all users together, once they follow.", false, func(f Figures) float64 { return f.Requests }),
	}, r.Table()})
}

// chart draws one figure of each way, with a linear scale from 0, or a logarithmic one
// that begins at the power of ten below the least.
func (r *WaysReport) chart(title, unit, note string, logarithmic bool, of func(Figures) float64) chart {
	c := chart{Title: title, Unit: unit, Note: note}
	least, most := math.Inf(1), 0.0
	for _, w := range r.Ways {
		if v := of(w.Figures); v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}
	floor := math.Floor(math.Log10(least))
	for _, w := range r.Ways {
		v := of(w.Figures)
		b := bar{Name: w.Name, Text: Figure(v), Computed: w.Computed}
		switch {
		case v <= 0:
		case logarithmic:
			b.Share = 100 * (math.Log10(v) - floor) / max(math.Log10(most)-floor, 1e-9)
		default:
			b.Share = 100 * v / most
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}
