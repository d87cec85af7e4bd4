package scores

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ringdown/protocol"
)

const (
	atOnce  = 4  // matches of a league on the board
	begun   = 40 // minutes that are played when a league has never been looked at
	longest = 12 // minutes between two whistles, and before the first one
	stays   = 25 // minutes that a match is on the board after its end
)

// Channels are the channels of a league.
type Channels interface {
	// Tell publishes a piece of news. Told again with the same key and the same content,
	// it is told once.
	Tell(ctx context.Context, league, event, dedupe string, n News) error
	// Post puts a match on the board; a nil one takes it off.
	Post(ctx context.Context, league, id string, m *Match) error
	// Kept returns what is on the board, and the latest news, the oldest first.
	Kept(ctx context.Context, league string) ([]Match, []News, error)
}

// league is a league's matches. Those who change them, the play and the editors, take turns.
//
// A change is told as news first, and then put on the board. If the server dies in between,
// load finds the news and puts it on the board then: the news are the log, and the board
// follows. What could not be told is told again, to the letter, before anything else.
type league struct {
	name     string
	channels Channels
	chance   *rand.Rand

	mu      sync.Mutex
	loaded  bool
	matches map[string]Match
	waits   map[string]int // minutes that a match stands still for
	due     *change        // told, or not: that is not known
	posts   map[string]bool
	number  int // of the newest match
}

type change struct {
	event string
	news  News
}

func newLeague(name string, c Channels, chance *rand.Rand) *league {
	return &league{name: name, channels: c, chance: chance, matches: map[string]Match{}, waits: map[string]int{}, posts: map[string]bool{}}
}

// load takes up the matches where they were left.
func (l *league) load(ctx context.Context) error {
	matches, news, err := l.channels.Kept(ctx, l.name)
	if err != nil {
		return fmt.Errorf("scores: what is kept of %s: %w", l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range matches {
		l.matches[m.ID] = m
		if n, err := strconv.Atoi(strings.TrimPrefix(m.ID, l.name+"-")); err == nil {
			l.number = max(l.number, n)
		}
	}
	for _, n := range news {
		if m, ok := l.matches[n.ID]; ok && m.Version < n.Version {
			l.set(n.Match)
		}
	}
	l.loaded = true
	return nil
}

// set changes a match here; the board is to be told.
func (l *league) set(m Match) {
	l.matches[m.ID] = m
	l.posts[m.ID] = true
}

// play plays one minute of every match, and brings on new ones.
func (l *league) play(ctx context.Context) error {
	if !l.ready() {
		if err := l.load(ctx); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.settle(ctx); err != nil {
		return err
	}
	minutes := 1
	if len(l.matches) == 0 {
		minutes = begun
	}
	l.fill()
	if err := l.post(ctx); err != nil { // on the board before there is news of them
		return err
	}
	for range minutes {
		for _, id := range l.ids() {
			if err := l.minute(ctx, id); err != nil {
				return err
			}
		}
	}
	return l.post(ctx)
}

func (l *league) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

func (l *league) ids() []string { return slices.Sorted(maps.Keys(l.matches)) }

// fill has as many matches as there is room for, between clubs that do not play.
func (l *league) fill() {
	rest := slices.Clone(leagues[l.name])
	playing := 0
	for _, m := range l.matches {
		rest = slices.DeleteFunc(rest, func(club string) bool { return club == m.Home || club == m.Away })
		if m.Period != Ended || l.waits[m.ID] < stays {
			playing++
		}
	}
	l.chance.Shuffle(len(rest), func(i, k int) { rest[i], rest[k] = rest[k], rest[i] })
	for ; playing < atOnce && len(rest) >= 2; playing++ {
		l.number++
		id := fmt.Sprintf("%s-%d", l.name, l.number)
		l.set(Match{ID: id, Home: rest[0], Away: rest[1], Period: Before})
		rest = rest[2:]
	}
}

// minute goes on with one match.
func (l *league) minute(ctx context.Context, id string) error {
	m := l.matches[id]
	if m.Period == Before || m.Period == HalfTime || m.Period == Ended {
		l.waits[id]++
		if m.Period == Ended {
			if l.waits[id] > stays { // the next one is on the board by now
				delete(l.matches, id)
				delete(l.waits, id)
				l.posts[id] = true
			}
			return nil
		}
		if l.waits[id] < longest && l.chance.IntN(longest/2) > 0 {
			return nil
		}
		delete(l.waits, id)
	}
	event, n := m.next(l.chance)
	if event == "" {
		l.set(n.Match)
		return nil
	}
	return l.tell(ctx, event, n)
}

// tell tells a piece of news and sets the match as it is after it.
func (l *league) tell(ctx context.Context, event string, n News) error {
	l.due = &change{event, n}
	return l.settle(ctx)
}

// settle tells what is due.
func (l *league) settle(ctx context.Context) error {
	if l.due == nil {
		return nil
	}
	d := *l.due
	err := l.channels.Tell(ctx, l.name, d.event, fmt.Sprintf("%s/%d", d.news.ID, d.news.Version), d.news)
	if refused, ok := errors.AsType[*protocol.Error](err); ok && !refused.Retryable {
		l.due = nil // it never will be
	}
	if err != nil {
		return err
	}
	l.due = nil
	l.set(d.news.Match)
	return nil
}

// post brings the board up to date: new matches before old ones go, so that the number of
// the newest is always on it.
func (l *league) post(ctx context.Context) error {
	ids := slices.SortedFunc(maps.Keys(l.posts), func(a, b string) int {
		_, stays := l.matches[a]
		_, also := l.matches[b]
		return cmp.Or(-compare(stays, also), strings.Compare(a, b))
	})
	for _, id := range ids {
		var there *Match
		if m, ok := l.matches[id]; ok {
			there = &m
		}
		if err := l.channels.Post(ctx, l.name, id, there); err != nil {
			return err
		}
		delete(l.posts, id)
	}
	return nil
}

func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Correction is what an editor wants a score to be.
type Correction struct {
	League  string `json:"league"`
	Match   string `json:"match"`
	Version int    `json:"version"` // of the match that the editor has seen
	Goals   [2]int `json:"goals"`
	Reason  string `json:"reason"`
}

// correct sets a score right, if nothing has happened in the match that the editor has not
// seen.
func (l *league) correct(ctx context.Context, c Correction, by string) (Match, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		return Match{}, protocol.Errorf(protocol.CodeUnavailable, "the matches of this league are not loaded yet: try again in a second")
	}
	if err := l.settle(ctx); err != nil {
		return Match{}, err
	}
	m, ok := l.matches[c.Match]
	switch {
	case !ok:
		return Match{}, protocol.Errorf(protocol.CodeNotFound, "there is no match %q on the board", c.Match)
	case m.Period == Before:
		return Match{}, protocol.Errorf(protocol.CodeConflict, "%s against %s has not begun", m.Home, m.Away)
	case m.Version != c.Version:
		return Match{}, protocol.Errorf(protocol.CodeConflict, "something has happened since: it is %d to %d now, version %d", m.Goals[0], m.Goals[1], m.Version)
	case m.Goals == c.Goals:
		return Match{}, protocol.Errorf(protocol.CodeConflict, "it is %d to %d already", m.Goals[0], m.Goals[1])
	}
	m.Goals = c.Goals
	m.Version++
	if err := l.tell(ctx, "correction", News{Match: m, Reason: c.Reason, By: by}); err != nil {
		return Match{}, err
	}
	return m, l.post(ctx)
}
