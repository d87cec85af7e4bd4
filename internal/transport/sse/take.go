package sse

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringdown/internal/problem"
	"ringdown/internal/reactor"
	"ringdown/protocol"
)

// take gives the request's connection to a loop, or a response that stands in
// for it, and calls arrived then.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, l *link, arrived func()) {
	if r.ProtoMajor == 1 {
		header := w.Header().Clone()
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err == nil {
			var leftover []byte
			if n := rw.Reader.Buffered(); n > 0 {
				leftover, _ = rw.Reader.Peek(n) // the bytes are in the buffer
			}
			chunks := r.ProtoAtLeast(1, 1)
			l.opening.begin = func(status int, e *protocol.Error) {
				l.chunked = chunks && e == nil
				l.rc.Send(appendAnswer(nil, header, status, e, chunks))
			}
			h.add(nc, leftover, l)
			arrived()
			return
		}
	}
	c := &response{w: w, control: http.NewResponseController(w), gone: r.Context().Done(), closed: make(chan struct{})}
	// The deadlines of a request are not those of a stream. A writer without has
	// none to lift.
	_ = c.control.SetReadDeadline(time.Time{})
	_ = c.control.SetWriteDeadline(time.Time{})
	l.opening.begin = func(status int, e *protocol.Error) {
		c.begin(status, e)
		if e != nil {
			l.rc.Send(problem.Of(status, e).JSON())
		}
	}
	h.add(c, nil, l)
	arrived()
	c.wait()
}

// add hands the connection over. The engine refuses only when it has stopped,
// and then closes it.
func (h *Handler) add(nc net.Conn, leftover []byte, l *link) {
	_ = h.engine.Add(nc, leftover, func(rc *reactor.Conn) reactor.Handler {
		l.start(rc)
		return l
	})
}

// appendAnswer appends the head of an answer over HTTP/1.1, and for an error the
// body too. The body of a stream ends with the last chunk, or over HTTP/1.0 with
// the connection.
func appendAnswer(dst []byte, header http.Header, status int, e *protocol.Error, chunks bool) []byte {
	var body []byte
	if e == nil {
		setHeader(header)
		if chunks {
			header.Set("Transfer-Encoding", "chunked")
		}
	} else {
		problem.Header(header, status, e)
		body = problem.Of(status, e).JSON()
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	header.Set("Connection", "close")
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var text strings.Builder
	fmt.Fprintf(&text, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = header.Write(&text) // a Builder never fails
	text.WriteString("\r\n")
	dst = append(dst, text.String()...)
	return append(dst, body...)
}

// response is a net.Conn that writes the body of a response: for HTTP/2, and for
// middleware that lets nobody at the connection. It is read to its end only.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
	gone    <-chan struct{} // closed when the client has gone

	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex // held while something is written
	begun   bool
	stopped bool // the handler returns: w is not to be touched
}

// begin sets the head. It comes before the first Write, and leaves with it.
func (c *response) begin(status int, e *protocol.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	if e == nil {
		setHeader(c.w.Header())
	} else {
		problem.Header(c.w.Header(), status, e)
	}
	c.begun = true
	c.w.WriteHeader(status)
}

// Read waits for the end of the connection.
func (c *response) Read([]byte) (int, error) {
	select {
	case <-c.gone:
		return 0, io.EOF
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

// Write writes p and lets it go.
func (c *response) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return 0, net.ErrClosed
	}
	n, err := c.w.Write(p)
	if err == nil {
		err = c.control.Flush()
	}
	return n, err
}

// Close ends the response.
func (c *response) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// wait returns when the stream has ended and nobody writes any more.
func (c *response) wait() {
	<-c.closed
	if !c.mu.TryLock() {
		// A write that the peer does not take is to end now, and with it the
		// response. A writer without deadlines has a server that sees to that.
		_ = c.control.SetWriteDeadline(time.Now())
		c.mu.Lock()
	}
	c.stopped = true
	begun := c.begun
	c.mu.Unlock()
	if begun {
		return
	}
	problem.Write(c.w, http.StatusServiceUnavailable, protocol.Errorf(protocol.CodeUnavailable, "this server is going down"))
}

// LocalAddr implements net.Conn.
func (c *response) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (c *response) RemoteAddr() net.Addr { return nil }

// SetDeadline implements net.Conn. A response has none.
func (c *response) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *response) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *response) SetWriteDeadline(time.Time) error { return nil }
