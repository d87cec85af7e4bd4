package websocket

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/problem"
	"ringdown/internal/reactor"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// App is what connections are for. Its methods are called on the connection's
// loop.
type App interface {
	Open(c *Conn)
	// Message is one whole message, decompressed, text checked for UTF-8. p is
	// valid during the call and may be overwritten.
	Message(c *Conn, op Opcode, p []byte)
	// Drained is called when c is no longer blocked.
	Drained(c *Conn)
	// Closed is the last call. err is nil when the peer left in order.
	Closed(c *Conn, err error)
	// MaxMessage is how many bytes the next message may have.
	MaxMessage(c *Conn) int
}

// door is what stands behind the handshake.
type door struct {
	admit func(context.Context) (arrived func(), err error) // before the upgrade; may wait
	room  func() error                                      // whether one would be admitted just now, without a turn
	app   func(r *http.Request) (func() App, error)         // in the request's goroutine; the inner one on the loop
	// refusals is told of handshakes that were refused; nil: nobody is.
	refusals *refusal.Recorder
}

// Handler answers WebSocket handshakes. Its methods are safe for concurrent use.
type Handler struct {
	engine *reactor.Engine
	opts   atomic.Pointer[Options]
	door   door
	epoch  time.Time // the connections' clock counts from here
	lanes  []lane    // by loop index
	tally  tally
}

func newHandler(e *reactor.Engine, d door, o Options) *Handler {
	h := &Handler{engine: e, door: d, epoch: time.Now(), lanes: make([]lane, len(e.Loops()))}
	h.Reload(o)
	return h
}

// since is a time as the connections count it, in nanoseconds; never 0, which
// means that there was none.
func (h *Handler) since(t time.Time) int64 { return max(1, int64(t.Sub(h.epoch))) }

// NewApp returns a handler whose connections belong to an App each.
func NewApp(e *reactor.Engine, o Options, app func() App) *Handler {
	return newHandler(e, door{
		admit: func(context.Context) (func(), error) { return func() {}, nil },
		app:   func(*http.Request) (func() App, error) { return app, nil },
	}, o)
}

// Reload changes the options, for connections from now on; Paths are not looked at.
func (h *Handler) Reload(o Options) {
	o = o.WithDefaults()
	h.opts.Store(&o)
}

// ServeHTTP answers one handshake.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := h.opts.Load()
	hs, bad := readHandshake(r, o.Compression)
	// A page cannot read why a handshake failed. A plain GET tells it: what is no
	// handshake is answered as one would have been, if that is a refusal.
	asking := bad != nil && bad.status == http.StatusUpgradeRequired
	if (bad == nil || asking) && !o.Origins.Allow(r) {
		bad = &rejection{http.StatusForbidden, auth.OriginRefused(r)}
	} else if asking && h.door.room != nil {
		if err := h.door.room(); err != nil {
			e := protocol.AsError(err)
			bad = &rejection{e.Code.HTTPStatus(), e}
		}
	}
	if bad == nil {
		arrived, err := h.door.admit(r.Context())
		if err != nil {
			e := protocol.AsError(err)
			bad = &rejection{e.Code.HTTPStatus(), e}
		} else {
			defer arrived()
		}
	}
	if bad != nil {
		h.refuse(w, r, bad)
		return
	}
	app, err := h.door.app(r)
	if err != nil {
		h.refuse(w, r, &rejection{protocol.AsError(err).Code.HTTPStatus(), protocol.AsError(err)})
		return
	}
	h.upgrade(w, r, hs, o, app)
}

// refuse answers with a problem document (RFC 9457) and ends the connection, so
// that nothing behind a failed handshake is taken for a request.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, bad *rejection) {
	h.tally.refused(bad.status)
	// Asking the socket would cost a system call. What does not parse stays empty.
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	h.door.refusals.Note(refusal.Refusal{Door: refusal.WebSocket, Action: "connect", Err: bad.err, Address: at.Addr().Unmap()})
	// Behind the answer net/http reads what is left of a body, for ever if it does
	// not come. A writer without deadlines has no socket to wait for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
	head := w.Header()
	head.Set("Connection", "close")
	// Any page may read it: it says nothing of anybody but who asks.
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Access-Control-Expose-Headers", "Retry-After")
	switch bad.status {
	case http.StatusUpgradeRequired:
		head.Set("Upgrade", "websocket")
		head.Set("Sec-WebSocket-Version", "13")
	case http.StatusMethodNotAllowed:
		head.Set("Allow", "GET")
	}
	problem.Write(w, bad.status, bad.err)
}

// upgrade hands the socket to the engine. The answer 101 leaves from the loop,
// in one write with what the app says first.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request, hs *handshake, o *Options, app func() App) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.refuse(w, r, &rejection{http.StatusInternalServerError, protocol.Errorf(protocol.CodeInternal, "this server cannot take the connection over")})
		return
	}
	var answer strings.Builder
	fmt.Fprintf(&answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n", hs.accept)
	if hs.subprotocol != "" {
		fmt.Fprintf(&answer, "Sec-WebSocket-Protocol: %s\r\n", hs.subprotocol)
	}
	if hs.deflate {
		fmt.Fprintf(&answer, "Sec-WebSocket-Extensions: %s\r\n", hs.extension)
	}
	answer.WriteString("\r\n")
	// What the client sent right behind its handshake was read with it.
	var leftover []byte
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, err := rw.Reader.Peek(n)
		if err != nil {
			nc.Close() // the bytes are in the buffer, so this does not happen
			return
		}
		leftover = append(leftover, peeked...)
	}
	// The engine refuses only when it has stopped, and then closes.
	_ = h.take(nc, []byte(answer.String()), leftover, hs, o, app)
}

func (h *Handler) take(nc net.Conn, answer, leftover []byte, hs *handshake, o *Options, app func() App) error {
	return h.engine.Add(nc, leftover, func(rc *reactor.Conn) reactor.Handler {
		h.tally.upgraded()
		a := app()
		var c *Conn
		if l, ok := a.(interface{ conn() *Conn }); ok {
			c = l.conn() // one object holds both
		} else {
			c = new(Conn)
		}
		rc.Send(answer)
		c.begin(h, rc, a, hs, o)
		return c
	})
}
