package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
)

// Telemetry is one report.
type Telemetry struct {
	Site        string  `json:"site"`
	Temperature float64 `json:"temperature"` // degrees Celsius
	Target      int     `json:"target"`
	Moisture    int     `json:"moisture"` // of the soil, per cent
	Battery     int     `json:"battery"`  // per cent
	Signal      int     `json:"signal"`   // dBm
	Valve       bool    `json:"valve"`
}

// The battery below which a valve stays as it is, and what can be heated to.
const (
	weak                 = 10
	minTarget, maxTarget = 5, 35
)

// Body is what a device is besides a client: here a simulated heater, valve and
// thermometer in a greenhouse. It is safe for concurrent use.
type Body struct {
	mu                             sync.Mutex
	chance                         *rand.Rand
	site                           string
	temperature, moisture, battery float64
	signal                         float64
	target                         int
	valve                          bool
}

func newBody(site string, chance *rand.Rand) *Body {
	b := &Body{chance: chance, site: site, target: 18 + chance.IntN(7)}
	b.temperature = float64(b.target) - 4 + 6*chance.Float64()
	b.moisture = 35 + 35*chance.Float64()
	b.battery = 25 + 75*chance.Float64()
	b.signal = -85 + 30*chance.Float64()
	return b
}

// Measure lets a report's time pass and says how it is.
func (b *Body) Measure() Telemetry {
	b.mu.Lock()
	defer b.mu.Unlock()
	near := func(v, to, share, noise float64) float64 { return v + (to-v)*share + noise*(b.chance.Float64()-.5) }
	b.temperature = near(b.temperature, float64(b.target), .04, .25)
	b.signal = min(-45, max(-100, near(b.signal, -70, .02, 5)))
	if b.battery -= .03; b.battery < 3 {
		b.battery = 100 // somebody has come by with a new one
	}
	if b.valve {
		b.moisture = near(b.moisture, 92, .05, .6)
	} else {
		b.moisture = near(b.moisture, 28, .008, .6)
	}
	return Telemetry{
		Site: b.site, Temperature: math.Round(b.temperature*10) / 10, Target: b.target, Moisture: int(math.Round(b.moisture)),
		Battery: int(math.Round(b.battery)), Signal: int(math.Round(b.signal)), Valve: b.valve,
	}
}

// Do carries out a command. The error says to people why it was refused.
func (b *Body) Do(c Command) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch c.Verb {
	case "valve":
		var open bool
		if err := json.Unmarshal(c.Value, &open); err != nil || string(c.Value) == "null" {
			return errors.New("a valve is true, open, or false, shut")
		}
		if open && b.battery < weak {
			return fmt.Errorf("the battery is at %.0f %%: below %d %% the valve stays shut", b.battery, weak)
		}
		b.valve = open
	case "target":
		var degrees int
		if err := json.Unmarshal(c.Value, &degrees); err != nil || degrees < minTarget || degrees > maxTarget {
			return fmt.Errorf("it heats to between %d and %d °C", minTarget, maxTarget)
		}
		b.target = degrees
	case "reboot":
		b.valve = false // a spring shuts it
	default:
		return fmt.Errorf("it does not know how to %s", c.Verb)
	}
	return nil
}

// fail is what happens to it without power.
func (b *Body) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.valve = false
}
