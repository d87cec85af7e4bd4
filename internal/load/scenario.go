package load

import (
	"fmt"
	"time"
)

// Kind is what a scenario does.
type Kind string

// The kinds of scenario.
const (
	Idle   Kind = "idle"   // subscribed connections that get nothing: memory, connect rate
	Fanout Kind = "fanout" // everyone on one channel
	Rooms  Kind = "rooms"  // everyone in small channels
	Beside Kind = "beside" // a few small channels while a large one is busy
	Storm  Kind = "storm"  // all connect at once, are cut, and come back at once
	// Recover: all are cut, miss messages, and come back at once for them, while a
	// few small channels go on.
	Recover Kind = "recover"
)

// Scenario is one kind of load with its figures. Presets has sensible ones.
type Scenario struct {
	Name string `json:"name"` // what results call it
	Kind Kind   `json:"kind"`

	// Connections is the number of subscribers; in Beside, those of the large
	// channel. The publisher is one connection more.
	Connections int `json:"connections"`

	// Rate is how many publications are offered per second, whatever becomes of
	// them (open loop). 0 is a closed loop: in Fanout the next Burst publications
	// leave, in one write, when the last ones have reached everybody; in Rooms
	// InFlight rooms always have one publication on its way. Beside needs a rate.
	Rate     float64 `json:"rate,omitempty"`
	Burst    int     `json:"burst,omitempty"`
	InFlight int     `json:"in_flight,omitempty"`

	// RoomSize is how many connections share a channel in Rooms and in the small
	// channels of Beside and Recover, which have SmallConnections altogether and get SmallRate
	// publications per second altogether.
	RoomSize         int     `json:"room_size,omitempty"`
	SmallConnections int     `json:"small_connections,omitempty"`
	SmallRate        float64 `json:"small_rate,omitempty"`

	// Missed is how many messages each channel gets in Recover while its members
	// are away.
	Missed int `json:"missed,omitempty"`

	// Warmup passes before the measured Duration begins. In Idle, Duration is how
	// long the idle server's CPU is watched; Storm has no use for either.
	Warmup   time.Duration `json:"warmup_ns"`
	Duration time.Duration `json:"duration_ns"`
}

// window is how many connections may be under way at once, in Connections' terms
// well below the usual listen backlog.
const window = 256

// Presets returns the scenarios that `ringdown bench` and bench/ run, for n
// subscribers, which are 10,000 in published figures (15,000 in idle).
func Presets(n int) []Scenario {
	warmup, duration := time.Second, 4*time.Second
	of := func(name string, kind Kind) Scenario {
		return Scenario{Name: name, Kind: kind, Connections: n, Warmup: warmup, Duration: duration}
	}
	idle := of("idle", Idle)
	idle.Warmup, idle.Duration = 0, 2*time.Second
	fanout := of("fanout", Fanout)
	fanout.Burst = 1
	burst := of("burst", Fanout)
	burst.Burst = 16
	paced := of("paced", Fanout)
	paced.Rate = 8
	overload := of("overload", Fanout)
	overload.Rate = 50
	rooms := of("rooms", Rooms)
	rooms.RoomSize, rooms.InFlight = 10, 64
	beside := of("beside", Beside)
	beside.Rate = 8
	beside.RoomSize, beside.SmallConnections, beside.SmallRate = 10, 20, 100
	storm := of("storm", Storm)
	back := of("recover", Recover)
	back.RoomSize, back.SmallConnections, back.SmallRate, back.Missed = 10, 20, 500, 100
	return []Scenario{idle, fanout, burst, paced, overload, rooms, beside, storm, back}
}

// Preset returns the scenario of Presets with that name.
func Preset(name string, n int) (Scenario, error) {
	var names []string
	for _, s := range Presets(n) {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("load: no scenario %q; there are %v", name, names)
}

// Validate says in a sentence what is wrong with the scenario's figures.
func (s Scenario) Validate() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("load: scenario %s: %s", s.Name, fmt.Sprintf(format, args...))
	}
	switch s.Kind {
	case Idle, Fanout, Rooms, Beside, Storm, Recover:
	default:
		return wrong("no kind %q", s.Kind)
	}
	if s.Connections < 1 {
		return wrong("%d connections; at least one is needed", s.Connections)
	}
	if s.Duration <= 0 && s.Kind != Storm || s.Warmup < 0 {
		return wrong("a warm-up of %v and a duration of %v", s.Warmup, s.Duration)
	}
	if s.Rate < 0 || s.Rate > maxRate || s.SmallRate < 0 || s.SmallRate > maxRate {
		return wrong("rates are 0 to %d publications per second", maxRate)
	}
	switch {
	case s.Kind == Fanout && s.Rate == 0 && s.Burst < 1:
		return wrong("a closed loop needs a burst of at least 1")
	case s.Burst > maxBurst:
		return wrong("a burst of %d; at most %d", s.Burst, maxBurst)
	case (s.Kind == Rooms || s.Kind == Beside || s.Kind == Recover) && s.RoomSize < 1:
		return wrong("rooms of %d", s.RoomSize)
	case s.Kind == Rooms && s.Rate == 0 && s.InFlight < 1:
		return wrong("a closed loop needs at least one publication in flight")
	case s.Kind == Beside && (s.Rate == 0 || s.SmallRate == 0 || s.SmallConnections < 1):
		return wrong("needs two rates and small connections")
	case s.Kind == Recover && (s.SmallRate == 0 || s.SmallConnections < 1):
		return wrong("needs small connections and their rate")
	case s.Kind == Recover && (s.Missed < 1 || s.Missed > maxMissed):
		return wrong("%d missed messages; 1 to %d", s.Missed, maxMissed)
	}
	return nil
}

const (
	maxRate  = 100_000
	maxBurst = 1024
	// maxMissed is what the benchmark's channels keep.
	maxMissed = 1000
)
