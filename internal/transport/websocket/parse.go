package websocket

import (
	"errors"
	"sync"
	"unicode/utf8"

	"ringdown/internal/reactor"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// inbound is an unfinished message or frame.
type inbound struct {
	begun int64 // its deadline counts from here

	head  [wsframe.MaxHeader]byte // a header that is not whole yet
	headN int

	frame   wsframe.Header // the frame whose payload is being read
	inFrame bool
	left    int64 // of its payload
	mask    int   // position in its key
	ctl     []byte

	open       bool // a data message was begun
	op         Opcode
	compressed bool
	fragments  int
	message    []byte // unmasked, still compressed
	text       wsframe.UTF8
}

var inbounds = sync.Pool{New: func() any { return new(inbound) }}

func (c *Conn) inbound() *inbound {
	if c.in == nil {
		c.in = inbounds.Get().(*inbound)
		c.watchMessage()
	}
	return c.in
}

func (c *Conn) dropInbound() {
	in := c.in
	if in == nil {
		return
	}
	c.in = nil
	*in = inbound{message: keep(in.message), ctl: in.ctl[:0]}
	inbounds.Put(in)
}

// What a client may get wrong.
var (
	errUnmasked     = errors.New("a frame of the client is not masked")
	errReservedBits = errors.New("reserved bits are set")
	errInterleaved  = errors.New("a message began inside another")
	errNothingToGo  = errors.New("a continuation of nothing")
	errTooBig       = errors.New("message too big")
	errTooMany      = errors.New("too many fragments")
	errUTF8         = errors.New("text is not UTF-8")
	errDeflate      = errors.New("message does not decompress")
	errUnfinished   = errors.New("message not finished in time")
)

// Data implements reactor.Handler.
func (c *Conn) Data(_ *reactor.Conn, p []byte) {
	defer c.guard()
	c.lane().bytesIn.Add(uint64(len(p)))
	for len(p) > 0 && !c.closing {
		switch {
		case c.in != nil && c.in.inFrame:
			p = c.payload(p)
		case c.in != nil && c.in.headN > 0:
			p = c.restOfHeader(p)
		default:
			p = c.header(p)
		}
	}
	if c.closing {
		c.hearOut(p)
	}
}

// hearOut goes over what still comes after our close frame until the peer's own,
// which ends the connection: many libraries leave that to the server.
func (c *Conn) hearOut(p []byte) {
	if c.in == nil {
		c.in = inbounds.Get().(*inbound)
	}
	in := c.in
	for len(p) > 0 || in.inFrame && in.left == 0 {
		if !in.inFrame {
			before := in.headN
			in.headN += copy(in.head[before:], p)
			h, n, err := wsframe.ParseHeader(in.head[:in.headN])
			switch {
			case err != nil:
				// Nobody knows where the next frame begins.
				c.rc.CloseAfterFlush(c.opts.CloseTimeout)
				return
			case n == 0:
				return
			}
			c.skip(h)
			p = p[n-before:]
		}
		n := min(int64(len(p)), in.left)
		p, in.left = p[n:], in.left-n
		if in.left > 0 {
			return
		}
		if in.inFrame = false; in.frame.Op == wsframe.Close {
			c.rc.Finish()
			return
		}
	}
}

// skip takes note of a frame that is gone over.
func (c *Conn) skip(h wsframe.Header) {
	if c.in == nil {
		c.in = inbounds.Get().(*inbound)
	}
	c.in.headN, c.in.frame, c.in.inFrame, c.in.left = 0, h, true, h.Length
}

// header reads a header that begins with p, and the whole frame if it is there.
func (c *Conn) header(p []byte) []byte {
	h, n, err := wsframe.ParseHeader(p)
	if err != nil {
		c.fail(protocol.CloseProtocolError, err)
		return p
	}
	if n == 0 {
		in := c.inbound()
		in.headN = copy(in.head[:], p)
		return nil
	}
	p = p[n:]
	if !c.begins(h) {
		c.skip(h)
		return p
	}
	if h.Length > int64(len(p)) || !h.Op.Control() && (!h.Fin || h.Op == wsframe.Continuation) {
		c.startFrame(h)
		return c.payload(p)
	}
	body := p[:h.Length]
	wsframe.Mask(body, h.Key, 0)
	c.lane().framesIn.Add(1)
	if h.Op.Control() {
		c.controlled(h.Op, body)
	} else {
		c.whole(h.Op, h.RSV1, body)
	}
	return p[h.Length:]
}

func (c *Conn) restOfHeader(p []byte) []byte {
	in := c.in
	before := in.headN
	in.headN += copy(in.head[before:], p)
	h, n, err := wsframe.ParseHeader(in.head[:in.headN])
	if err != nil {
		c.fail(protocol.CloseProtocolError, err)
		in.headN = before
		return p
	}
	if n == 0 {
		return nil // the copy took all: a header is never longer than head
	}
	in.headN = 0
	if !c.begins(h) {
		c.skip(h)
		return p[n-before:]
	}
	c.startFrame(h)
	return c.payload(p[n-before:])
}

// begins checks everything that a header says, before any memory is spent.
func (c *Conn) begins(h wsframe.Header) bool {
	open := c.in != nil && c.in.open
	switch {
	case !h.Masked:
		c.fail(protocol.CloseProtocolError, errUnmasked)
	case h.RSV2 || h.RSV3 || h.RSV1 && (!c.deflate || h.Op.Control() || h.Op == wsframe.Continuation):
		c.fail(protocol.CloseProtocolError, errReservedBits)
	case h.Op.Control():
		return c.controlFrame()
	case h.Op == wsframe.Continuation && !open:
		c.fail(protocol.CloseProtocolError, errNothingToGo)
	case h.Op != wsframe.Continuation && open:
		c.fail(protocol.CloseProtocolError, errInterleaved)
	default:
		return c.fits(h, open)
	}
	return false
}

// fits holds the size that a data frame declares, and the number of fragments,
// against the limits.
func (c *Conn) fits(h wsframe.Header, open bool) bool {
	limit := c.app.MaxMessage(c)
	most, have := int64(limit), int64(0)
	if open {
		have = int64(len(c.in.message))
	}
	if h.RSV1 || open && c.in.compressed {
		most = mostCompressed(limit)
	}
	switch {
	case h.Length > most-have:
		c.fail(protocol.CloseTooBig, errTooBig)
	case open && c.in.fragments >= mostFragments(limit):
		c.fail(protocol.ClosePolicy, errTooMany)
	default:
		return true
	}
	return false
}

// collect appends to the message. Its memory grows with what has come, at most
// to what the limit allows.
func (c *Conn) collect(part []byte) {
	in := c.in
	if need := len(in.message) + len(part); need > cap(in.message) {
		most := c.app.MaxMessage(c)
		if in.compressed {
			most = int(mostCompressed(most))
		}
		grown := make([]byte, len(in.message), max(need, min(most, max(512, 2*cap(in.message)))))
		copy(grown, in.message)
		in.message = grown
	}
	in.message = append(in.message, part...)
}

// mostCompressed is how long a message of limit bytes can be once compressed by
// a compressor that makes it longer: somewhat more than the worst that zlib does
// (deflateBound). Decompressing has the limit itself.
func mostCompressed(limit int) int64 { return int64(limit) + int64(limit)/6 + 64 }

// mostFragments bounds what a message may be cut into: bookkeeping must not
// outweigh what it keeps.
func mostFragments(limit int) int { return max(1024, limit/64) }

func (c *Conn) startFrame(h wsframe.Header) {
	in := c.inbound()
	in.frame, in.inFrame, in.left, in.mask = h, true, h.Length, 0
	if h.Op.Control() {
		in.ctl = in.ctl[:0]
		return
	}
	if h.Op != wsframe.Continuation {
		in.open, in.op, in.compressed = true, h.Op, h.RSV1
		in.message = in.message[:0]
		in.text.Reset()
	}
	in.fragments++
}

// payload takes what p has of the frame that is being read.
func (c *Conn) payload(p []byte) []byte {
	in := c.in
	part := p[:min(int64(len(p)), in.left)]
	in.mask = wsframe.Mask(part, in.frame.Key, in.mask)
	in.left -= int64(len(part))
	if in.frame.Op.Control() {
		in.ctl = append(in.ctl, part...)
	} else {
		// As early as it can be known (RFC 6455 §8.1), and not only at the end.
		if in.op == wsframe.Text && !in.compressed && !in.text.Write(part) {
			c.fail(protocol.CloseInvalidPayload, errUTF8)
			return p[len(part):]
		}
		c.collect(part)
	}
	if in.left == 0 {
		c.frameDone()
	}
	return p[len(part):]
}

func (c *Conn) frameDone() {
	in := c.in
	in.inFrame = false
	c.lane().framesIn.Add(1)
	if in.frame.Op.Control() {
		op, body := in.frame.Op, in.ctl
		c.controlled(op, body)
		if !in.open && c.in == in {
			c.dropInbound()
		}
		return
	}
	if !in.frame.Fin {
		return
	}
	// The record stays until the message was used: it is its memory.
	c.in = nil
	if in.op == wsframe.Text && !in.compressed && !in.text.Done() {
		c.fail(protocol.CloseInvalidPayload, errUTF8)
	} else {
		c.checked(in.op, in.compressed, in.message)
	}
	if c.in == nil {
		c.in = in
		c.dropInbound()
	}
}

// whole is a message that arrived in one frame and one piece.
func (c *Conn) whole(op Opcode, compressed bool, p []byte) {
	if op == wsframe.Text && !compressed && !utf8.Valid(p) {
		c.fail(protocol.CloseInvalidPayload, errUTF8)
		return
	}
	c.checked(op, compressed, p)
}

// checked is a message that is right as far as it is not compressed.
func (c *Conn) checked(op Opcode, compressed bool, p []byte) {
	if !compressed {
		c.app.Message(c, op, p)
		return
	}
	l := c.lane()
	out, err := l.inflater.Inflate(l.plain[:0], p, c.app.MaxMessage(c))
	l.plain = keep(out)
	switch {
	case errors.Is(err, wsframe.ErrTooBig):
		c.fail(protocol.CloseTooBig, errTooBig)
	case err != nil:
		c.fail(protocol.CloseInvalidPayload, errDeflate)
	case op == wsframe.Text && !utf8.Valid(out):
		c.fail(protocol.CloseInvalidPayload, errUTF8)
	default:
		c.app.Message(c, op, out)
	}
}

// controlled is a control frame.
func (c *Conn) controlled(op Opcode, p []byte) {
	switch op {
	case wsframe.Close:
		c.closedByPeer(p)
	case wsframe.Ping:
		if c.rc.Blocked() {
			// At most one answer waits, the newest (RFC 6455 §5.5.3).
			newest := append([]byte(nil), p...)
			c.pong = &newest
			return
		}
		c.sendControl(wsframe.Pong, p)
	}
}
