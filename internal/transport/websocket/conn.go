package websocket

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// Opcode tells text from bytes.
type Opcode = wsframe.Opcode

// Conn is one WebSocket. All methods are for its loop. After Closed they do
// nothing.
type Conn struct {
	// Set when it begins.
	handler *Handler
	rc      *reactor.Conn // nil after Closed: the slot is somebody else's then
	app     App
	opts    *Options // those of its upgrade: what the client was told stays true
	window  uint8    // bits of the peer's inflate window
	early   uint8    // how much earlier than others it is pinged, of 256 parts
	deflate bool
	proto   bool // protobuf subprotocol
	spoken  bool // the heartbeat is a message

	// Owned by the loop. Times are nanoseconds on the handler's clock.
	closing bool          // a close frame was sent or received
	paused  bool          // by the app
	code    uint16        // of the close frame, whoever sent it; 0: there was none
	in      *inbound      // what has come of an unfinished message; nil: nothing
	pong    *[]byte       // payload of the newest ping, while blocked
	timer   reactor.Timer // the only one: see Fire
	due     int64         // when timer fires; 0: not armed
	pinged  int64         // when the ping was sent that nothing has followed yet; 0: none
	control int64         // when the budget of control frames is whole again
	why     error         // for Closed
}

// begin is called on the loop with the new connection.
func (c *Conn) begin(h *Handler, rc *reactor.Conn, a App, hs *handshake, o *Options) {
	c.handler, c.rc, c.app, c.opts = h, rc, a, o
	c.window, c.deflate, c.proto = uint8(hs.window), hs.deflate, hs.protobuf
	c.spoken = hs.spoken
	defer c.guard()
	c.startHeartbeat()
	a.Open(c)
}

// Loop returns the loop that owns the connection. Not after Closed.
func (c *Conn) Loop() *reactor.Loop { return c.rc.Loop() }

func (c *Conn) lane() *lane { return &c.handler.lanes[c.rc.Loop().Index()] }

// now is the time of this turn of the loop. It does not jump when the clock of
// the machine is set.
func (c *Conn) now() int64 { return c.handler.since(c.rc.Loop().Now()) }

// RemoteAddr returns the peer's address, the zero value after Closed.
func (c *Conn) RemoteAddr() netip.AddrPort {
	if c.rc == nil {
		return netip.AddrPort{}
	}
	return c.rc.RemoteAddr()
}

// Blocked reports that the peer does not take what is sent.
func (c *Conn) Blocked() bool { return c.rc != nil && c.rc.Blocked() }

// PauseRead stops reading. Messages that were already read still come. The
// peer's silence is not held against it meanwhile.
func (c *Conn) PauseRead() {
	if c.rc != nil {
		c.paused = true
		c.rc.PauseRead()
	}
}

// ResumeRead reads again.
func (c *Conn) ResumeRead() {
	if c.rc != nil && c.paused {
		c.paused = false
		c.pinged = 0
		c.rc.ResumeRead()
	}
}

// Offer writes what goes of ready-made frames now, keeps nothing of them, and
// returns the count. When the connection is closing all of them count as
// written: nobody is to wait for it.
func (c *Conn) Offer(frames []byte) int {
	if c.closing {
		return len(frames)
	}
	n := c.rc.Offer(frames)
	c.lane().bytesOut.Add(uint64(n))
	return n
}

// Share queues ready-made frames by reference: they must never change.
func (c *Conn) Share(frames []byte) {
	if !c.closing {
		c.lane().bytesOut.Add(uint64(len(frames)))
		c.rc.Share(frames)
	}
}

// WriteMessage sends one message, compressed if that was agreed and pays. p is
// the caller's again afterwards.
func (c *Conn) WriteMessage(op Opcode, p []byte) {
	if !c.closing {
		c.writeBuffer(op, append(c.room(), p...))
	}
}

// room returns the loop's buffer with the headroom that a frame header needs.
func (c *Conn) room() []byte {
	return append(c.Loop().Buffer(), make([]byte, wsframe.Headroom)...)
}

