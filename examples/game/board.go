package game

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Score is what is known of a player on game:scores.
type Score struct {
	Bells int `json:"bells"`
}

// retry is how long a score waits that could not be written.
const retry = 500 * time.Millisecond

// board writes scores, on a goroutine of its own: a tick must not wait for the disk. Of a
// player who scores faster than it writes only the newest score is written.
type board struct {
	write func(ctx context.Context, user string, s Score) error
	log   *slog.Logger

	mu    sync.Mutex
	dirty map[string]Score
	news  chan struct{} // has room for one

	cancel context.CancelFunc
	done   chan struct{}
}

func newBoard(write func(ctx context.Context, user string, s Score) error, log *slog.Logger) *board {
	return &board{write: write, log: log, dirty: map[string]Score{}, news: make(chan struct{}, 1)}
}

func (b *board) put(user string, s Score) {
	b.mu.Lock()
	b.dirty[user] = s
	b.mu.Unlock()
	b.wake()
}

func (b *board) wake() {
	select {
	case b.news <- struct{}{}:
	default: // it is awake already
	}
}

func (b *board) start() {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan struct{})
	go b.run(ctx)
}

// stop writes what is left and ends. It does nothing before start, and the second time.
func (b *board) stop() {
	if b.cancel != nil {
		b.cancel()
		<-b.done
	}
}

func (b *board) run(ctx context.Context) {
	defer close(b.done)
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-b.news:
		case <-again.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), retry)
			defer cancel()
			b.flush(last)
			return
		}
		if !b.flush(ctx) {
			again.Reset(retry)
		}
	}
}

// flush writes all that is dirty, and keeps what could not be written.
func (b *board) flush(ctx context.Context) bool {
	b.mu.Lock()
	dirty := b.dirty
	b.dirty = map[string]Score{}
	b.mu.Unlock()
	var failure error
	for user, s := range dirty {
		if err := b.write(ctx, user, s); err != nil {
			failure = err
			b.keep(user, s)
		}
	}
	if failure != nil && ctx.Err() == nil {
		b.log.Warn("scores of the game could not be written; they will be", "error", failure)
	}
	return failure == nil
}

// keep puts a score back, unless there is a newer one by now.
func (b *board) keep(user string, s Score) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, newer := b.dirty[user]; !newer {
		b.dirty[user] = s
	}
}
