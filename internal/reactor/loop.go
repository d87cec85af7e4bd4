package reactor

import (
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"
)

// Task is work posted to a loop.
type Task interface{ Run(l *Loop) }

// TaskFunc is a function as a Task.
type TaskFunc func(l *Loop)

// Run calls the function.
func (f TaskFunc) Run(l *Loop) { f(l) }

// Job is work in many small steps, between which the loop serves others.
type Job interface {
	// Step does the next part and reports whether there is more.
	Step(l *Loop) (more bool)
}

// poller waits for what a loop has to do besides its mail.
type poller interface {
	// wait serves what is ready. If nothing is, it waits as long as l.patience
	// allows, and calls l.mail.awake after that.
	wait(l *Loop)
	// wake ends a wait, from any goroutine; without one, the next.
	wake()
	// close releases what it holds. It may be called again, and wake after it.
	close()
}

// Loop is one event loop: a goroutine that owns connections, timers and jobs.
// Its methods are for that goroutine only, Index and Post excepted.
type Loop struct {
	// Set when it is made.
	engine *Engine
	index  int
	log    *slog.Logger
	epoch  time.Time // ticks and stamps count from here
	poll   poller
	ended  chan struct{}

	mail  mailbox
	conns atomic.Int64 // connections, those on their way here included

	// The loop's own.
	now     time.Time
	wheel   wheel
	jobs    []Job
	round   []Job // jobs before their step, while each takes one
	table   table
	sender  *Conn   // whose sends are in out, which this callback collects
	out     []byte  // not written yet
	dying   []*Conn // closed, but Closed was not called yet
	read    []byte  // what a read fills; made at the first
	scratch []byte
	rested  time.Time // when others last had the processor for sure
	stopped bool
}

// mostBusy is how long a loop goes on before it makes room for the goroutines
// beside it (handshakes, requests, peers). Go would take the processor away only
// after 10 ms, each time that one of them becomes ready.
const mostBusy = 2 * time.Millisecond

func newLoop(e *Engine, index int) (*Loop, error) {
	l := &Loop{engine: e, index: index, log: e.opts.Logger, epoch: time.Now(), ended: make(chan struct{}), scratch: make([]byte, 0, 4096)}
	l.now = l.epoch
	if e.opts.Engine == "std" {
		l.poll = newSignal()
		return l, nil
	}
	p, err := newPoller()
	l.poll = p
	return l, err
}

// Index is the loop's place among Engine.Loops. Any goroutine may ask.
func (l *Loop) Index() int { return l.index }

// Now returns the time at which this turn of the loop began, with its monotonic
// part.
func (l *Loop) Now() time.Time { return l.now }

// Buffer returns memory of length 0 to build something in. It is the same memory
// each time, to be used within one callback.
func (l *Loop) Buffer() []byte { return l.scratch[:0] }

// Post hands a task to the loop, from any goroutine, without blocking. Tasks of
// one goroutine run in the order they were posted. It returns false if the loop
// has stopped; the task will not run then.
func (l *Loop) Post(t Task) bool {
	ok, wake := l.mail.put(t)
	if wake {
		l.poll.wake()
	}
	return ok
}

// Here calls start, whose answer is called once, on any goroutine and perhaps
// before start returns, and then runs then on the loop: at once if the answer came
// before start returned. It is not run if the loop has stopped.
func (l *Loop) Here(start func(answer func(error)), then func(err error)) {
	const (
		returned = 1
		answered = 2
	)
	var state atomic.Int32
	var result error
	start(func(err error) {
		if result = err; !state.CompareAndSwap(0, answered) {
			l.Post(TaskFunc(func(*Loop) { then(result) }))
		}
	})
	if !state.CompareAndSwap(0, returned) {
		then(result)
	}
}

// AddJob adds a job to the round: one Step a turn until it reports that there is
// no more. Jobs that are left when the engine stops are dropped.
func (l *Loop) AddJob(j Job) { l.jobs = append(l.jobs, j) }

// Arm makes f fire once after d, counted from Now and rounded up to the wheel's
// tick of 20 ms. An armed timer is moved. If f has a method ReactorConn() *Conn,
// a panic in Fire costs that connection.
func (l *Loop) Arm(t *Timer, d time.Duration, f Firer) {
	at := l.now.Sub(l.epoch) + min(max(d, 0), forEver)
	l.wheel.arm(t, int64((at+wheelTick-1)/wheelTick), f)
}

// forEver keeps the longest of waits from overflowing.
const forEver = time.Duration(1) << 62

// Disarm takes the timer out, if it is armed.
func (l *Loop) Disarm(t *Timer) { l.wheel.disarm(t) }

// Each visits every connection that is not closed. fn may close any.
func (l *Loop) Each(fn func(c *Conn)) { l.table.each(fn) }

// run is the loop's goroutine. One turn:
//
//  1. serve the sockets that are ready, and wait for one if there is nothing
//     else to do
//  2. the mail that has come
//  3. the timers that are due
//  4. one step of each job
func (l *Loop) run() {
	defer close(l.ended)
	defer l.poll.close()
	for !l.stopped {
		l.poll.wait(l)
		l.now = time.Now()
		l.readMail()
		l.wheel.advance(int64(l.now.Sub(l.epoch)/wheelTick), l.fire)
		l.step()
		if l.now.Sub(l.rested) >= mostBusy {
			runtime.Gosched()
			l.rested = l.now
		}
	}
	// What was posted before the mailbox closed was promised to run.
	l.mail.close()
	l.readMail()
}

// patience reports whether the loop has nothing to do but wait, as far as its jobs
// and timers go, and until when; the zero time is for ever. A poller that goes on
// to wait announces that in the mailbox (sleep), so that posters wake it.
func (l *Loop) patience() (until time.Time, idle bool) {
	if len(l.jobs) > 0 || l.stopped {
		return until, false
	}
	if ticks := l.wheel.next(); ticks >= 0 {
		until = l.epoch.Add(time.Duration(l.wheel.now+ticks) * wheelTick)
		if time.Until(until) <= 0 {
			return until, false
		}
	}
	return until, true
}

func (l *Loop) readMail() {
	tasks := l.mail.take()
	for i, t := range tasks {
		tasks[i] = nil
		l.runTask(t)
	}
	l.mail.giveBack(tasks)
}

// step lets each job take one step. Jobs that are added meanwhile take their
// first in the next turn.
func (l *Loop) step() {
	l.jobs, l.round = l.round[:0], l.jobs
	for i, j := range l.round {
		l.round[i] = nil
		if l.runStep(j) {
			l.jobs = append(l.jobs, j)
		}
	}
}

// stop is the last task that a loop runs for its engine.
func (l *Loop) stop() {
	l.table.each(func(c *Conn) { c.Close(ErrStopped) })
	l.stopped = true
}

// stamp is now as connections keep it: nanoseconds since epoch.
func (l *Loop) stamp() int64 { return int64(l.now.Sub(l.epoch)) }
