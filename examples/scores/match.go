package scores

import "math/rand/v2"

// Period is what part of a match it is.
type Period string

// Everything that a match goes through, in this order.
const (
	Before   Period = "before"
	First    Period = "first"
	HalfTime Period = "half-time"
	Second   Period = "second"
	Ended    Period = "ended"
)

// Match is a line of the board. Its version counts the news of it.
type Match struct {
	ID      string `json:"match"`
	Version int    `json:"version"`
	Home    string `json:"home"`
	Away    string `json:"away"`
	Goals   [2]int `json:"goals"` // of home and away
	Minute  int    `json:"minute"`
	Period  Period `json:"period"`
}

// News is a piece of news about a match: what it is about, and the match after it.
type News struct {
	Match
	Team   string `json:"team,omitempty"`
	Player string `json:"player,omitempty"`
	Card   string `json:"card,omitempty"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
}

// How often, in minutes of one match, something happens.
const (
	goalEvery   = 32
	cardEvery   = 26
	redEvery    = 12 // in cards
	half, whole = 45, 90
)

// next is the match a minute later, and what happened in it: an event and its news, or "".
// Of what stands still (before, half-time) the minute is over when the next part begins.
func (m Match) next(chance *rand.Rand) (event string, n News) {
	n.Match = m
	whistle := func(p Period) (string, News) {
		n.Period = p
		n.Version++
		return "whistle", n
	}
	switch m.Period {
	case Before:
		return whistle(First)
	case HalfTime:
		return whistle(Second)
	case Ended:
		return "", n
	case First:
		if m.Minute >= half {
			return whistle(HalfTime)
		}
	case Second:
		if m.Minute >= whole {
			return whistle(Ended)
		}
	}
	n.Minute++
	side := chance.IntN(2)
	n.Team = [2]string{m.Home, m.Away}[side]
	switch {
	case chance.IntN(goalEvery) == 0:
		event = "goal"
		n.Goals[side]++
	case chance.IntN(cardEvery) == 0:
		event, n.Card = "card", "yellow"
		if chance.IntN(redEvery) == 0 {
			n.Card = "red"
		}
	default:
		n.Team = ""
		return "", n
	}
	n.Player = players[chance.IntN(len(players))]
	n.Version++
	return event, n
}

// leagues are those that there are, and the clubs of each: more than play at a time, so that
// new matches begin while old ones are still on the board. All of them are invented.
var leagues = map[string][]string{
	"north": {"Aldmoor", "Brack Bay", "Corrie United", "Dunhollow", "Eastlock", "Farrow Town", "Grimsand", "Hallow Wick", "Inchmere", "Kells Ferry", "Linmouth", "Northby"},
	"south": {"Isolde", "Juniper Hill", "Kestrel Vale", "Lantern Bay", "Marrow Green", "Nettlebed", "Orchard End", "Pennywell", "Quayside", "Rosedale", "Sandown Vale", "Tilly Cross"},
	"cup":   {"Quarry Bank", "Ravensfold", "Saltmarsh", "Thornby", "Underhill", "Vesper Park", "Westering", "Yarrow Bridge", "Abbot Mill", "Blackmere", "Coldharbour", "Drum Hill"},
}

var players = []string{
	"Abel", "Brandt", "Castro", "Diallo", "Eriksen", "Fofana", "Guerra", "Haas", "Ito", "Jensen", "Kovač", "Lindqvist", "Mbeki", "Novák", "Okafor",
	"Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Varga", "Weiss", "Yilmaz",
}
