package reactor

import (
	"fmt"
	"runtime/debug"
)

// Every way from a loop into the code of its users goes through this file. When
// a callback returns or panics, what it sent leaves and whom it closed is
// buried, before the loop does anything else.

func (l *Loop) runTask(t Task) {
	defer l.settle()
	defer l.caught("task", nil)
	t.Run(l)
}

func (l *Loop) runStep(j Job) (more bool) {
	defer l.settle()
	defer l.caught("job", nil)
	return j.Step(l)
}

func (l *Loop) fire(f Firer) {
	var c *Conn
	if o, ok := f.(interface{ ReactorConn() *Conn }); ok {
		c = o.ReactorConn()
	}
	defer l.settle()
	defer l.caught("timer", c)
	f.Fire(l)
}

// open makes the handler of a new connection.
func (l *Loop) open(c *Conn, open func(c *Conn) Handler) {
	c.lastRead = l.stamp()
	c.lastWrite = c.lastRead
	defer l.settle()
	defer l.caught("open", c)
	c.handler = open(c)
}

// data gives what was read to the handler, unless nobody wants it any more.
func (l *Loop) data(c *Conn, p []byte) {
	c.lastRead = l.stamp()
	if c.closed || c.ending && !c.hearing {
		return
	}
	defer l.settle()
	defer l.caught("Data", c)
	c.handler.Data(c, p)
}

// drain goes on with the backlog, and tells the handler when it is gone.
func (l *Loop) drain(c *Conn) {
	defer l.settle()
	defer l.caught("Drained", c)
	if c.writeBacklog() && !c.ending {
		c.handler.Drained(c)
	}
}

// bury ends a closed connection.
func (l *Loop) bury(c *Conn) {
	defer l.release(c)
	defer l.caught("Closed", nil)
	if c.handler != nil { // open may have panicked
		c.handler.Closed(c, c.cause)
	}
}

// PanicError is what Closed gets when a callback of the connection panicked.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the loop at that moment
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// caught, deferred, ends a panic. If it came from a callback of c, that
// connection pays for it; c is nil for callbacks of none.
func (l *Loop) caught(where string, c *Conn) {
	v := recover()
	if v == nil {
		return
	}
	err := &PanicError{Value: v, Stack: debug.Stack()}
	l.log.Error("a callback panicked", "where", where, "panic", v, "stack", string(err.Stack))
	if c != nil {
		c.Close(err)
	}
}
