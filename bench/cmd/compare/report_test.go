package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringdown/internal/load"
)

func fanout(micros, perSecond float64) *load.Result {
	return &load.Result{
		Delivery: &load.Delivery{PerSecond: perSecond, Latency: load.Latency{P99: 2}},
		CPU:      &load.CPU{ServerMicros: &micros},
	}
}

// threeRounds has a fan-out on three servers, one run of which failed.
func threeRounds(t *testing.T) *report {
	t.Helper()
	rivals, err := chooseRivals("floor,ringdown,gws")
	if err != nil {
		t.Fatal(err)
	}
	lossy := fanout(8, 1000)
	lossy.Lost, lossy.LostCause = 3, "too slow"
	return newReport(options{rivals: rivals, rounds: 3}, []record{
		{Round: 1, Scenario: "fanout", Server: "floor", Result: fanout(4, 2000), OtherPercent: 12},
		{Round: 1, Scenario: "fanout", Server: "ringdown", Result: fanout(5, 1900)},
		{Round: 1, Scenario: "fanout", Server: "gws", Result: lossy},
		{Round: 2, Scenario: "fanout", Server: "floor", Error: "no such luck"},
		{Round: 2, Scenario: "fanout", Server: "ringdown", Result: fanout(4.8, 1900)},
		{Round: 3, Scenario: "fanout", Server: "ringdown", Result: fanout(7, 1900)},
	})
}

func TestReportTable(t *testing.T) {
	r := threeRounds(t)
	if len(r.Rows) != 3 {
		t.Fatalf("%d rows: %+v", len(r.Rows), r.Rows)
	}
	got := strings.Join(r.table().Rows[0], "|")
	if want := "fanout|server µs/delivery|4.00|5.00|8.00|44 %|1.25|0.62|≤ 1.3 × floor|met"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReportNotesWhatWentWrong(t *testing.T) {
	r := threeRounds(t)
	notes := strings.Join(r.notes(), "\n")
	for _, want := range []string{"fanout, floor, round 2 failed: no such luck", "gws: the server closed connections (too slow), in 1 of 3", "at most 12 %"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
	if err := r.failures(); err == nil || !strings.Contains(err.Error(), "1 of 6") {
		t.Errorf("failures: %v", err)
	}
}

func TestReportFiles(t *testing.T) {
	dir := t.TempDir()
	jsonFile, mdFile := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.md")
	var out strings.Builder
	if err := threeRounds(t).write(&out, jsonFile, mdFile); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text, &back); err != nil || len(back.Records) != 6 || back.Rows[0].Median["gws"] != 8 {
		t.Errorf("read back: %+v, %v", back, err)
	}
	md, err := os.ReadFile(mdFile)
	if err != nil || !strings.HasPrefix(string(md), "| scenario | figure ") {
		t.Errorf("%s, %v", md, err)
	}
	if !strings.Contains(out.String(), "deliveries/s") {
		t.Errorf("printed %s", out.String())
	}
}

func TestParseMachine(t *testing.T) {
	stat := []byte("cpu  100 10 50 9999 888 1 2 3 77 5\ncpu0 1 2 3\n")
	if got, want := parseMachine(stat).Milliseconds(), int64(100+10+50+1+2+3)*10; got != want {
		t.Errorf("%d ms, want %d", got, want)
	}
	if parseMachine([]byte("cpu x")) != 0 || parseMachine(nil) != 0 {
		t.Error("nonsense is read as time")
	}
}
