package websocket

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

// chatter sends to c every so often, until the connection is over.
func chatter(t *testing.T, h *host, c *Conn, every time.Duration) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				h.engine.Loops()[0].Post(reactor.TaskFunc(func(*reactor.Loop) { c.WriteMessage(wsframe.Text, []byte("news")) }))
			}
		}
	}()
}

// A client that is gone is found out where something is said all the time, too:
// its kernel takes what is sent, and so would a proxy in between.
func TestDeadListener(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened, closed := make(chan *Conn, 1), make(chan error, 1)
		o := Options{PingInterval: 150 * time.Millisecond, PongTimeout: 150 * time.Millisecond, CloseTimeout: time.Millisecond, Logger: silent}
		h := serveApp(t, engine, o, func() App {
			return &app{open: func(c *Conn) { opened <- c }, closed: func(_ *Conn, err error) { closed <- err }}
		})
		h.dial() // and never looks at it again
		chatter(t, h, receive(t, "Open", opened), 10*time.Millisecond)
		if err := receive(t, "the end of a client that answers nothing", closed); !errors.Is(err, errHeartbeat) {
			t.Error("closed with", err)
		}
	})
}

// One that only listens is asked, and stays as long as it answers; so is one that
// only speaks.
func TestOneSided(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		opened := make(chan *Conn, 1)
		o := Options{PingInterval: 100 * time.Millisecond, PongTimeout: 5 * time.Second, Logger: silent}
		h := serveApp(t, engine, o, func() App { return &app{open: func(c *Conn) { opened <- c }} })
		p := h.dial()
		chatter(t, h, receive(t, "Open", opened), 10*time.Millisecond)
		for pings := 0; pings < 3; {
			first, _, err := p.frame()
			if err != nil {
				t.Fatal(err)
			}
			if first == 0x89 {
				pings++
				p.raw(masked(0x8a, nil)...)
			}
		}
		p.conn.Close()
		p = h.dial()
		receive(t, "Open", opened)
		for range 3 {
			_ = p.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			for _, err := p.r.Peek(1); err != nil; _, err = p.r.Peek(1) {
				p.text("news")
				_ = p.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			}
			p.expect(0x89, "")
		}
	})
}

// Nobody is asked more often than the interval says, up to a fifth earlier.
func TestPingsNotTooOften(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, Options{PingInterval: 200 * time.Millisecond, PongTimeout: 5 * time.Second}, 1000)
		p := h.dial()
		begun := time.Now()
		for range 4 {
			p.expect(0x89, "")
			p.raw(masked(0x8a, nil)...)
		}
		if d := time.Since(begun); d < 4*160*time.Millisecond {
			t.Errorf("four pings in %v", d)
		}
	})
}

// With ?heartbeat=message the heartbeat is one that programs see, and answer.
func TestSpokenHeartbeat(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{PingInterval: 100 * time.Millisecond, PongTimeout: 300 * time.Millisecond, Compression: true}, session.Policy{Anonymous: true})
		for _, proto := range []string{protocol.SubprotocolJSON, protocol.SubprotocolProtobuf} {
			p := h.knock("/v1/ws?heartbeat=message", "Sec-WebSocket-Protocol: "+proto, deflate)
			p.want(protocol.TypeWelcome)
			op, pong := byte(0x81), protocol.AppendJSON(nil, &protocol.Message{Type: protocol.TypePong})
			if proto == protocol.SubprotocolProtobuf {
				op, pong = 0x82, protocol.AppendProtobuf(nil, &protocol.Message{Type: protocol.TypePong})
			}
			for range 3 {
				first, m := p.next()
				if first != op || m.Type != protocol.TypePing || m.Data != nil || m.ID != nil {
					t.Fatalf("%#x %+v, want a ping", first, m)
				}
				p.raw(masked(op, pong)...) // nothing is said to that: the next is a ping again
			}
			if _, m := p.next(); m.Type != protocol.TypePing {
				t.Fatalf("%+v", m)
			}
			p.closedWith(4201) // it was not answered
		}
	})
}

// Whoever asks for a heartbeat that does not exist is told which does.
func TestNoSuchHeartbeat(t *testing.T) {
	g := newGate(t, Options{})
	resp, body, _ := g.try(t, request("GET /v1/ws?heartbeat=frame HTTP/1.1"))
	if resp.StatusCode != 400 || !strings.Contains(string(body), "heartbeat may be message") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body, _ = g.try(t, request("GET /v1/ws?heartbeat= HTTP/1.1")); resp.StatusCode != 101 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
