package load

import (
	"bytes"
	"fmt"
	"time"

	"ringdown/internal/wsframe"
)

// eventStream is Server-Sent Events: one answer that does not end.
type eventStream struct{}

func (eventStream) ask(dst []byte, a *audience, u *user) []byte {
	dst = append(dst, "GET /v1/sse?channel="+FollowChannel...)
	return a.fields(dst, u)
}

func (eventStream) take(a *audience, i int, p []byte, now time.Duration) (int, error) {
	u := &a.users[i]
	if !u.headed {
		n, err := answerHead(p)
		u.headed = n > 0
		return n, err
	}
	data, n, err := chunk(p)
	if n == 0 || err != nil {
		return 0, err
	}
	if len(data) == 0 {
		return n, errCut
	}
	if bytes.Contains(data, []byte(`{"type":"subscribed"`)) {
		a.arrive(u)
	}
	a.deliveries(u, data, now)
	return n, nil
}

// socket is a WebSocket in Ringdown's own dialect, of the publisher too.
type socket struct{ publishes bool }

func (socket) ask(dst []byte, a *audience, u *user) []byte {
	dst = append(dst, "GET /v1/ws HTTP/1.1\r\nHost: "...)
	dst = append(dst, a.host...)
	dst = append(dst, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+requestKey+"\r\nAuthorization: Bearer "...)
	dst = append(dst, u.token...)
	return append(dst, "\r\n\r\n"...)
}

func (s socket) take(a *audience, i int, p []byte, now time.Duration) (int, error) {
	u := &a.users[i]
	if !u.headed {
		end := bytes.Index(p, headEnd)
		if end < 0 {
			return 0, nil
		}
		if !bytes.HasPrefix(p, []byte("HTTP/1.1 101 ")) {
			return 0, fmt.Errorf("%w the upgrade: %.200s", errRefused, p)
		}
		u.headed = true
		return end + len(headEnd), nil
	}
	h, n, err := wsframe.ParseHeader(p)
	if err == nil && (h.Masked || h.RSV1 || h.Length > maxFrame) {
		err = fmt.Errorf("unexpected frame header %+v", h)
	}
	if err != nil || n == 0 || int64(len(p)-n) < h.Length {
		return 0, err
	}
	end := n + int(h.Length)
	return end, s.frame(a, i, h.Op, p[n:end], now)
}

func (s socket) frame(a *audience, i int, op wsframe.Opcode, payload []byte, now time.Duration) error {
	u := &a.users[i]
	switch op {
	case wsframe.Ping:
		a.sendFrame(i, wsframe.Pong, payload)
		return nil
	case wsframe.Close:
		code, reason, _ := wsframe.ParseClose(payload)
		return fmt.Errorf("closed by the server with %d %s", code, reason)
	}
	if u.state == present {
		a.deliveries(u, payload, now)
		return refusal(payload)
	}
	switch what, _ := (ringdown{}).control(payload); {
	case what == welcome && s.publishes, what == subscribed:
		a.arrive(u)
	case what == welcome:
		a.message = ringdown{}.appendSubscribe(a.message[:0], FollowChannel, nil)
		a.sendFrame(i, wsframe.Text, a.message)
	}
	return refusal(payload)
}

// refusal is the error that a message is, if it is one.
func refusal(payload []byte) error {
	if what, _ := (ringdown{}).control(payload); what == refused {
		return fmt.Errorf("%w: %.300s", errRefused, payload)
	}
	return nil
}
