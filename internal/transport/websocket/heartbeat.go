package websocket

import (
	"errors"
	"math/rand/v2"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// The heartbeat is one timer for each connection. It is not moved when
// something is sent or received, which would cost every message; when it is due
// it looks what has happened since, and arms itself for when something could
// have to be done.

var (
	errHeartbeat = errors.New("nothing came back for the heartbeat")
	errStalled   = errors.New("the peer takes nothing of what waits for it")
)

func (c *Conn) startHeartbeat() {
	// Spread, so that those who came at once are not pinged at once.
	d := c.opts.PingInterval
	c.Loop().Arm(&c.timer, d-rand.N(d/8+1), c)
}

// watchMessage makes the timer look in time at a message that has begun.
func (c *Conn) watchMessage() {
	c.Loop().Arm(&c.timer, min(c.opts.MessageTimeout, c.opts.PingInterval), c)
}

// Fire looks after the connection.
func (c *Conn) Fire(l *reactor.Loop) {
	if c.closing {
		return
	}
	now := l.Now()
	next := c.opts.PingInterval
	if c.in != nil {
		left := c.opts.MessageTimeout - now.Sub(c.in.begun)
		if left <= 0 {
			c.fail(protocol.ClosePolicy, errUnfinished)
			return
		}
		next = min(next, left)
	}
	wait, ok := c.beat(now)
	if ok {
		l.Arm(&c.timer, max(min(next, wait), time.Millisecond), c)
	}
}

// beat pings if it is time, and reports when to look again; not ok: it closed.
func (c *Conn) beat(now time.Time) (wait time.Duration, ok bool) {
	if c.rc.Blocked() {
		switch {
		case c.rc.Dead():
			c.why = errHeartbeat
			c.rc.Close(errHeartbeat)
			return 0, false
		case now.Sub(c.rc.LastWrite()) >= c.opts.StalledTimeout:
			// No close frame would get through.
			c.why = errStalled
			c.rc.Close(errStalled)
			return 0, false
		}
		c.pinged = 0
		return c.opts.PingInterval, true
	}
	if c.pinged != 0 {
		sent := time.Unix(0, c.pinged)
		switch {
		case c.rc.LastRead().UnixNano() >= c.pinged:
			c.pinged = 0
		case now.Sub(sent) >= c.opts.PongTimeout:
			c.why = errHeartbeat
			c.Close(uint16(protocol.CloseHeartbeat), protocol.CloseHeartbeat.Reason())
			return 0, false
		default:
			return c.opts.PongTimeout - now.Sub(sent), true
		}
	}
	silent := now.Sub(c.rc.LastWrite())
	if silent < c.opts.PingInterval {
		return c.opts.PingInterval - silent, true
	}
	c.sendControl(wsframe.Ping, nil)
	c.pinged = now.UnixNano()
	return c.opts.PongTimeout, true
}
