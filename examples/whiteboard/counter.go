package whiteboard

import (
	"context"
	"sync"
	"time"

	"ringdown/protocol"
)

const (
	maxBoards = 200         // that are counted; the others are counted anew when something is drawn on them
	recount   = time.Second // at least between two counts of a board that is full
)

// counter knows which strokes boards have, so that none gets too many. What it knows may
// be too much: a stroke that was let in and then not stored, that was taken back, or that
// went by its age. So a board that seems full is counted anew.
type counter struct {
	channels channels
	now      func() time.Time

	mu     sync.Mutex
	boards map[string]*board
}

// board is what is known of one. Who has locked it may ask the server about it.
type board struct {
	mu      sync.Mutex
	strokes map[string]bool // nil: not counted yet
	counted time.Time
}

func newCounter(c channels) *counter {
	return &counter{channels: c, now: time.Now, boards: map[string]*board{}}
}

// of returns the board of a channel, and forgets another one if there are too many.
func (c *counter) of(channel string) *board {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.boards[channel]
	if b == nil {
		for other := range c.boards {
			if len(c.boards) < maxBoards {
				break
			}
			delete(c.boards, other)
		}
		b = &board{}
		c.boards[channel] = b
	}
	return b
}

// add takes a stroke in, or says that the board is full.
func (c *counter) add(ctx context.Context, channel, key string) error {
	b := c.of(channel)
	b.mu.Lock()
	defer b.mu.Unlock()
	full := func() bool { return len(b.strokes) >= MaxStrokes && !b.strokes[key] }
	if b.strokes == nil || full() && c.now().Sub(b.counted) >= recount {
		state, err := c.channels.State(ctx, channel)
		if err != nil {
			return err
		}
		b.strokes, b.counted = make(map[string]bool, len(state.Values)), c.now()
		for key := range state.Values {
			b.strokes[key] = true
		}
	}
	if full() {
		return protocol.Errorf(protocol.CodeLimitExceeded, "the board is full: it has %d strokes", MaxStrokes)
	}
	b.strokes[key] = true
	return nil
}

func (c *counter) remove(channel, key string) {
	b := c.of(channel)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.strokes, key)
}
