package world

import (
	_ "embed"
	"strings"
)

// Lengths are whole numbers, so that the page, which walks by the same rules ahead of
// the server, comes to exactly the same places. A cell of the field is 100 of them.
const (
	Cell  = 100
	Body  = 35 // from the middle of a player to its edge
	Pace  = 30 // of one step, that is of 50 ms: six cells a second
	Slow  = 21 // of a diagonal step, along each axis
	amble = 10 // of a bot's step, along each axis
)

// Drawing is the field, a line for each row of cells: # is a wall.
//
//go:embed field.txt
var Drawing string

// Point is a place on the field; y grows downwards.
type Point struct{ X, Y int }

// near reports whether two places are less than so far apart.
func (p Point) near(q Point, distance int) bool {
	x, y := p.X-q.X, p.Y-q.Y
	return x*x+y*y < distance*distance
}

// Field is where the walls are. It does not change.
type Field struct {
	rows          []string
	Width, Height int // in cells
}

// NewField reads a drawing. All its lines are equally long.
func NewField(drawing string) *Field {
	rows := strings.Fields(drawing)
	return &Field{rows: rows, Width: len(rows[0]), Height: len(rows)}
}

func (f *Field) wall(column, row int) bool {
	return column < 0 || row < 0 || column >= f.Width || row >= f.Height || f.rows[row][column] == '#'
}

// free reports whether a body has room at p.
func (f *Field) free(p Point) bool {
	for _, y := range [2]int{p.Y - Body, p.Y + Body - 1} {
		for _, x := range [2]int{p.X - Body, p.X + Body - 1} {
			if x < 0 || y < 0 || f.wall(x/Cell, y/Cell) {
				return false
			}
		}
	}
	return true
}

// Step is where one step from p leads. The direction is a digit as on the block of
// numbers of a keyboard: 8 is up, 6 right, 3 down and right. Walls stop one axis and not
// the other, so that a player slides along them. Others are in the way unless the step
// leads away from them.
func (f *Field) Step(p Point, direction byte, others []Point) Point {
	dx, dy := Direction(direction)
	pace := Pace
	if dx != 0 && dy != 0 {
		pace = Slow
	}
	to := f.walk(p, dx, dy, pace)
	for _, o := range others {
		before, after := square(p, o), square(to, o)
		if after < 4*Body*Body && after < before {
			return p
		}
	}
	return to
}

// walk goes along both axes, as far as the walls let it.
func (f *Field) walk(p Point, dx, dy, pace int) Point {
	return f.slide(f.slide(p, dx, 0, pace), 0, dy, pace)
}

// slide goes along one axis as far as there is room.
func (f *Field) slide(p Point, dx, dy, pace int) Point {
	for ; pace > 0 && (dx != 0 || dy != 0); pace-- {
		if to := (Point{p.X + dx*pace, p.Y + dy*pace}); f.free(to) {
			return to
		}
	}
	return p
}

func square(p, q Point) int { return (p.X-q.X)*(p.X-q.X) + (p.Y-q.Y)*(p.Y-q.Y) }

// Direction is that of a digit along each axis: -1, 0 or 1. What is no digit from 1 to 9
// is no direction.
func Direction(digit byte) (dx, dy int) {
	if digit < '1' || digit > '9' {
		return 0, 0
	}
	n := int(digit - '1')
	return n%3 - 1, 1 - n/3
}
