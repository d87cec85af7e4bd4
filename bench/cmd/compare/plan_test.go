package main

import (
	"strings"
	"testing"

	"ringdown/internal/load"
)

func TestMedianAndSpread(t *testing.T) {
	for _, c := range []struct {
		values      []float64
		mid, spread float64
	}{
		{nil, 0, 0},
		{[]float64{3}, 3, 0},
		{[]float64{5, 1, 3}, 3, 4. / 3},
		{[]float64{4, 1, 2, 3}, 2.5, 3 / 2.5},
		{[]float64{0, 0, 0}, 0, 0},
	} {
		if mid, spread := median(c.values); mid != c.mid || spread != c.spread {
			t.Errorf("%v: median %g, spread %g; want %g, %g", c.values, mid, spread, c.mid, c.spread)
		}
	}
}

func TestGoals(t *testing.T) {
	values := map[string]float64{"ringdown": 6, "floor": 5, "gws": 1}
	for _, c := range []struct {
		goal       *goal
		text       string
		met, known bool
	}{
		{atMost(1.3, "floor"), "≤ 1.3 × floor", true, true},
		{atMost(1.1, "floor"), "≤ 1.1 × floor", false, true},
		{atLeast(6, "gws"), "≥ 6 × gws", true, true},
		{atLeast(6.5, "gws"), "≥ 6.5 × gws", false, true},
		{atLeast(95, ""), "≥ 95", false, true},
		{atMost(300, ""), "≤ 300", true, true},
		{atMost(1, "nobody"), "≤ 1 × nobody", false, false},
	} {
		met, known := c.goal.met("ringdown", values)
		if known != c.known || known && met != c.met || c.goal.String() != c.text {
			t.Errorf("%s (want %s): met %v, known %v", c.goal, c.text, met, known)
		}
	}
	if _, known := atLeast(95, "").met("absent", values); known {
		t.Error("a server without a figure is judged")
	}
}

func TestFiguresBelongToScenariosAndRivals(t *testing.T) {
	scenarios := strings.Join(scenarioNames(), " ")
	for _, f := range figures {
		if !strings.Contains(scenarios, f.scenario) {
			t.Errorf("%s: no scenario %s", f.name, f.scenario)
		}
		if f.goal != nil && f.goal.rival != "" {
			if _, err := chooseRivals(f.goal.rival); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		}
	}
}

func TestChoosing(t *testing.T) {
	all, err := chooseScenarios("all", 1000)
	if err != nil || len(all) != len(load.Presets(1)) {
		t.Errorf("all: %d scenarios, %v", len(all), err)
	}
	two, err := chooseScenarios("burst, idle", 1000)
	if err != nil || len(two) != 2 || two[0].Name != "idle" || two[0].Connections != 1500 || two[1].Connections != 1000 {
		t.Errorf("burst, idle: %+v, %v", two, err)
	}
	if _, err := chooseScenarios("burst,dance", 1); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("an unknown scenario: %v", err)
	}
	if _, err := chooseRivals(""); err == nil {
		t.Error("no rival at all is accepted")
	}
	rivals, err := chooseRivals("gws,floor")
	if err != nil || len(rivals) != 2 || rivals[0].name != "floor" {
		t.Errorf("gws,floor: %v, %v", rivals, err)
	}
}

func TestFlagsOutOfRange(t *testing.T) {
	for _, args := range []string{"-rounds 0", "-rounds 101", "-n 0", "-duration -1s", "-duration 2m", "-scenario x", "-servers x", "stray"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
	o, err := parse([]string{"-quick"})
	if err != nil || o.rounds != 1 {
		t.Fatalf("-quick: %+v, %v", o, err)
	}
	for _, s := range o.scenarios {
		if s.Connections > 750 || s.Duration.Seconds() > 1 {
			t.Errorf("-quick runs %s with %d for %v", s.Name, s.Connections, s.Duration)
		}
	}
}
