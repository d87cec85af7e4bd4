package scores

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Match is a match as it stands.
type Match struct {
	Home   string `json:"home"`
	Away   string `json:"away"`
	Goals  [2]int `json:"goals"`
	Minute int    `json:"minute"`
	Period string `json:"period"` // first, half-time, second, over
}

// News is what happened.
type News struct {
	Kind  string `json:"kind"` // goal, card, whistle, desk
	Match string `json:"match,omitempty"`
	Text  string `json:"text"`
}

// leagues are the teams, two and two of a match.
var leagues = map[string][]string{
	"harbour": {"Tug Rovers", "Anchor Town", "Lighthouse", "Dock End", "Ferry City", "Salt Works", "Gulls", "Cable Street"},
	"hills":   {"Upper Farm", "Mill Brook", "Quarry", "Old Oak", "Stonebridge", "Sheepfold", "Windmill", "Deep Well"},
}

// A match is a minute a step, and begins anew some steps after its end.
const (
	halfTime  = 45
	fullTime  = 90
	restAtEnd = 20 // steps
)

// league is the matches of a league that are being played. It is pure: chance is handed
// in. Not safe for concurrent use.
type league struct {
	name    string
	keys    []string
	matches map[string]*Match
	rest    map[string]int // steps since the end
}

func newLeague(name string) *league {
	l := &league{name: name, matches: map[string]*Match{}, rest: map[string]int{}}
	teams := leagues[name]
	for i := 0; i < len(teams); i += 2 {
		key := strings.ToLower(strings.ReplaceAll(teams[i]+"-"+teams[i+1], " ", ""))
		l.keys = append(l.keys, key)
		l.matches[key] = &Match{Home: teams[i], Away: teams[i+1], Period: "first"}
	}
	return l
}

// step plays one minute of each match, and says what happened.
func (l *league) step(chance *rand.Rand) (news []News) {
	for _, key := range l.keys {
		if n := l.play(key, chance); n.Kind != "" {
			n.Match = key
			news = append(news, n)
		}
	}
	return news
}

func (l *league) play(key string, chance *rand.Rand) News {
	m := l.matches[key]
	switch {
	case m.Period == "over":
		if l.rest[key]++; l.rest[key] < restAtEnd {
			return News{}
		}
		l.rest[key] = 0
		*m = Match{Home: m.Home, Away: m.Away, Period: "first"}
		return News{Kind: "whistle", Text: m.Home + " against " + m.Away + " has begun."}
	case m.Minute == halfTime && m.Period == "first":
		m.Period = "half-time"
		return News{Kind: "whistle", Text: "Half-time. " + m.line()}
	case m.Minute == fullTime:
		m.Period = "over"
		return News{Kind: "whistle", Text: "It is over. " + m.line()}
	}
	if m.Period == "half-time" {
		m.Period = "second"
	}
	m.Minute++
	side, teams := chance.IntN(2), [2]string{m.Home, m.Away}
	switch n := chance.IntN(100); {
	case n < 3:
		m.Goals[side]++
		return News{Kind: "goal", Text: fmt.Sprintf("%d', goal for %s. %s", m.Minute, teams[side], m.line())}
	case n < 5:
		return News{Kind: "card", Text: fmt.Sprintf("%d', a yellow card for %s.", m.Minute, teams[side])}
	}
	return News{}
}

func (m *Match) line() string {
	return fmt.Sprintf("%s %d, %s %d.", m.Home, m.Goals[0], m.Away, m.Goals[1])
}
