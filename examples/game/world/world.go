// Package world is the game without a network: who stands where, whose steps count, and
// who gathers which bell. It is pure: time and chance are handed in. It is not safe for
// concurrent use.
//
// The world goes on in ticks of 50 ms, and in one tick a player is owed one step. Steps
// come from the page in numbered runs. They are applied in the order of their numbers, each
// once, however often a run or a part of it is sent.
package world

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Period is the time from one tick to the next.
const Period = 50 * time.Millisecond

// Limits of the world.
const (
	MaxPlayers = 32 // at a time, without bots
	MaxSteps   = 20 // that wait to be applied, and in one input
	saved      = 10 // steps that a player who stood still, or was not heard, may make up for
	perTick    = 2  // steps of one player in one tick, when there are some to make up for
	bells      = 12
	reach      = 60              // how near a bell has to be
	Silence    = 5 * time.Second // after which a player has left
)

// Input is what a page says of its player: from step number First on it goes these ways.
// An input without steps says only that somebody is there.
type Input struct {
	Session int64  `json:"session"` // a page's own; the greatest one of a user plays
	First   int64  `json:"first"`
	Steps   string `json:"steps"` // a digit each, see Direction
}

// Player is one player as everybody is told of it.
type Player struct {
	User    string `json:"user"`
	X       int    `json:"x"`
	Y       int    `json:"y"`
	Session int64  `json:"session,omitempty"`
	Step    int64  `json:"step"` // the last one that is applied
}

// Frame is the world after a tick.
type Frame struct {
	World   int64    `json:"world"` // another one after each start of the server
	Tick    int64    `json:"tick"`
	At      int64    `json:"at"` // in ms since 1970
	Players []Player `json:"players"`
	Bells   [][2]int `json:"bells"`
}

// player is a player or a bot.
type player struct {
	Point
	session int64
	applied int64  // number of the last step that was made
	steps   string // that wait; the first has the number applied+1
	owed    int    // how many more it may make
	heard   time.Time
	bot     *bot
}

// World is all that there is. The zero value is not usable; see [New].
type World struct {
	field   *Field
	chance  *rand.Rand
	players map[string]*player
	bells   []Point
	scores  map[string]int
	id      int64
	tick    int64
}

// New makes a world with so many bots, in which these scores were reached before.
func New(f *Field, bots int, scores map[string]int, chance *rand.Rand) *World {
	w := &World{field: f, chance: chance, id: chance.Int64N(1 << 53), players: map[string]*player{}, scores: maps.Clone(scores)}
	if w.scores == nil {
		w.scores = map[string]int{}
	}
	for range bells {
		w.bells = append(w.bells, w.somewhere())
	}
	for i := range min(bots, len(botNames)) {
		w.players[botNames[i]] = &player{Point: w.somewhere(), bot: &bot{}}
	}
	return w
}

// somewhere is the middle of a free cell with nobody and no bell near it; of the last one
// that was tried, where the field is full.
func (w *World) somewhere() (p Point) {
	for range 200 {
		column, row := w.chance.IntN(w.field.Width), w.chance.IntN(w.field.Height)
		if w.field.wall(column, row) {
			continue
		}
		p = Point{column*Cell + Cell/2, row*Cell + Cell/2}
		taken := slices.ContainsFunc(w.bells, func(b Point) bool { return b.near(p, Cell) })
		for _, o := range w.players {
			taken = taken || o.near(p, 2*Cell)
		}
		if !taken {
			return p
		}
	}
	return p
}

// People is how many players there are who are no bots.
func (w *World) People() (n int) {
	for _, p := range w.players {
		if p.bot == nil {
			n++
		}
	}
	return n
}

// Take hears an input of a user and says whether the user is in the world.
func (w *World) Take(user string, in Input, now time.Time) bool {
	p := w.players[user]
	switch {
	case p != nil && (p.bot != nil || in.Session < p.session):
		return false // a page that another page of the same user has taken over from
	case p == nil && w.People() >= MaxPlayers:
		return false
	case p == nil:
		p = &player{Point: w.somewhere()}
		w.players[user] = p
		p.begin(in)
	case in.Session > p.session: // the same player goes on from another page
		p.begin(in)
	}
	p.heard = now
	p.queue(in)
	return true
}

// begin starts the count of a page's steps.
func (p *player) begin(in Input) { p.session, p.applied, p.steps = in.Session, in.First-1, "" }

// queue adds what is new of a run of steps. Steps that are missing before it were never
// made.
func (p *player) queue(in Input) {
	next := p.applied + int64(len(p.steps)) + 1
	switch {
	case in.First > next && p.steps == "":
		p.applied = in.First - 1
	case in.First > next:
		return // what waits comes first; the page sends the rest again
	default:
		known := min(next-in.First, int64(len(in.Steps)))
		in.Steps = in.Steps[known:]
	}
	p.steps += in.Steps[:min(len(in.Steps), MaxSteps-len(p.steps))]
}

// Leave takes a user's player out, if it is still this session's.
func (w *World) Leave(user string, session int64) {
	if p := w.players[user]; p != nil && p.bot == nil && p.session <= session {
		delete(w.players, user)
	}
}

// Tick goes on by one period. It returns what everybody is to be told, and the scores that
// have changed.
func (w *World) Tick(now time.Time) (Frame, map[string]int) {
	w.tick++
	won := map[string]int{}
	for _, user := range slices.Sorted(maps.Keys(w.players)) {
		p := w.players[user]
		if p.bot == nil && now.Sub(p.heard) > Silence {
			delete(w.players, user)
			continue
		}
		if p.bot != nil {
			p.Point = p.bot.next(w, p.Point)
		} else {
			w.walk(user, p)
		}
		if n := w.gather(p.Point); n > 0 {
			w.scores[user] += n
			won[user] = w.scores[user]
		}
	}
	return w.frame(now), won
}

// walk makes the steps of a player that are due: one, or two as long as there are some to
// make up for.
func (w *World) walk(user string, p *player) {
	p.owed = min(p.owed+1, saved)
	var others []Point
	for name, o := range w.players {
		if name != user && o.bot == nil {
			others = append(others, o.Point)
		}
	}
	for range min(perTick, p.owed, len(p.steps)) {
		p.Point = w.field.Step(p.Point, p.steps[0], others)
		p.steps = p.steps[1:]
		p.applied++
		p.owed--
	}
}

// gather takes the bells that are in reach; others take their place elsewhere.
func (w *World) gather(p Point) (n int) {
	for i, b := range w.bells {
		if p.near(b, reach) {
			n++
			w.bells[i] = w.somewhere()
		}
	}
	return n
}

func (w *World) frame(now time.Time) Frame {
	f := Frame{World: w.id, Tick: w.tick, At: now.UnixMilli(), Players: []Player{}, Bells: [][2]int{}}
	for _, user := range slices.Sorted(maps.Keys(w.players)) {
		p := w.players[user]
		f.Players = append(f.Players, Player{user, p.X, p.Y, p.session, p.applied})
	}
	for _, b := range w.bells {
		f.Bells = append(f.Bells, [2]int{b.X, b.Y})
	}
	return f
}