// writeBuffer sends the payload that follows the headroom in buf.
func (c *Conn) writeBuffer(op Opcode, buf []byte) {
	payload := buf[wsframe.Headroom:]
	always := c.opts.DeflateAlways
	if c.deflate && (always || len(payload) >= wsframe.DeflateMin) {
		if small := c.compress(payload); always || len(small) < len(buf) {
			c.send(wsframe.Finish(small, op, true))
			return
		}
	}
	c.send(wsframe.Finish(buf, op, false))
}

// compress returns the compressed payload behind the headroom of a frame, in
// memory of the loop that is good until the next call.
func (c *Conn) compress(payload []byte) []byte {
	l := c.lane()
	small := append(l.packed[:0], make([]byte, wsframe.Headroom)...)
	// Nothing in a message of at most 2^N bytes can refer back further than a
	// window of 2^N bytes; and no window is larger than that of 15 bits.
	if c.window == 15 || len(payload) <= 1<<c.window {
		small = wsframe.Deflate(small, payload)
	} else {
		small = wsframe.DeflateWindow(small, payload, int(c.window))
	}
	l.packed = keep(small)
	return small
}

func (c *Conn) sendControl(op Opcode, p []byte) {
	c.send(wsframe.Finish(append(c.room(), p...), op, false))
}

func (c *Conn) send(frame []byte) {
	l := c.lane()
	l.framesOut.Add(1)
	l.bytesOut.Add(uint64(len(frame)))
	c.rc.Send(frame)
}

// Close sends a close frame, waits a moment for the peer's, and closes. The
// code is one that may be sent, the reason is cut at 123 bytes.
func (c *Conn) Close(code uint16, reason string) {
	if c.closing {
		return
	}
	if c.why == nil {
		c.why = fmt.Errorf("closed with %d %s", code, reason)
	}
	c.farewell(code, wsframe.AppendClose(nil, code, reason))
	// Our side of the stream stays open until the peer has answered: some clients
	// take the end of it for the end of the connection, and their programs never
	// hear of the code.
	c.rc.Linger(c.opts.CloseTimeout)
}

// farewell sends the close frame: nothing more is said.
func (c *Conn) farewell(code uint16, payload []byte) {
	c.closing, c.code = true, code
	c.sendControl(wsframe.Close, payload)
}

// fail closes for something that the peer did wrong.
func (c *Conn) fail(code protocol.CloseCode, err error) {
	if c.closing {
		return
	}
	c.why = err
	c.Close(uint16(code), strings.TrimPrefix(err.Error(), "wsframe: "))
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
	if code != wsframe.NoStatus && code != 1000 && code != 1001 {
		c.why = fmt.Errorf("the client closed with %d", code)
	}
	c.farewell(code, wsframe.AppendClose(nil, code, ""))
	c.rc.Finish()
}

// Drained implements reactor.Handler.
func (c *Conn) Drained(*reactor.Conn) {
	defer c.guard()
	c.pinged = 0
	if c.pong != nil {
		p := *c.pong
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
	c.closing = true
	c.handler.tally.closed(c.code)
	defer func() { c.rc = nil }()
	c.app.Closed(c, err)
}

// guard ends a panic of the app. It costs this connection, which is told with
// 1011, and nobody else.
func (c *Conn) guard() {
	v := recover()
	if v == nil {
		return
	}
	err := &reactor.PanicError{Value: v, Stack: debug.Stack()}
	c.handler.tally.panicked()
	c.opts.Logger.Error("a connection panicked and is closed", "panic", v, "stack", string(err.Stack))
	if c.closing {
		// It has said its last word, and only waits for the peer to leave.
		c.rc.Close(err)
		return
	}
	c.why = err
	c.Close(uint16(protocol.CloseInternal), protocol.CloseInternal.Reason())
}

// ReactorConn names the connection to the loop, so that a panic in a timer's
// callback costs this one.
func (c *Conn) ReactorConn() *reactor.Conn { return c.rc }

// controlFrame spends one control frame of the budget, by GCRA.
func (c *Conn) controlFrame() bool {
	now := c.now()
	every := int64(time.Second) / int64(c.opts.ControlPerSecond)
	whole := max(c.control, now) + every
	if whole-now > every*int64(2*c.opts.ControlPerSecond) {
		c.fail(protocol.ClosePolicy, fmt.Errorf("more than %d control frames a second", c.opts.ControlPerSecond))
		return false
	}
	c.control = whole
	return true
}
