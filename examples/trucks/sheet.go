package trucks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// spot is a point on the globe: longitude and latitude in degrees.
type spot [2]float64

// sheet returns the country as the page draws it, as JSON.
func (c *country) sheet() []byte {
	type named struct {
		Name string `json:"name"`
		At   spot   `json:"at"`
		Size int    `json:"size"`
	}
	type way struct {
		Kind   int    `json:"kind"`
		Bridge bool   `json:"bridge,omitempty"`
		Line   []spot `json:"line"`
	}
	type part struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Label spot   `json:"label"`
		Area  []spot `json:"area"`
	}
	corner := globe(point{c.east, c.north})
	s := struct {
		Name    string     `json:"name"`
		Bounds  [4]float64 `json:"bounds"` // west, south, east, north
		Land    [][]spot   `json:"land"`
		Water   [][]spot   `json:"water"`
		Rivers  [][]spot   `json:"rivers"`
		Woods   [][]spot   `json:"woods"`
		Borders [][]spot   `json:"borders"`
		Roads   []way      `json:"roads"`
		Places  []named    `json:"places"`
		Regions []part     `json:"regions"`
	}{
		Name: c.name, Bounds: [4]float64{west, south, corner[0], corner[1]},
		Land: lines(c.land), Water: lines(c.water), Rivers: lines(c.rivers), Woods: lines(c.woods), Borders: lines(c.borders),
	}
	for _, r := range c.roads {
		s.Roads = append(s.Roads, way{r.kind, r.bridge, spots(r.line)})
	}
	for _, p := range c.places {
		s.Places = append(s.Places, named{p.Name, globe(point{p.At[0], p.At[1]}), p.Size})
	}
	for _, r := range c.regions {
		s.Regions = append(s.Regions, part{r.ID, r.Name, globe(r.label), spots(r.area)})
	}
	body, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and names
	}
	return body
}

// globe gives a point of the map to the nearest ten metres, which is what a
// screen can show.
func globe(p point) spot {
	return spot{math.Round(degree(west, p.x)*1e4) / 1e4, math.Round(degree(south, p.y)*1e4) / 1e4}
}

func spots(line []point) []spot {
	s := make([]spot, len(line))
	for i, p := range line {
		s[i] = globe(p)
	}
	return s
}

func lines(all [][]point) [][]spot {
	s := make([][]spot, len(all))
	for i, line := range all {
		s[i] = spots(line)
	}
	return s
}

// picture returns a small drawing of the country with a few trucks on it, as
// SVG, for a page that leads here.
func (c *country) picture() []byte {
	const scale = 2.45
	at := func(p point) (x, y float64) { return 13 + p.x*scale, 222 - p.y*scale }
	var b bytes.Buffer
	path := func(line []point, style string) {
		b.WriteString(`<path d="`)
		verb, last := "M", point{}
		for i, p := range line {
			if i > 0 && i < len(line)-1 && p.distance(last) < 1.4 {
				continue // too near to be seen
			}
			x, y := at(p)
			fmt.Fprintf(&b, "%s%.1f %.1f", verb, x, y)
			verb, last = "L", p
		}
		fmt.Fprintf(&b, "\" %s/>\n", style)
	}
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240"><rect width="320" height="240" fill="#8fc4cf"/>` + "\n")
	for _, l := range c.land {
		path(l, `fill="#e9dfb8" stroke="#10282c" stroke-width="4" stroke-linejoin="round"`)
	}
	for _, w := range c.woods {
		path(w, `fill="#b7cf96"`)
	}
	for _, w := range c.water {
		path(w, `fill="#8fc4cf" stroke="#10282c" stroke-width="3"`)
	}
	for _, r := range c.roads {
		if r.kind == 1 {
			path(r.line, `fill="none" stroke="#fffdf5" stroke-width="5" stroke-linecap="round"`)
		}
	}
	for i, r := range c.roads {
		if r.kind != 1 || r.length < 10 {
			continue
		}
		p, heading := r.at(r.length/2, i%2 == 0)
		x, y := at(p)
		fmt.Fprintf(&b, `<path transform="translate(%.1f %.1f) rotate(%d)" d="M0-12 9 9 0 5-9 9z" fill="%s" stroke="#10282c" stroke-width="3.5" stroke-linejoin="round"/>`+"\n",
			x, y, heading, [...]string{"#07766f", "#f2c14e", "#bf3027"}[i%3])
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
