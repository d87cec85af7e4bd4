package trucks

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// drawing is the country as it was drawn: a few points for each line, in km.
//
//go:embed country.json
var drawing []byte

// The south-western corner of the drawing on the globe, in the Atlantic, where
// nothing is.
const (
	west, south = -18.5, -0.36 // degrees
	kmInDegree  = 111.195
)

// degree turns km east or north of a corner into degrees, to the nearest metre.
func degree(corner, km float64) float64 { return math.Round((corner+km/kmInDegree)*1e5) / 1e5 }

// sketch is the form of country.json.
type sketch struct {
	Name        string
	East, North float64
	Land        []shape
	Water       []shape
	Rivers      []shape
	Woods       [][][2]float64
	Places      []place
	Roads       []struct {
		From, To string
		Kind     int
		Bridge   bool
		By       [][2]float64
	}
	Borders map[string][][2]float64
	Regions []struct {
		ID, Name string
		Label    [2]float64
		Around   []string // borders, end to end; "-": the other way round
	}
}

type shape struct {
	Name string
	Line [][2]float64
}

type place struct {
	Name string
	At   [2]float64
	Size int // 1: the capital … 3
}

// country is what the drawing becomes: lines that look as if they had been
// surveyed, and roads to drive on. It does not change.
type country struct {
	name                       string
	east, north                float64
	land, water, rivers, woods [][]point
	borders                    [][]point
	places                     []place
	roads                      []*road
	next                       [][]*road // by place and destination
	regions                    []region
}

type region struct {
	ID, Name string
	label    point
	area     []point
}

func drawCountry(source []byte) (*country, error) {
	var s sketch
	if err := json.Unmarshal(source, &s); err != nil {
		return nil, fmt.Errorf("trucks: the drawing of the country: %w", err)
	}
	c := &country{name: s.Name, east: s.East, north: s.North, places: s.Places}
	for _, l := range s.Land {
		c.land = append(c.land, roughen(round(l.Line, true, 3.5), l.Name, 0.24, 4))
	}
	for _, w := range s.Water {
		c.water = append(c.water, roughen(round(w.Line, true, 2.5), w.Name, 0.2, 3))
	}
	for _, r := range s.Rivers {
		c.rivers = append(c.rivers, roughen(round(r.Line, false, 2), r.Name, 0.22, 2))
	}
	for i, w := range s.Woods {
		c.woods = append(c.woods, roughen(round(w, true, 3), fmt.Sprint("wood ", i), 0.25, 2))
	}
	if err := c.build(&s); err != nil {
		return nil, err
	}
	return c, c.divide(&s)
}

// build lays the roads between the places.
func (c *country) build(s *sketch) error {
	number := make(map[string]int)
	for i, p := range c.places {
		number[p.Name] = i
	}
	for _, r := range s.Roads {
		from, ok1 := number[r.From]
		to, ok2 := number[r.To]
		if !ok1 || !ok2 || r.Kind < 1 || r.Kind > 3 {
			return fmt.Errorf("trucks: the road from %q to %q leads nowhere or is of kind %d", r.From, r.To, r.Kind)
		}
		points := append([][2]float64{c.places[from].At}, r.By...)
		built := newRoad(from, to, r.Kind, round(append(points, c.places[to].At), false, 1))
		built.bridge = r.Bridge
		c.roads = append(c.roads, built)
	}
	c.next = routes(len(c.places), c.roads)
	return nil
}

// divide makes the regions of their borders. Neighbours share a border, so that
// every point is in exactly one of them.
func (c *country) divide(s *sketch) error {
	borders := make(map[string][]point)
	for _, name := range slices.Sorted(maps.Keys(s.Borders)) {
		line := round(s.Borders[name], false, 3)
		if !strings.HasPrefix(name, "sea-") {
			line = roughen(line, name, 0.12, 2)
			c.borders = append(c.borders, line)
		}
		borders[name] = line
	}
	for _, r := range s.Regions {
		made := region{ID: r.ID, Name: r.Name, label: point{r.Label[0], r.Label[1]}}
		for _, name := range r.Around {
			name, back := strings.CutPrefix(name, "-")
			line := borders[name]
			if len(line) == 0 {
				return fmt.Errorf("trucks: region %q has a border %q that is not drawn", r.ID, name)
			}
			// The last point of a border is the first of the next one.
			for i := range len(line) - 1 {
				if back {
					i = len(line) - 1 - i
				}
				made.area = append(made.area, line[i])
			}
		}
		c.regions = append(c.regions, made)
	}
	return nil
}

// region returns the id of the region that a point is in. Far out at sea, where
// there is none, it is empty.
func (c *country) region(p point) string {
	for i := range c.regions {
		if inside(p, c.regions[i].area) {
			return c.regions[i].ID
		}
	}
	return ""
}
