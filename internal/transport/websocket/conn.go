package websocket

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// Opcode tells text from bytes.
type Opcode = wsframe.Opcode

// Conn is one WebSocket. All methods are for its loop.
type Conn struct {
	// Set when it begins.
	handler *Handler
	rc      *reactor.Conn
	app     App
	opts    *Options
	window  uint8 // bits of the peer's inflate window
	deflate bool
	proto   bool // protobuf subprotocol

	in      *inbound // what has come of an unfinished message; nil: nothing
	pong    []byte   // the answer to the newest ping, while blocked
	timer   reactor.Timer
	pinged  int64 // when the ping that is not answered yet was sent, Unix ns; 0: none
	control int64 // when the budget of control frames is whole again, Unix ns
	why     error // for Closed
	closing bool  // a close frame was sent or received
}

// begin is called on the loop with the new connection.
func (c *Conn) begin(h *Handler, rc *reactor.Conn, a App, hs *handshake, o *Options) {
	c.handler, c.rc, c.app, c.opts = h, rc, a, o
	c.window, c.deflate, c.proto = uint8(hs.window), hs.deflate, hs.protobuf
	c.startHeartbeat()
	a.Open(c)
}

// Loop returns the loop that owns the connection.
func (c *Conn) Loop() *reactor.Loop { return c.rc.Loop() }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.rc.RemoteAddr() }

// Blocked reports that the peer does not take what is sent.
func (c *Conn) Blocked() bool { return c.rc.Blocked() }

// PauseRead stops reading. Messages that were already read still come.
func (c *Conn) PauseRead() { c.rc.PauseRead() }

// ResumeRead reads again.
func (c *Conn) ResumeRead() { c.rc.ResumeRead() }

// Offer writes what goes of ready-made frames, and keeps nothing.
func (c *Conn) Offer(frames []byte) int { return c.rc.Offer(frames) }

// Share queues ready-made frames by reference.
func (c *Conn) Share(frames []byte) { c.rc.Share(frames) }

// WriteMessage sends one message, compressed if that was agreed and pays. p is
// the caller's again afterwards.
func (c *Conn) WriteMessage(op Opcode, p []byte) {
	buf := append(c.room(), p...)
	c.writeBuffer(op, buf)
}

// room returns the loop's buffer with the headroom that a frame header needs.
func (c *Conn) room() []byte {
	return append(c.Loop().Buffer(), make([]byte, wsframe.Headroom)...)
}

// writeBuffer sends the payload that follows the headroom in buf.
func (c *Conn) writeBuffer(op Opcode, buf []byte) {
	if c.closing {
		return
	}
	payload := buf[wsframe.Headroom:]
	always := c.opts.DeflateAlways
	if c.deflate && (always || len(payload) >= wsframe.DeflateMin) {
		if small := c.compress(payload); always || len(small) < len(buf) {
			c.rc.Send(wsframe.Finish(small, op, true))
			return
		}
	}
	c.rc.Send(wsframe.Finish(buf, op, false))
}

// compress returns the compressed payload behind the headroom of a frame.
func (c *Conn) compress(payload []byte) []byte {
	small := make([]byte, wsframe.Headroom, wsframe.Headroom+len(payload)/2)
	// Nothing in a message of at most 2^N bytes can refer back further than a
	// window of 2^N bytes; and no window is larger than that of 15 bits.
	if c.window == 15 || len(payload) <= 1<<c.window {
		return wsframe.Deflate(small, payload)
	}
	return wsframe.DeflateWindow(small, payload, int(c.window))
}

func (c *Conn) sendControl(op Opcode, p []byte) {
	var buf [wsframe.Headroom + wsframe.MaxControl]byte
	n := copy(buf[wsframe.Headroom:], p)
	c.rc.Send(wsframe.Finish(buf[:wsframe.Headroom+n], op, false))
}

// Close sends a close frame, waits a moment for the peer's, and closes.
func (c *Conn) Close(code uint16, reason string) {
	if c.closing {
		return
	}
	c.closing = true
	if c.why == nil {
		c.why = fmt.Errorf("closed with %d %s", code, reason)
	}
	c.sendControl(wsframe.Close, wsframe.AppendClose(nil, code, reason))
	c.rc.CloseAfterFlush(closeGrace)
}

// fail closes for something that the peer did wrong.
func (c *Conn) fail(code protocol.CloseCode, err error) {
	c.why = err
	c.Close(uint16(code), err.Error()[:min(len(err.Error()), wsframe.MaxReason)])
}

// closedByPeer answers the peer's close frame (RFC 6455 §5.5.1).
func (c *Conn) closedByPeer(p []byte) {
	code, _, err := wsframe.ParseClose(p)
	switch {
	case errors.Is(err, wsframe.ErrCloseReason):
		c.fail(protocol.CloseInvalidPayload, err)
		return
	case err != nil:
		c.fail(protocol.CloseProtocolError, err)
		return
	}
	c.closing = true
	var echo []byte
	if code != wsframe.NoStatus {
		echo = wsframe.AppendClose(nil, code, "")
	}
	if code != wsframe.NoStatus && code != 1000 && code != 1001 {
		c.why = fmt.Errorf("the client closed with %d", code)
	}
	c.sendControl(wsframe.Close, echo)
	c.rc.CloseAfterFlush(closeGrace)
}

// Drained implements reactor.Handler.
func (c *Conn) Drained(*reactor.Conn) {
	if c.pong != nil {
		p := c.pong
		c.pong = nil
		c.sendControl(wsframe.Pong, p)
	}
	c.app.Drained(c)
}

// Closed implements reactor.Handler.
func (c *Conn) Closed(rc *reactor.Conn, err error) {
	rc.Loop().Disarm(&c.timer)
	c.dropInbound()
	if c.why != nil {
		err = c.why
	} else if c.closing || errors.Is(err, io.EOF) {
		err = nil
	}
	c.app.Closed(c, err)
}

// ReactorConn names the connection to the loop, so that a panic in a timer's
// callback costs this one.
func (c *Conn) ReactorConn() *reactor.Conn { return c.rc }

// controlFrame spends one control frame of the budget.
func (c *Conn) controlFrame() bool {
	now := c.Loop().Now().UnixNano()
	every := int64(time.Second) / int64(c.opts.ControlPerSecond)
	whole := max(c.control, now) + every
	if whole-now > every*int64(2*c.opts.ControlPerSecond) {
		c.fail(protocol.ClosePolicy, fmt.Errorf("more than %d control frames a second", c.opts.ControlPerSecond))
		return false
	}
	c.control = whole
	return true
}
