package history

import (
	"sync"
	"time"
)

// Recorder gathers events. All methods are safe for concurrent use.
//
// The time of an event is taken under the lock that puts the events in order, so
// their order is that of their times, and one that was recorded after another
// had been has the later place.
type Recorder struct {
	began time.Time
	now   func() time.Duration

	mu     sync.Mutex
	blocks [][]Event // full ones, never copied again
	block  []Event
}

const blockEvents = 4096

// NewRecorder returns a Recorder whose clock begins now and is monotonic.
func NewRecorder() *Recorder {
	r := &Recorder{began: time.Now()}
	r.now = func() time.Duration { return time.Since(r.began) }
	return r
}

// NewRecorderAt returns a Recorder with a clock of the caller's, who must not
// let it go backwards.
func NewRecorderAt(now func() time.Duration) *Recorder { return &Recorder{now: now} }

// Add records e, which the Recorder owns from then on, with the time that it is.
func (r *Recorder) Add(e Event) {
	r.mu.Lock()
	e.At = r.now()
	if len(r.block) == cap(r.block) {
		if r.block != nil {
			r.blocks = append(r.blocks, r.block)
		}
		r.block = make([]Event, 0, blockEvents)
	}
	r.block = append(r.block, e)
	r.mu.Unlock()
}

// Now returns the time of an event that would be recorded now.
func (r *Recorder) Now() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now()
}

// Len returns how many events there are.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.blocks)*blockEvents + len(r.block)
}

// Events returns what was recorded so far, in order. The slice is the caller's.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Event, 0, len(r.blocks)*blockEvents+len(r.block))
	for _, b := range r.blocks {
		all = append(all, b...)
	}
	return append(all, r.block...)
}
