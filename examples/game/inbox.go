package game

import (
	"sync"

	"ringdown/examples/game/world"
)

// said is the latest that a page has said.
type said struct {
	world.Input
	leaves bool
}

// inbox holds, from one tick to the next, the latest that each user has said. That is
// enough, since a page sends all steps that it has not seen made; and it is why a user who
// sends a thousand messages in a tick costs no more than one who sends one.
type inbox struct {
	mu    sync.Mutex
	users map[string]said
}

// put replaces what the user said before, unless that was of a newer page. It is false if
// too many users wait.
func (b *inbox) put(user string, s said) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, waits := b.users[user]
	if !waits && len(b.users) >= maxWaiting {
		return false
	}
	if b.users == nil {
		b.users = map[string]said{}
	}
	if !waits || before.Session <= s.Session {
		b.users[user] = s
	}
	return true
}

// take empties it.
func (b *inbox) take() map[string]said {
	b.mu.Lock()
	defer b.mu.Unlock()
	users := b.users
	b.users = nil
	return users
}
