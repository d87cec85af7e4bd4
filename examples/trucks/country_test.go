package trucks

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func drawn(t testing.TB) *country {
	t.Helper()
	c, err := drawCountry(drawing)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func onLand(c *country, p point) bool {
	for _, l := range c.land {
		if inside(p, l) {
			return true
		}
	}
	return false
}

func inWater(c *country, p point) bool {
	for _, w := range c.water {
		if inside(p, w) {
			return true
		}
	}
	return false
}

// The roads are drawn by hand and the coast is roughened: the two must not meet.
func TestRoadsAreOnDryLand(t *testing.T) {
	c := drawn(t)
	for _, r := range c.roads {
		wet := 0
		for _, p := range r.line {
			if !onLand(c, p) {
				wet++
			}
			if inWater(c, p) {
				t.Errorf("the road from %s to %s goes into a lake at %v", c.places[r.from].Name, c.places[r.to].Name, p)
			}
		}
		if r.bridge != (wet > 0) {
			t.Errorf("the road from %s to %s has %d points in the sea; a bridge: %t", c.places[r.from].Name, c.places[r.to].Name, wet, r.bridge)
		}
	}
	for _, p := range c.places {
		if at := (point{p.At[0], p.At[1]}); !onLand(c, at) || inWater(c, at) {
			t.Errorf("%s is in the water", p.Name)
		}
	}
}

func TestEveryPlaceLeadsToEveryOther(t *testing.T) {
	c := drawn(t)
	for from := range c.places {
		for to := range c.places {
			here, roads := from, 0
			for here != to {
				r := c.next[here][to]
				if r == nil || roads > len(c.roads) {
					t.Fatalf("no way from %s to %s", c.places[from].Name, c.places[to].Name)
				}
				if here == r.from {
					here = r.to
				} else {
					here = r.from
				}
				roads++
			}
		}
	}
}

func TestRegionsShareTheLandOut(t *testing.T) {
	c := drawn(t)
	found := map[string]int{}
	for x := 0.25; x < c.east; x += 2 {
		for y := 0.25; y < c.north; y += 2 {
			p, owners := point{x, y}, 0
			for i := range c.regions {
				if inside(p, c.regions[i].area) {
					owners++
				}
			}
			if owners != 1 {
				t.Errorf("%v is in %d regions", p, owners)
			}
			found[c.region(p)]++
		}
	}
	for _, r := range c.regions {
		if found[r.ID] < 25 {
			t.Errorf("%s has %d square km", r.ID, 4*found[r.ID])
		}
		if got := c.region(r.label); got != r.ID || !onLand(c, r.label) {
			t.Errorf("the name of %s is written in %q, or in the sea", r.ID, got)
		}
	}
}

func TestTheSameDrawingIsTheSameCountry(t *testing.T) {
	first, again := drawn(t).sheet(), drawn(t).sheet()
	if !bytes.Equal(first, again) {
		t.Error("the coast differs from one start to the next")
	}
}

func TestSheetAndPicture(t *testing.T) {
	c := drawn(t)
	var s struct {
		Bounds  [4]float64
		Land    [][][2]float64
		Roads   []struct{ Line [][2]float64 }
		Regions []struct{ ID string }
	}
	body := c.sheet()
	if err := json.Unmarshal(body, &s); err != nil || len(s.Land) != 6 || len(s.Roads) != len(c.roads) || len(s.Regions) != 6 {
		t.Errorf("%v in %.100s", err, body)
	}
	if len(body) > 200<<10 {
		t.Errorf("the map has %d bytes", len(body))
	}
	for _, l := range s.Land {
		for _, p := range l {
			if p[0] < s.Bounds[0] || p[1] < s.Bounds[1] || p[0] > s.Bounds[2] || p[1] > s.Bounds[3] {
				t.Fatalf("%v is off the map", p)
			}
		}
	}
	picture := xml.NewDecoder(strings.NewReader(string(c.picture())))
	for {
		if _, err := picture.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadDrawingsAreRefused(t *testing.T) {
	for name, source := range map[string]string{
		"no JSON":           `{`,
		"a road to nowhere": `{"places":[{"name":"A","at":[0,0],"size":1}],"roads":[{"from":"A","to":"B","kind":1}]}`,
		"a kind of road":    `{"places":[{"name":"A","at":[0,0]},{"name":"B","at":[1,1]}],"roads":[{"from":"A","to":"B","kind":4}]}`,
		"no such border":    `{"regions":[{"id":"a","around":["b"]}]}`,
	} {
		if _, err := drawCountry([]byte(source)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}
