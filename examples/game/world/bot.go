package world

import "slices"

// botNames begin as no user's name can.
var botNames = []string{"~pip", "~moss", "~wren", "~dot"}

// bot walks to a bell, by the shortest way, more slowly than people can. It does not bump
// into anybody.
type bot struct{ goal Point }

func (b *bot) next(w *World, at Point) Point {
	if !slices.Contains(w.bells, b.goal) {
		b.goal = w.bells[w.chance.IntN(len(w.bells))]
	}
	to := w.wayTo(at, b.goal)
	return w.field.walk(at, toward(at.X, to.X), toward(at.Y, to.Y), amble)
}

// wayTo is the middle of the next cell on a shortest way between two places: from the goal
// all cells are visited in the order of their distance, until one is beside the start.
func (w *World) wayTo(from, goal Point) Point {
	f := w.field
	start, end := from.Y/Cell*f.Width+from.X/Cell, goal.Y/Cell*f.Width+goal.X/Cell
	seen := make([]bool, f.Width*f.Height)
	seen[end] = true
	for queue := []int{end}; len(queue) > 0; queue = queue[1:] {
		column, row := queue[0]%f.Width, queue[0]/f.Width
		for _, d := range [4][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			x, y := column+d[0], row+d[1]
			if f.wall(x, y) || seen[y*f.Width+x] {
				continue
			}
			if y*f.Width+x == start {
				return Point{column*Cell + Cell/2, row*Cell + Cell/2}
			}
			seen[y*f.Width+x] = true
			queue = append(queue, y*f.Width+x)
		}
	}
	return goal // it stands in the goal's own cell
}

// toward is the direction along an axis, 0 when less than a step is missing.
func toward(from, to int) int {
	switch {
	case to-from >= amble:
		return 1
	case from-to >= amble:
		return -1
	}
	return 0
}
