package load

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"ringdown/internal/wsframe"
)

// This file is what a crowd does with arriving bytes: the upgrade's answer, then
// frames, and in them deliveries.

// maxFrame is the longest frame that is waited for: a server that announces more
// is not talking to us.
const maxFrame = 16 << 20

func (c *crowd) opened(i int) {
	c.moveTo(i, upgrading)
	c.wire.write(i, c.upgrade)
}

func (c *crowd) closed(i int, err error) {
	m := &c.members[i]
	switch {
	case m.state == present:
		c.leave(i)
		if c.lost++; c.lostCause == nil {
			c.lostCause = err
		}
	case c.fault == nil:
		c.fault = fmt.Errorf("load: connection %d of %d failed while %s: %w", i+1, len(c.members), m.state, err)
	}
	c.moveTo(i, absent)
}

// fail ends a connection that does not do what it should.
func (c *crowd) fail(i int, err error) {
	c.wire.close(i)
	c.closed(i, err)
}

func (c *crowd) data(i int, p []byte) {
	m := &c.members[i]
	whole := p
	if len(m.rest) > 0 {
		m.rest = append(m.rest, p...)
		whole = m.rest
	}
	used := 0
	if m.state == upgrading {
		if used = c.upgraded(i, whole); used == 0 {
			c.keep(m, whole, 0)
			return
		}
	}
	if m.state > upgrading {
		used += c.frames(i, whole[used:])
	}
	c.keep(m, whole, used)
}

// keep holds on to the bytes that no whole frame has been made of. whole is either
// the wire's buffer or m.rest itself.
func (c *crowd) keep(m *member, whole []byte, used int) {
	if m.state == absent || used == len(whole) && cap(m.rest) > keptBytes {
		m.rest = nil
		return
	}
	m.rest = append(m.rest[:0], whole[used:]...)
}

// keptBytes is how large a buffer for incomplete frames a member may keep once
// nothing is in it.
const keptBytes = 4 << 10

// upgraded reads the answer to the upgrade and returns its length, 0 while it is
// not all there or when it is a refusal.
func (c *crowd) upgraded(i int, p []byte) int {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	head := p[:end+4]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(acceptKey)) {
		status, _, _ := strings.Cut(string(head), "\r\n")
		c.fail(i, fmt.Errorf("%w the upgrade: %s", errRefused, status))
		return 0
	}
	c.moveTo(i, greeting)
	if hello := c.dialect.appendHello(c.message[:0]); len(hello) > 0 {
		c.send(i, wsframe.Text, hello)
	}
	if !c.dialect.greets() {
		c.admitted(i)
	}
	return len(head)
}

// admitted is called once a member may subscribe.
func (c *crowd) admitted(i int) {
	c.moveTo(i, ready)
	if c.eager && i != publisher {
		c.askSubscription(i)
	}
}

// frames reads all whole frames of p and returns how many bytes they took.
func (c *crowd) frames(i int, p []byte) (used int) {
	now := c.now() // one look at the clock serves all that came with one read
	for c.members[i].state != absent {
		h, n, err := wsframe.ParseHeader(p[used:])
		if err == nil && (h.Masked || h.RSV1 || h.Length > maxFrame) {
			err = fmt.Errorf("unexpected frame header %+v", h)
		}
		if err != nil {
			c.fail(i, err)
			return used
		}
		if n == 0 || int64(len(p)-used-n) < h.Length {
			return used
		}
		begin := used + n
		used = begin + int(h.Length)
		c.frame(i, h, p[begin:used], now)
	}
	return used
}

func (c *crowd) frame(i int, h wsframe.Header, payload []byte, now time.Duration) {
	switch h.Op {
	case wsframe.Text, wsframe.Binary, wsframe.Continuation:
		c.text(i, payload, now)
	case wsframe.Ping:
		c.send(i, wsframe.Pong, payload)
	case wsframe.Close:
		code, reason, _ := wsframe.ParseClose(payload)
		c.fail(i, fmt.Errorf("closed by the server with %d %s", code, reason))
	}
}

// text accounts for the deliveries in a message, or for what else it says.
func (c *crowd) text(i int, p []byte, now time.Duration) {
	m := &c.members[i]
	at := -1
	if m.state == present {
		at = findStamp(p, int(m.at))
	}
	if at < 0 {
		c.control(i, p)
		// An answer to who comes back may hold what was missed.
		if m.state != present || !c.dialect.batches() {
			return
		}
		if at = findStamp(p, int(m.at)); at < 0 {
			return
		}
	}
	m.at = int32(at)
	c.delivery(m, p[at:], now)
	if !c.dialect.batches() {
		return
	}
	for {
		p = p[at+PayloadBytes:]
		if at = findStamp(p, int(m.at)); at < 0 {
			return
		}
		c.delivery(m, p[at:], now)
	}
}

func (c *crowd) delivery(m *member, p []byte, now time.Duration) {
	due, seq, ok := readStamp(p)
	ahead := int32(seq - m.next)
	if !ok || ahead < 0 {
		c.disordered++
		return
	}
	ch := &c.channels[m.channel]
	c.missing += uint64(ahead)
	m.next = seq + 1
	c.owe(ch, -int(ahead)-1)
	ch.tally.deliveries++
	ch.tally.latency.Record(now - due)
	c.lastDelivery = now
}

func (c *crowd) control(i int, p []byte) {
	m := &c.members[i]
	what, answer := c.dialect.control(p)
	if len(answer) > 0 {
		c.send(i, wsframe.Text, answer)
	}
	switch {
	case what == refused && c.fault == nil:
		c.fault = fmt.Errorf("load: %w connection %d, %s: %s", errRefused, i+1, m.state, p)
	case what == welcome && m.state == greeting:
		c.admitted(i)
	case what == subscribed && m.state == subscribing:
		ch := &c.channels[m.channel]
		if !ch.missed {
			m.next = ch.seq
			if ch.since == nil {
				ch.since = c.dialect.position(p)
			}
		}
		c.moveTo(i, present)
	}
}

func (s state) String() string {
	return [...]string{"absent", "dialing", "upgrading", "greeting", "ready", "subscribing", "present"}[s]
}
