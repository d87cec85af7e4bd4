package websocket

import (
	"errors"
	"math/rand/v2"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// A connection has one timer. It is not moved when something is sent or
// received, which would cost every message; when it is due it looks what has
// happened since, and arms itself for when something could have to be done. It
// serves
//
//	the heartbeat    a ping when nothing was heard, or nothing sent, for
//	                 PingInterval, and the end when nothing came within PongTimeout
//	the slow         the end when nothing of what waits was taken for
//	                 StalledTimeout
//	the unfinished   the end when a message was not finished in MessageTimeout,
//	                 whatever pings came meanwhile
//
// While nothing is read, because the app paused or because the peer does not
// read, the peer's silence says nothing and is not held against it.

var (
	errHeartbeat = errors.New("nothing came back for the heartbeat")
	errStalled   = errors.New("the peer takes nothing of what waits for it")
)

// startHeartbeat draws how early the connection is pinged, up to a fifth of the
// interval: those who came at once, or were last sent the same message, are not
// to be pinged at once.
func (c *Conn) startHeartbeat() {
	c.early = uint8(rand.N(256))
	c.wakeAt(c.now() + c.patience())
}

// patience is how long nothing may be heard or sent.
func (c *Conn) patience() int64 {
	d := int64(c.opts.PingInterval)
	return d - d/5*int64(c.early)/256
}

// wakeAt makes the timer fire then, unless it does so sooner.
func (c *Conn) wakeAt(at int64) {
	if c.due == 0 || at < c.due {
		c.due = at
		c.Loop().Arm(&c.timer, time.Duration(at-c.now()), c)
	}
}

// watchMessage begins the time that a message has to become whole.
func (c *Conn) watchMessage() {
	c.in.begun = c.now()
	c.wakeAt(c.in.begun + int64(c.opts.MessageTimeout))
}

// unheard forgets what is awaited, at a time when it would not be read. What
// comes while nothing is read stands in the kernel and is there at once when
// reading goes on, so that this is enough: a message is not given more time by
// merely stopping and going on.
func (c *Conn) unheard() {
	c.pinged = 0
	if c.in != nil {
		c.in.begun = c.now()
	}
}

// Fire looks after the connection.
func (c *Conn) Fire(*reactor.Loop) {
	defer c.guard()
	c.due = 0
	if c.closing {
		return
	}
	now := c.now()
	var next int64
	switch {
	case c.rc.Blocked():
		next = c.lookBlocked(now)
	case c.paused:
		next = c.lookPaused(now)
	default:
		next = c.look(now)
	}
	if !c.closing {
		c.wakeAt(max(next, now+1))
	}
}

// lookBlocked is for a peer that does not read.
func (c *Conn) lookBlocked(now int64) (next int64) {
	c.unheard()
	stalled := c.handler.since(c.rc.LastWrite()) + int64(c.opts.StalledTimeout)
	switch {
	case c.rc.Dead():
		c.lost()
	case now >= stalled:
		c.why = errStalled
		c.Close(uint16(protocol.CloseTooSlow), protocol.CloseTooSlow.Reason())
	}
	return min(stalled, now+int64(c.opts.PingInterval))
}

// lookPaused keeps the line open, and cannot know whether anybody is there.
func (c *Conn) lookPaused(now int64) (next int64) {
	c.unheard()
	next = c.ping(now, c.handler.since(c.rc.LastWrite()))
	c.pinged = 0
	return next
}

func (c *Conn) look(now int64) (next int64) {
	next = now + int64(c.opts.PingInterval)
	if c.in != nil {
		end := c.in.begun + int64(c.opts.MessageTimeout)
		if now >= end {
			c.fail(protocol.ClosePolicy, errUnfinished)
			return 0
		}
		next = end
	}
	heard := c.handler.since(c.rc.LastRead())
	if heard >= c.pinged {
		c.pinged = 0
	}
	if c.pinged != 0 {
		end := c.pinged + int64(c.opts.PongTimeout)
		if now >= end {
			c.why = errHeartbeat
			c.Close(uint16(protocol.CloseHeartbeat), protocol.CloseHeartbeat.Reason())
		}
		return min(next, end)
	}
	// Who is sent something all the time is asked as well: that a kernel, or a proxy
	// in between, takes it does not say that there still is anybody.
	return min(next, c.ping(now, min(heard, c.handler.since(c.rc.LastWrite()))))
}

// ping sends one if nothing happened since then for long enough, and returns when
// to look again.
func (c *Conn) ping(now, since int64) (next int64) {
	if at := since + c.patience(); now < at {
		return at
	}
	if p, ok := c.app.(pinger); ok && c.spoken {
		p.Ping()
	} else {
		c.sendControl(wsframe.Ping, nil)
	}
	c.pinged = now
	return now + int64(c.opts.PongTimeout)
}

// pinger is an App that says the heartbeat as a message, for programs that see no
// frames.
type pinger interface{ Ping() }

// lost closes a connection that has no other end any more.
func (c *Conn) lost() {
	c.why = errHeartbeat
	c.closing = true
	c.code = uint16(protocol.CloseHeartbeat)
	c.rc.Close(errHeartbeat)
}
