package reactor

import (
	"fmt"
	"log/slog"
	"runtime/debug"
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

// PanicError is what Closed gets when a callback of the connection panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// poller waits for the loop's sockets.
type poller interface {
	// wait waits at most d for something to do (d < 0: for ever) and does it.
	wait(l *Loop, d time.Duration) error
	// wake ends a wait, from any goroutine.
	wake()
	close()
}

// Loop is one event loop: a goroutine that owns connections, timers and jobs.
type Loop struct {
	// Set at New.
	engine *Engine
	index  int
	log    *slog.Logger
	epoch  time.Time // ticks and activity stamps count from here
	poll   poller
	ended  chan struct{}

	mail  mailbox
	conns atomic.Int64 // connections, those on their way here included

	// The loop's own.
	now     time.Time
	wheel   wheel
	jobs    []Job
	kept    []Job // jobs that go on, while the round runs
	table   table
	current *Conn  // whose callback runs; its sends are collected in out
	out     []byte // of current
	dying   []*Conn
	read    []byte
	scratch []byte
	stopped bool
}

// Index is the loop's place among Engine.Loops.
func (l *Loop) Index() int { return l.index }

// Now returns the time of this turn of the loop.
func (l *Loop) Now() time.Time { return l.now }

// Buffer returns memory of length 0 to build something in, valid within one
// callback.
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

// AddJob adds a job to the round. Loop only.
func (l *Loop) AddJob(j Job) { l.jobs = append(l.jobs, j) }

// Arm makes f fire after d, which is rounded up to the wheel's tick of 20 ms. An
// armed timer is moved. Loop only.
func (l *Loop) Arm(t *Timer, d time.Duration, f Firer) {
	at := l.now.Add(d).Sub(l.epoch)
	l.wheel.arm(t, int64((at+wheelTick-1)/wheelTick), f)
}

// Disarm takes the timer out, if it is armed. Loop only.
func (l *Loop) Disarm(t *Timer) { l.wheel.disarm(t) }

// Each visits every connection. fn may close it. Loop only.
func (l *Loop) Each(fn func(c *Conn)) { l.table.each(fn) }

// run is the loop's goroutine. One turn:
//
//  1. wait for sockets, not at all while there are jobs or mail; serve them
//  2. the mail
//  3. timers
//  4. one step of each job
func (l *Loop) run() {
	defer close(l.ended)
	defer l.poll.close()
	for !l.stopped {
		if err := l.poll.wait(l, l.patience()); err != nil {
			l.log.Error("waiting for sockets failed", "error", err)
		}
		l.mail.awake()
		l.now = time.Now()
		for _, t := range l.mail.take() {
			l.runTask(t)
		}
		l.wheel.advance(int64(l.now.Sub(l.epoch)/wheelTick), l.fire)
		l.round()
	}
	// Posters that came before the mailbox closed still count on their tasks.
	l.mail.close()
	for _, t := range l.mail.take() {
		l.runTask(t)
	}
}

// patience is how long the loop may wait. If it may at all, posters know that
// they have to wake it.
func (l *Loop) patience() time.Duration {
	if len(l.jobs) > 0 {
		return 0
	}
	d := time.Duration(-1)
	if ticks := l.wheel.next(); ticks >= 0 {
		due := l.epoch.Add(time.Duration(l.wheel.now+ticks) * wheelTick)
		if d = time.Until(due); d <= 0 {
			return 0
		}
	}
	if !l.mail.sleep() {
		return 0
	}
	return d
}

// round takes one step of each job.
func (l *Loop) round() {
	jobs := l.jobs
	l.jobs = l.kept[:0]
	for i, j := range jobs {
		jobs[i] = nil
		if l.step(j) {
			l.jobs = append(l.jobs, j)
		}
	}
	l.kept = jobs
}

func (l *Loop) step(j Job) (more bool) {
	defer l.reap()
	defer l.caught("job", nil)
	return j.Step(l)
}

func (l *Loop) runTask(t Task) {
	defer l.reap()
	defer l.caught("task", nil)
	t.Run(l)
}

func (l *Loop) fire(f Firer) {
	var c *Conn
	if o, ok := f.(interface{ ReactorConn() *Conn }); ok {
		c = o.ReactorConn()
	}
	defer l.reap()
	defer l.caught("timer", c)
	f.Fire(l)
}

// caught ends a panic. If it came from a connection's callback, that connection
// pays for it.
func (l *Loop) caught(what string, c *Conn) {
	v := recover()
	if v == nil {
		return
	}
	err := &PanicError{Value: v, Stack: debug.Stack()}
	l.log.Error("a callback panicked", "in", what, "panic", v, "stack", string(err.Stack))
	if c != nil {
		c.Close(err)
	}
}
