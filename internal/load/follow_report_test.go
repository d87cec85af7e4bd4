package load

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestFoldTakesTheMedianOfEachFigure(t *testing.T) {
	round := func(cpu, p99 float64) *Followed {
		return &Followed{Following: Following{Way: LongPoll}, Figures: Figures{CPUMicros: cpu, P99: p99}, Tally: Tally{Delivered: 10, Missing: 1}}
	}
	row := Fold([]*Followed{round(5, 1), round(3, 9), round(4, 2)})
	if row.CPUMicros != 4 || row.P99 != 2 || row.Least.CPUMicros != 3 || row.Most.P99 != 9 || row.Most.CPUMicros != 5 {
		t.Errorf("row %+v, least %+v, most %+v", row.Figures, row.Least, row.Most)
	}
	if row.Name != "Long-poll" || row.Computed || row.Tally.Delivered != 30 || row.Tally.Missing != 3 {
		t.Errorf("row %+v, tally %+v", row, row.Tally)
	}
}

// TestPollEach: a poll that costs 100 and 10 more for each update, asked each second and
// each five seconds, costs 100/30+10 for an update when it is asked each 30.
func TestPollEach(t *testing.T) {
	poll := func(every float64) Row {
		row := Row{Way: ShortPoll, Every: every}
		row.CPUMicros, row.BytesUp, row.BytesDown = 100/every+10, 200/every, 300/every+150
		return row
	}
	row := PollEach(30*time.Second, 1000, poll(1), poll(5))
	for name, c := range map[string]struct{ got, want float64 }{
		"cpu":      {row.CPUMicros, 100.0/30 + 10},
		"percent":  {row.CPUPercent, (100.0/30 + 10) * 1000 / 1e6 * 100},
		"up":       {row.BytesUp, 200.0 / 30},
		"down":     {row.BytesDown, 300.0/30 + 150},
		"requests": {row.Requests, 1000.0 / 30},
		"p50":      {row.P50, 15_000},
		"p99":      {row.P99, 29_700},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if !row.Computed {
		t.Error("it is not said to be computed")
	}
	// Updates never make a poll cheaper, whatever the noise says.
	cheap := poll(5)
	cheap.CPUMicros = 1
	if got := PollEach(30*time.Second, 1000, poll(1), cheap).CPUMicros; math.Abs(got-110.0/30) > 1e-9 {
		t.Errorf("with a fifth that costs less than one: %v", got)
	}
}

func reportForTest() *WaysReport {
	socket := Fold([]*Followed{{Following: Following{Way: WebSocket}, Figures: Figures{BytesDown: 200, CPUMicros: 6, P50: 1, P99: 2}}})
	one := Fold([]*Followed{{Following: Following{Way: ShortPoll, Every: time.Second}, Figures: Figures{Requests: 1000, BytesUp: 220, BytesDown: 430, CPUMicros: 60, P50: 500, P99: 990}}})
	return &WaysReport{Machine: Machine{Processor: "a <fast> one"}, Users: 1000, Payload: 128, Rounds: 1, Ways: []Row{one, PollEach(30*time.Second, 1000, one, Fold([]*Followed{{Following: Following{Way: ShortPoll, Every: 5 * time.Second}}})), socket}}
}

func TestReportAsATable(t *testing.T) {
	var b strings.Builder
	if err := reportForTest().Table().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Poll each 1 s", "Poll each 30 s  computed", "WebSocket       measured", "15,000"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, b.String())
		}
	}
}

func TestReportAsAPage(t *testing.T) {
	var b bytes.Buffer
	if err := reportForTest().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"a &lt;fast&gt; one", "<td>Poll each 1 s</td>", `<div class="bar computed"><div>Poll each 30 s</div>`,
		// 650 of 650 bytes, and 200 of them; 1 ms is where the logarithmic scale begins.
		`width: 100.00%"></i></div><span>650`, `width: 30.77%"></i></div><span>200`, `width: 0.00%"></i></div><span>1.00`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, "http://") || strings.Contains(page, "https://") || strings.Contains(page, "<script") {
		t.Error("the page needs something from elsewhere")
	}
}

func TestReportAsJSON(t *testing.T) {
	text, err := json.Marshal(reportForTest())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"computed":true`, `"server_cpu_us_per_update":60`, `"delay_p99_ms":990`, `"every_seconds":30`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
