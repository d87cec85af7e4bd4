package main

import (
	"fmt"
	"slices"

	"ringdown/internal/load"
)

// figure is one number of a scenario's results, and a row of the table.
type figure struct {
	scenario string
	name     string
	get      func(r *load.Result) *float64 // nil: the result has none
	goal     *goal                         // nil: only shown
}

// goal is what Ringdown promises about a figure: at most, or at least, so many
// times a rival's; without a rival, at most or at least so much.
type goal struct {
	rival   string
	factor  float64
	atLeast bool
}

func atMost(factor float64, rival string) *goal { return &goal{rival: rival, factor: factor} }

func atLeast(factor float64, rival string) *goal {
	return &goal{rival: rival, factor: factor, atLeast: true}
}

// figures are the rows of the table, with the goals that docs/performance.md gives.
var figures = []figure{
	{"idle", "memory, bytes/conn", memory, atMost(0.125, "gws")},
	{"idle", "heap objects/conn", objects, nil},
	{"idle", "upgrade, server µs", upgrade, atMost(1, "gws")},
	{"idle", "subscribe, server µs", subscribe, nil},
	{"fanout", "server µs/delivery", serverMicros, atMost(1.3, "floor")},
	{"fanout", "deliveries/s", perSecond, nil},
	{"fanout", "p99 ms", p99, nil},
	{"burst", "server µs/delivery", serverMicros, atMost(1.5, "floor")},
	{"burst", "deliveries/s", perSecond, atLeast(6, "gws")},
	{"paced", "server µs/delivery", serverMicros, nil},
	{"paced", "p50 ms", p50, nil},
	{"paced", "p99 ms", p99, nil},
	{"overload", "delivered %", delivered, atLeast(95, "")},
	{"overload", "deliveries/s", perSecond, nil},
	{"overload", "server µs/delivery", serverMicros, nil},
	{"overload", "p99 ms", p99, atMost(300, "")},
	{"rooms", "server µs/delivery", serverMicros, nil},
	{"rooms", "deliveries/s", perSecond, nil},
	{"rooms", "p99 ms", p99, nil},
	{"beside", "small rooms p50 ms", small(p50), nil},
	{"beside", "small rooms p99 ms", small(p99), atMost(0.3, "gws")},
	{"beside", "large room p99 ms", p99, nil},
	{"storm", "first: conns/s", wave(0, func(w *load.Wave) *float64 { return &w.PerSecond }), nil},
	{"storm", "first: server µs/conn", wave(0, func(w *load.Wave) *float64 { return w.ServerMicros }), nil},
	{"storm", "again: conns/s", wave(1, func(w *load.Wave) *float64 { return &w.PerSecond }), nil},
	{"storm", "again: server µs/conn", wave(1, func(w *load.Wave) *float64 { return w.ServerMicros }), nil},
	{"recover", "all back with 100 missed, s", wave(0, func(w *load.Wave) *float64 { return &w.Seconds }), atMost(5, "")},
	{"recover", "server µs/conn", wave(0, func(w *load.Wave) *float64 { return w.ServerMicros }), nil},
	{"recover", "p99 ms of others meanwhile", small(p99), nil},
	{"recover", "the same, × when calm", disturbed, atMost(3, "")},
}

func memory(r *load.Result) *float64       { return &r.Memory.PerConnection }
func objects(r *load.Result) *float64      { return r.Memory.ObjectsPerConnection }
func upgrade(r *load.Result) *float64      { return r.Connect.ServerMicros }
func subscribe(r *load.Result) *float64    { return r.Connect.SubscribeMicros }
func serverMicros(r *load.Result) *float64 { return r.CPU.ServerMicros }
func perSecond(r *load.Result) *float64    { return &r.Delivery.PerSecond }
func p50(r *load.Result) *float64          { return &r.Delivery.Latency.P50 }
func p99(r *load.Result) *float64          { return &r.Delivery.Latency.P99 }

func delivered(r *load.Result) *float64 {
	v := 100 * r.Delivery.Share
	return &v
}

// disturbed is how much later others are served while everybody comes back.
func disturbed(r *load.Result) *float64 {
	v := r.Small.Latency.P99 / max(r.Calm.Latency.P99, 1e-3)
	return &v
}

// small takes a figure of a delivery from the small rooms instead of the large one.
func small(get func(r *load.Result) *float64) func(r *load.Result) *float64 {
	return func(r *load.Result) *float64 { return get(&load.Result{Delivery: r.Small}) }
}

func wave(i int, get func(w *load.Wave) *float64) func(r *load.Result) *float64 {
	return func(r *load.Result) *float64 { return get(&r.Waves[i]) }
}

// met tells whether values by server fulfil the goal for one of them. known is
// false if a figure that it needs is not there.
func (g *goal) met(subject string, values map[string]float64) (met, known bool) {
	v, ok := values[subject]
	bound := g.factor
	if g.rival != "" {
		base, have := values[g.rival]
		ok = ok && have
		bound *= base
	}
	if g.atLeast {
		return ok && v >= bound, ok
	}
	return ok && v <= bound, ok
}

func (g *goal) String() string {
	sign := "≤"
	if g.atLeast {
		sign = "≥"
	}
	if g.rival == "" {
		return fmt.Sprintf("%s %g", sign, g.factor)
	}
	return fmt.Sprintf("%s %g × %s", sign, g.factor, g.rival)
}

func scenarioNames() []string {
	var names []string
	for _, s := range load.Presets(1) {
		names = append(names, s.Name)
	}
	return names
}

// chooseScenarios returns presets for n subscribers, idle for half as many again.
func chooseScenarios(list string, n int) ([]load.Scenario, error) {
	want, err := chosen(list, scenarioNames())
	if err != nil {
		return nil, fmt.Errorf("-scenario: %w", err)
	}
	var out []load.Scenario
	for _, s := range load.Presets(n) {
		if s.Kind == load.Idle {
			s.Connections += n / 2
		}
		if want[s.Name] {
			out = append(out, s)
		}
	}
	return out, nil
}

// median and spread of the values of several rounds; spread is the greatest less
// the smallest, to the median.
func median(values []float64) (mid, spread float64) {
	if len(values) == 0 {
		return 0, 0
	}
	v := slices.Sorted(slices.Values(values))
	mid = v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	if mid != 0 {
		spread = (v[len(v)-1] - v[0]) / mid
	}
	return mid, spread
}
