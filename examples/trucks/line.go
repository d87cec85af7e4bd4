package trucks

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
)

// point is a place on the drawing, in km east and north of its corner.
type point struct{ x, y float64 }

func (p point) distance(q point) float64 { return math.Hypot(p.x-q.x, p.y-q.y) }

func (p point) toward(q point, share float64) point {
	return point{p.x + (q.x-p.x)*share, p.y + (q.y-p.y)*share}
}

// round draws a curve through the points of a hand-drawn line, of pieces of
// about so many km (Catmull-Rom). A closed line ends where it began.
func round(drawn [][2]float64, closed bool, piece float64) []point {
	n := len(drawn)
	at := func(i int) point {
		if closed {
			i = (i + n) % n
		}
		i = min(max(i, 0), n-1)
		return point{drawn[i][0], drawn[i][1]}
	}
	spans := n - 1
	if closed {
		spans = n
	}
	line := []point{at(0)}
	for i := range spans {
		a, b, c, d := at(i-1), at(i), at(i+1), at(i+2)
		steps := max(1, int(math.Ceil(b.distance(c)/piece)))
		for s := 1; s <= steps; s++ {
			u := float64(s) / float64(steps)
			line = append(line, point{spline(a.x, b.x, c.x, d.x, u), spline(a.y, b.y, c.y, d.y, u)})
		}
	}
	return line
}

func spline(a, b, c, d, u float64) float64 {
	return 0.5 * (2*b + (c-a)*u + (2*a-5*b+4*c-d)*u*u + (3*b-a-3*c+d)*u*u*u)
}

// roughen makes a smooth line look like one that water made: each piece is
// broken in the middle, moved aside by up to a share of its length, as often as
// depth says. The points of the line stay, and the same name gives the same
// line.
func roughen(line []point, name string, share float64, depth int) []point {
	h := fnv.New64a()
	h.Write([]byte(name))
	chance := rand.New(rand.NewPCG(h.Sum64(), 0))
	for range depth {
		rough := make([]point, 0, 2*len(line))
		for i, p := range line {
			if i > 0 {
				q := line[i-1]
				aside := (2*chance.Float64() - 1) * share
				rough = append(rough, point{(p.x+q.x)/2 - (p.y-q.y)*aside, (p.y+q.y)/2 + (p.x-q.x)*aside})
			}
			rough = append(rough, p)
		}
		line = rough
	}
	return line
}

// inside reports whether p is within a closed line.
func inside(p point, line []point) bool {
	in := false
	for i, a := range line {
		b := line[(i+1)%len(line)]
		if (a.y > p.y) != (b.y > p.y) && p.x < a.x+(b.x-a.x)*(p.y-a.y)/(b.y-a.y) {
			in = !in
		}
	}
	return in
}
