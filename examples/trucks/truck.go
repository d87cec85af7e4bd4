package trucks

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Position is what a truck reports.
type Position struct {
	Lon     float64 `json:"lon"`     // degrees
	Lat     float64 `json:"lat"`     // degrees
	Heading int     `json:"heading"` // degrees clockwise from north, 0 to 359
	Speed   int     `json:"speed"`   // km/h
	Status  Status  `json:"status"`
	Load    int     `json:"load"` // per cent of what it can carry
	Cargo   string  `json:"cargo"`
	To      string  `json:"to"` // the place it is going to
}

// Status is what a truck is doing.
type Status string

// Everything a truck may be doing.
const (
	Driving Status = "driving"
	Loading Status = "loading"
	Resting Status = "resting"
	Broken  Status = "broken"
)

// haste is how much faster the trucks live than who looks at them: at their own
// pace they would take half a minute to cross a pixel.
const haste = 30

// longestStep is how far a truck goes on in one move, however long ago the last
// one was.
const longestStep = 3 * time.Second

// How often, in turns, something happens to a truck on the road.
const (
	restEvery  = 240
	breakEvery = 1500
)

var cargoes = []string{"timber", "milk", "apples", "salt cod", "bricks", "wool", "letters", "barley", "slate", "bicycles", "cheese", "paper"}

// truck is one vehicle. Between two calls of due it may be read by whoever
// reports it.
type truck struct {
	id     string
	pace   float64 // of what the road allows
	status Status
	cargo  string
	load   int
	speed  float64 // km/h

	road   *road
	toward bool    // from the road's beginning to its end
	gone   float64 // km on it
	to     int     // the place it is going to

	moved time.Time     // the last move
	stays time.Duration // how much longer it does not drive

	position Position
	region   string
	left     []string // regions where it is no more, and that have not heard so
}

// newTruck puts a truck somewhere on some road.
func newTruck(id string, c *country, chance *rand.Rand) *truck {
	t := &truck{id: id, pace: 0.82 + 0.2*chance.Float64(), status: Driving}
	t.road = c.roads[chance.IntN(len(c.roads))]
	t.toward = chance.IntN(2) == 0
	t.gone = chance.Float64() * t.road.length
	t.fill(chance)
	t.depart(t.ahead(), c, chance)
	return t
}

func (t *truck) fill(chance *rand.Rand) {
	t.cargo, t.load = "", 0
	if chance.IntN(8) > 0 { // or it goes empty
		t.cargo, t.load = cargoes[chance.IntN(len(cargoes))], 25+chance.IntN(76)
	}
}

// ahead returns the place at the end of the road it is on.
func (t *truck) ahead() int {
	if t.toward {
		return t.road.to
	}
	return t.road.from
}

// depart chooses a destination other than the given place. Larger places are
// where more is wanted.
func (t *truck) depart(from int, c *country, chance *rand.Rand) {
	for {
		t.to = chance.IntN(len(c.places))
		if t.to != from && chance.IntN(c.places[t.to].Size) == 0 {
			return
		}
	}
}

// move brings the truck to where it is now.
func (t *truck) move(now time.Time, c *country, chance *rand.Rand) {
	var step time.Duration
	if !t.moved.IsZero() {
		step = min(max(now.Sub(t.moved), 0), longestStep)
	}
	t.moved = now
	switch {
	case t.status == Driving:
		t.drive(step, c, chance)
	case t.stays > step:
		t.stays -= step
	default:
		t.goOn(c, chance)
	}
	p, heading := t.road.at(t.gone, t.toward)
	t.position = Position{
		Lon: degree(west, p.x), Lat: degree(south, p.y), Heading: heading, Speed: int(math.Round(t.speed)),
		Status: t.status, Load: t.load, Cargo: t.cargo, To: c.places[t.to].Name,
	}
	t.settle(c.region(p))
}

// settle notes which region it is in, and which ones it has left.
func (t *truck) settle(region string) {
	if t.region != "" && t.region != region && !slices.Contains(t.left, t.region) {
		t.left = append(t.left, t.region)
	}
	t.region = region
	t.left = slices.DeleteFunc(t.left, func(r string) bool { return r == region })
}

func (t *truck) drive(step time.Duration, c *country, chance *rand.Rand) {
	t.speed = t.road.limit(t.gone) * t.pace
	rest := t.speed * (haste * step).Hours()
	for rest >= t.road.length-t.gone {
		rest -= t.road.length - t.gone
		here := t.ahead()
		if here == t.to {
			t.gone = t.road.length
			t.stop(Loading, 6, 20, chance)
			return
		}
		t.road = c.next[here][t.to]
		t.toward, t.gone = t.road.from == here, 0
	}
	t.gone += rest
	switch {
	case chance.IntN(breakEvery) == 0:
		t.stop(Broken, 20, 60, chance)
	case chance.IntN(restEvery) == 0:
		t.stop(Resting, 8, 25, chance)
	}
}

// stop makes it stay for some seconds.
func (t *truck) stop(why Status, least, most int, chance *rand.Rand) {
	t.status, t.speed = why, 0
	t.stays = time.Duration(least+chance.IntN(most-least)) * time.Second
}

// goOn ends a stay.
func (t *truck) goOn(c *country, chance *rand.Rand) {
	if t.status == Loading {
		here := t.to
		t.fill(chance)
		t.depart(here, c, chance)
		t.road = c.next[here][t.to]
		t.toward, t.gone = t.road.from == here, 0
	}
	t.status = Driving
	t.speed = t.road.limit(t.gone) * t.pace
}

// report tells the regions it has left, and then the one it is in. What fails is
// tried again the next time.
func (t *truck) report(ctx context.Context, c Channels) error {
	for len(t.left) > 0 {
		if err := c.Publish(ctx, t.left[0], t.id, nil); err != nil {
			return err
		}
		t.left = t.left[1:]
	}
	return c.Publish(ctx, t.region, t.id, &t.position)
}
