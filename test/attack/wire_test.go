package attack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// wire is a client that speaks bare frames, so that it can be as rude as a test
// wants it.
type wire struct {
	t    *testing.T
	conn *net.TCPConn
	r    *bufio.Reader
}

// dial opens a WebSocket. query is what follows the path; small makes the
// kernel's receive buffer as small as it goes.
func (s *server) dial(t *testing.T, query string, small bool, headers ...string) *wire {
	t.Helper()
	w, err := s.tryDial(t, query, small, headers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.conn.Close() })
	return w
}

func (s *server) tryDial(t *testing.T, query string, small bool, headers ...string) (*wire, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if small {
		d.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			ctl := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
			return errors.Join(ctl, err)
		}
	}
	conn, err := d.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	w := &wire{t: t, conn: conn.(*net.TCPConn), r: bufio.NewReader(conn)}
	fmt.Fprintf(conn, "GET /v1/ws%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", query, s.addr)
	for _, h := range headers {
		fmt.Fprintf(conn, "%s\r\n", h)
	}
	io.WriteString(conn, "\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		conn.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		conn.Close()
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return w, nil
}

// frame is a masked client frame.
func frame(op wsframe.Opcode, payload []byte) []byte {
	h := wsframe.Header{Fin: true, Op: op, Masked: true, Length: int64(len(payload)), Key: [4]byte{1, 2, 3, 4}}
	out := append(wsframe.AppendHeader(nil, h), payload...)
	wsframe.Mask(out[len(out)-len(payload):], h.Key, 0)
	return out
}

func (w *wire) send(text string) {
	w.t.Helper()
	if err := w.trySend(text); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) trySend(text string) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(15 * time.Second))
	_, err := w.conn.Write(frame(wsframe.Text, []byte(text)))
	return err
}

// next returns the next frame, whatever it is.
func (w *wire) next(wait time.Duration) (wsframe.Opcode, []byte, error) {
	_ = w.conn.SetReadDeadline(time.Now().Add(wait))
	var head [10]byte
	if _, err := io.ReadFull(w.r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := int(head[1] & 127)
	switch n {
	case 126:
		if _, err := io.ReadFull(w.r, head[2:4]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(head[2:]))
	case 127:
		if _, err := io.ReadFull(w.r, head[2:10]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint64(head[2:]))
	}
	p := make([]byte, n)
	_, err := io.ReadFull(w.r, p)
	return wsframe.Opcode(head[0] & 15), p, err
}

// message returns the next message, answering pings on the way.
func (w *wire) message() protocol.Message {
	w.t.Helper()
	m, err := w.tryMessage(15 * time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// closedError is the close frame of the server.
type closedError struct {
	code   uint16
	reason string
}

func (e *closedError) Error() string { return fmt.Sprintf("closed with %d %q", e.code, e.reason) }

func (w *wire) tryMessage(wait time.Duration) (protocol.Message, error) {
	for {
		op, p, err := w.next(wait)
		if err != nil {
			return protocol.Message{}, err
		}
		switch op {
		case wsframe.Ping:
			_ = w.conn.SetWriteDeadline(time.Now().Add(15 * time.Second))
			if _, err := w.conn.Write(frame(wsframe.Pong, p)); err != nil {
				return protocol.Message{}, err
			}
		case wsframe.Close:
			code, reason, _ := wsframe.ParseClose(p)
			return protocol.Message{}, &closedError{code, reason}
		case wsframe.Text:
			var m protocol.Message
			err := protocol.DecodeJSON(p, &m)
			return m, err
		}
	}
}

// closed reads to the end and returns the code of the close frame.
func (w *wire) closed(wait time.Duration) (code uint16, last protocol.Message) {
	w.t.Helper()
	for {
		m, err := w.tryMessage(wait)
		var c *closedError
		if errors.As(err, &c) {
			return c.code, last
		}
		if err != nil {
			w.t.Fatalf("no close frame but %v", err)
		}
		last = *m.Clone()
	}
}

func (w *wire) subscribe(name string) {
	w.t.Helper()
	w.send(`{"type":"subscribe","channel":"` + name + `","id":1}`)
	for {
		m := w.message()
		switch m.Type {
		case "subscribed":
			return
		case "error":
			w.t.Fatalf("%s", m.Data)
		}
	}
}

func errorCode(m protocol.Message) string {
	if m.Type != "error" {
		return ""
	}
	_, rest, _ := bytes.Cut(m.Data, []byte(`"code":"`))
	code, _, _ := strings.Cut(string(rest), `"`)
	return code
}
