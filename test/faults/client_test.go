package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"ringdown/internal/auth"
)

// How long a client waits.
const (
	silence   = 6 * time.Second         // without hearing anything, before it hangs up
	keepAlive = 1500 * time.Millisecond // between its pings
)

// message is what a client reads, decoded by other code than the server's.
type message struct {
	Type    string          `json:"type"`
	Channel string          `json:"channel"`
	ID      json.RawMessage `json:"id"`
	Epoch   string          `json:"epoch"`
	Offset  uint64          `json:"offset"`
	Prev    *uint64         `json:"prev"`
	Data    json.RawMessage `json:"data"`
}

// prev is the offset before; it is left out where it is the one before offset.
func (m *message) prev() uint64 {
	if m.Prev != nil {
		return *m.Prev
	}
	return m.Offset - 1
}

// socket is one WebSocket connection of a client.
type socket struct {
	conn  *websocket.Conn
	ended context.Context
	end   context.CancelFunc
	heard atomic.Int64 // Unix nanoseconds
}

func token(user string) string {
	tok, err := auth.Sign(auth.JWT{Secret: []byte(jwtSecret), Algorithm: "HS256"}, map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		panic(err)
	}
	return tok
}

// dial connects, welcome included. The socket ends with ctx, or when nothing was
// heard for too long.
func dial(ctx context.Context, addr, user string) (*socket, error) {
	opening, opened := context.WithTimeout(ctx, 5*time.Second)
	defer opened()
	// Its own transport, so that no connection is shared or kept.
	c, _, err := websocket.Dial(opening, "ws://"+addr+"/v1/ws?token="+token(user), &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(8 << 20)
	s := &socket{conn: c}
	s.ended, s.end = context.WithCancel(ctx)
	s.heard.Store(time.Now().UnixNano())
	go s.watch()
	if m, err := s.read(); err != nil || m.Type != "welcome" {
		s.close()
		return nil, fmt.Errorf("no welcome but %q: %w", m.Type, err)
	}
	return s, nil
}

// watch pings, and ends the socket when nothing comes back.
func (s *socket) watch() {
	t := time.NewTicker(keepAlive)
	defer t.Stop()
	for {
		select {
		case <-s.ended.Done():
			return
		case <-t.C:
			if time.Since(time.Unix(0, s.heard.Load())) > silence {
				s.close()
				return
			}
			_ = s.write(map[string]any{"type": "ping"}) // the reader finds out
		}
	}
}

func (s *socket) close() {
	s.end()
	s.conn.CloseNow()
}

func (s *socket) read() (m message, err error) {
	_, p, err := s.conn.Read(s.ended)
	if err != nil {
		return m, err
	}
	s.heard.Store(time.Now().UnixNano())
	return m, json.Unmarshal(lean(p), &m)
}

// lean takes the padding out of messages, which is whole or else left in: to
// decode it would be most of the work of a run under the race detector.
func lean(p []byte) []byte {
	begin, end := []byte(`"pad":"`), []byte(`"`)
	var out []byte
	for {
		before, rest, found := bytes.Cut(p, begin)
		pad, after, whole := bytes.Cut(rest, end)
		if !found || !whole || bytes.Count(pad, []byte("x")) != len(pad) {
			if out == nil {
				return p
			}
			return append(out, p...)
		}
		out = append(append(append(out, before...), begin...), end...)
		p = after
	}
}

func (s *socket) write(v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ended, silence)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, p)
}

// pause waits as a client does before it comes back, and reports whether it
// still should.
func pause(ctx context.Context, most time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(rand.N(most)):
		return true
	}
}
