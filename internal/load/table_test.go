package load

import (
	"strings"
	"testing"
)

var fruit = Table{
	Header: []string{"fruit", "per µs", "n"},
	Rows:   [][]string{{"apple", "1.5", "1,000"}, {"fig", NoFigure, "7"}},
	Text:   1,
}

func TestTableText(t *testing.T) {
	var b strings.Builder
	if err := fruit.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"fruit  per µs      n\n" +
		"apple     1.5  1,000\n" +
		"fig         –      7\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestTableMarkdown(t *testing.T) {
	var b strings.Builder
	if err := fruit.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"| fruit | per µs |     n |\n" +
		"|-------|-------:|------:|\n" +
		"| apple |    1.5 | 1,000 |\n" +
		"| fig   |      – |     7 |\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0123: "0.012", 0.29: "0.290", 4.567: "4.57", 45.67: "45.7", 456.7: "457",
		12_999: "12,999", 1_312_833.4: "1,312,833", -1234: "-1,234", -123: "-123",
	} {
		if got := Figure(v); got != want {
			t.Errorf("%g is written %q, not %q", v, got, want)
		}
	}
}

func TestSummaryShowsEveryPart(t *testing.T) {
	micros := 4.5
	beside := &Result{
		Scenario: Scenario{Name: "beside", Connections: 100, SmallConnections: 20},
		Delivery: &Delivery{PerSecond: 800, Share: 1, Latency: Latency{P99: 40}},
		Small:    &Delivery{PerSecond: 1000, Share: 1, Latency: Latency{P99: 8}},
		CPU:      &CPU{ServerMicros: &micros},
	}
	storm := &Result{
		Scenario: Scenario{Name: "storm", Connections: 100},
		Waves:    []Wave{{Name: "first", PerSecond: 9000}, {Name: "again", PerSecond: 8000}},
	}
	table := Summary([]*Result{beside, storm})
	var names []string
	for _, row := range table.Rows {
		names = append(names, row[0])
		if len(row) != len(table.Header) {
			t.Errorf("%d cells under %d titles: %v", len(row), len(table.Header), row)
		}
	}
	if got, want := strings.Join(names, ", "), "beside, beside (small), storm first, storm again"; got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
	if small := strings.Join(table.Rows[1], " "); !strings.Contains(small, "8.00") || strings.Contains(small, "4.50") {
		t.Errorf("the small rooms' row is %s", small)
	}
}
