package load

import (
	"strings"
	"testing"
	"time"
)

func TestPresetsAreValid(t *testing.T) {
	for _, n := range []int{1, 500, 10_000} {
		for _, s := range Presets(n) {
			if err := s.Validate(); err != nil {
				t.Error(err)
			}
			again, err := Preset(s.Name, n)
			if err != nil || again != s {
				t.Errorf("Preset(%q): %+v, %v", s.Name, again, err)
			}
		}
	}
	if _, err := Preset("dance", 1); err == nil || !strings.Contains(err.Error(), "fanout") {
		t.Errorf("an unknown name is answered with %v", err)
	}
}

func TestScenariosThatMakeNoSense(t *testing.T) {
	change := func(name string, f func(s *Scenario)) Scenario {
		s, err := Preset(name, 10)
		if err != nil {
			t.Fatal(err)
		}
		f(&s)
		return s
	}
	for name, s := range map[string]Scenario{
		"no kind":           change("fanout", func(s *Scenario) { s.Kind = "" }),
		"nobody":            change("fanout", func(s *Scenario) { s.Connections = 0 }),
		"no time":           change("fanout", func(s *Scenario) { s.Duration = 0 }),
		"time runs back":    change("fanout", func(s *Scenario) { s.Warmup = -time.Second }),
		"no burst":          change("burst", func(s *Scenario) { s.Burst = 0 }),
		"endless burst":     change("burst", func(s *Scenario) { s.Burst = 1 << 20 }),
		"negative rate":     change("paced", func(s *Scenario) { s.Rate = -1 }),
		"mad rate":          change("paced", func(s *Scenario) { s.Rate = 1e9 }),
		"rooms of nobody":   change("rooms", func(s *Scenario) { s.RoomSize = 0 }),
		"nothing in flight": change("rooms", func(s *Scenario) { s.InFlight = 0 }),
		"beside nothing":    change("beside", func(s *Scenario) { s.SmallConnections = 0 }),
		"beside silence":    change("beside", func(s *Scenario) { s.SmallRate = 0 }),
	} {
		if err := s.Validate(); err == nil {
			t.Errorf("%s: %+v is valid", name, s)
		}
	}
}

func TestRoomsOf(t *testing.T) {
	for _, c := range []struct{ connections, size, rooms, last int }{
		{10, 10, 1, 10}, {20, 10, 2, 10}, {21, 10, 3, 1}, {3, 10, 1, 3},
	} {
		rooms := roomsOf("room", c.connections, c.size, &tally{})
		members := 0
		names := make(map[string]bool)
		for _, r := range rooms {
			members += r.members
			names[r.name] = true
		}
		if len(rooms) != c.rooms || len(names) != c.rooms || members != c.connections || rooms[len(rooms)-1].members != c.last {
			t.Errorf("%d in rooms of %d: %+v", c.connections, c.size, rooms)
		}
	}
}
