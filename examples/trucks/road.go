package trucks

import "math"

// road leads from one place to another.
type road struct {
	from, to int // places
	kind     int // 1: motorway, 2: main road, 3: lane
	bridge   bool
	line     []point
	along    []float64 // km from the beginning to each point of line
	length   float64   // km
}

func newRoad(from, to, kind int, line []point) *road {
	r := &road{from: from, to: to, kind: kind, line: line, along: make([]float64, len(line))}
	for i := 1; i < len(line); i++ {
		r.along[i] = r.along[i-1] + line[i].distance(line[i-1])
	}
	r.length = r.along[len(line)-1]
	return r
}

// at returns where somebody is who has gone so many km along the road, toward
// its end or the other way, and the direction in degrees clockwise from north.
func (r *road) at(gone float64, toward bool) (p point, heading int) {
	if !toward {
		gone = r.length - gone
	}
	i := 1
	for i < len(r.line)-1 && r.along[i] < gone {
		i++
	}
	a, b := r.line[i-1], r.line[i]
	share := min(max((gone-r.along[i-1])/(r.along[i]-r.along[i-1]), 0), 1)
	dx, dy := b.x-a.x, b.y-a.y
	if !toward {
		dx, dy = -dx, -dy
	}
	heading = int(math.Round(math.Atan2(dx, dy)*180/math.Pi)+360) % 360
	return a.toward(b, share), heading
}

// limit returns how fast one may drive, in km/h: the road's own speed, and less
// near the places at its ends.
func (r *road) limit(gone float64) float64 {
	const town = 2.5 // km
	open := [...]float64{1: 92, 2: 76, 3: 58}[r.kind]
	near := max(min(gone, r.length-gone), 0)
	return open * min(1, 0.45+0.55*near/town)
}

// routes returns, for each pair of places, the road to take at the first in
// order to get to the second soonest; nil where there is none.
func routes(places int, roads []*road) (next [][]*road) {
	cost := make([][]float64, places)
	next = make([][]*road, places)
	for i := range places {
		cost[i], next[i] = make([]float64, places), make([]*road, places)
		for j := range places {
			if i != j {
				cost[i][j] = math.Inf(1)
			}
		}
	}
	for _, r := range roads {
		hours := r.length / r.limit(r.length/2)
		for _, way := range [][2]int{{r.from, r.to}, {r.to, r.from}} {
			if hours < cost[way[0]][way[1]] {
				cost[way[0]][way[1]], next[way[0]][way[1]] = hours, r
			}
		}
	}
	for k := range places {
		for i := range places {
			for j := range places {
				if via := cost[i][k] + cost[k][j]; via < cost[i][j] {
					cost[i][j], next[i][j] = via, next[i][k]
				}
			}
		}
	}
	return next
}
