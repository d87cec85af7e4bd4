package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"ringdown/internal/auth"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/internal/reactor"
	"ringdown/internal/session"
	"ringdown/internal/wsframe"
	"ringdown/protocol"
)

var testKey = auth.JWT{Secret: []byte("a-secret-of-at-least-thirty-two-bytes!"), Algorithm: "HS256"}

// sessions serves the real session, over a node with its channels in memory.
func sessions(t *testing.T, engine string, o Options, policy session.Policy) *host {
	t.Helper()
	ctx := context.Background()
	e, err := reactor.New(reactor.Options{Engine: engine, Loops: 2, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(auth.Options{JWT: []auth.JWT{testKey}, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	all := channel.Allow{Subscribe: channel.Anyone, Publish: channel.Anyone}
	table, err := channel.NewTable([]*channel.Declaration{{Name: "room", History: &channel.History{Messages: 100}, Allow: all}})
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(node.Options{Broker: memory.New(memory.Options{}), Table: table, Logger: silent})
	s := session.New(session.Options{Engine: e, Node: n, Verifier: verifier, Policy: policy, Name: "test", Logger: silent})
	for _, start := range []func(context.Context) error{e.Start, verifier.Start, n.Start} {
		if err := start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = silent
	h := &host{t: t, engine: e, addr: l.Addr().String(), sessions: s, handler: New(e, s, o)}
	srv := &http.Server{Handler: h.handler, ReadHeaderTimeout: 2 * time.Second}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		for _, stop := range []func(context.Context) error{e.Stop, s.Stop, n.Stop, verifier.Stop} {
			if err := stop(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

func sign(t *testing.T, user string, left time.Duration) string {
	t.Helper()
	s, err := auth.Sign(testKey, map[string]any{"sub": user, "exp": time.Now().Add(left).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// knock opens a WebSocket with the given request line path.
func (h *host) knock(path string, headers ...string) *peer {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	for i := range headers {
		headers[i] = "+" + headers[i]
	}
	if _, err := io.WriteString(c, request("GET "+path+" HTTP/1.1", headers...)); err != nil {
		h.t.Fatal(err)
	}
	p := &peer{t: h.t, conn: c.(*net.TCPConn), r: bufio.NewReader(c)}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if p.resp, err = http.ReadResponse(p.r, nil); err != nil || p.resp.StatusCode != 101 {
		h.t.Fatalf("upgrade: %v %v", p.resp, err)
	}
	return p
}

// next reads one message in whatever form it comes.
func (p *peer) next() (first byte, m *protocol.Message) {
	p.t.Helper()
	first, payload, err := p.frame()
	if err != nil {
		p.t.Fatal(err)
	}
	if first == 0x88 {
		code, reason, _ := wsframe.ParseClose(payload)
		p.t.Fatalf("closed with %d %s", code, reason)
	}
	if first&0x40 != 0 {
		if payload, err = wsframe.Inflate(nil, payload, 1<<20); err != nil {
			p.t.Fatal(err)
		}
	}
	m = new(protocol.Message)
	switch {
	case p.resp.Header.Get("Sec-WebSocket-Protocol") == protocol.SubprotocolProtobuf:
		err = protocol.DecodeProtobuf(payload, m)
	case first&0x0f == 2:
		err = protocol.DecodeBinary(payload, m)
	default:
		err = protocol.DecodeJSON(payload, m)
	}
	if err != nil {
		p.t.Fatalf("%v: %.100q", err, payload)
	}
	return first, m
}

// want reads messages up to one of that type.
func (p *peer) want(typ string) (byte, *protocol.Message) {
	p.t.Helper()
	for {
		first, m := p.next()
		if m.Type == typ {
			return first, m
		}
		if m.Type == protocol.TypeError {
			p.t.Fatalf("error instead of %s: %s", typ, m.Data)
		}
	}
}

// send sends a message in the codec that was agreed.
func (p *peer) send(m *protocol.Message) {
	p.t.Helper()
	if p.resp.Header.Get("Sec-WebSocket-Protocol") == protocol.SubprotocolProtobuf {
		p.raw(masked(0x82, protocol.AppendProtobuf(nil, m))...)
		return
	}
	if m.Binary {
		p.raw(masked(0x82, protocol.AppendBinary(nil, m))...)
		return
	}
	p.raw(masked(0x81, protocol.AppendJSON(nil, m))...)
}

// TestTokens: however a token comes it is judged before the upgrade, and what
// is wrong with it is told behind it.
func TestTokens(t *testing.T) {
	good, old := sign(t, "ann", time.Hour), sign(t, "ann", -time.Hour)
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{}, session.Policy{Limits: session.Limits{AuthTimeout: 200 * time.Millisecond}})
		for name, c := range map[string]struct {
			path, header string
			close        uint16 // 0: welcome
		}{
			"in the query":            {"/v1/ws?token=" + good, "X-Nothing: 1", 0},
			"in Authorization":        {"/v1/ws", "Authorization: Bearer " + good, 0},
			"among the subprotocols":  {"/v1/ws", "Sec-WebSocket-Protocol: ringdown.v1.json, bearer." + good, 0},
			"expired":                 {"/v1/ws?token=" + old, "X-Nothing: 1", 4004},
			"nonsense":                {"/v1/ws?token=nonsense", "X-Nothing: 1", 4001},
			"nonsense in the header":  {"/v1/ws", "Authorization: Bearer a.b.c", 4001},
			"expired as subprotocol":  {"/v1/ws", "Sec-WebSocket-Protocol: bearer." + old + ", ringdown.v1.json", 4004},
			"none, and none comes":    {"/v1/ws", "X-Nothing: 1", 4002},
			"expired, under protobuf": {"/v1/ws?token=" + old, "Sec-WebSocket-Protocol: ringdown.v1.protobuf", 4004},
		} {
			t.Run(name, func(t *testing.T) {
				p := h.knock(c.path, c.header)
				p.t = t
				_, m := p.next()
				if c.close == 0 {
					var data struct{ User string }
					if err := json.Unmarshal(m.Data, &data); err != nil || m.Type != protocol.TypeWelcome || data.User != "ann" {
						t.Errorf("%s %s (%v)", m.Type, m.Data, err)
					}
					p.conn.Close()
					return
				}
				if m.Type != protocol.TypeError || !bytes.Contains(m.Data, []byte(`"unauthorized"`)) {
					t.Errorf("%s %s", m.Type, m.Data)
				}
				if strings.Contains(string(m.Data), old) {
					t.Error("the error holds the token")
				}
				p.closedWith(c.close)
				p.conn.Close()
			})
		}
		p := h.knock("/v1/ws")
		p.send(&protocol.Message{Type: protocol.TypeAuth, Token: good})
		if _, m := p.next(); m.Type != protocol.TypeWelcome {
			t.Errorf("after the first message: %s %s", m.Type, m.Data)
		}
	})
}

// TestBeforeAuth (B07): nobody knows who it is yet, so it gets little.
func TestBeforeAuth(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{Compression: true, MessageTimeout: 200 * time.Millisecond}, session.Policy{})
		for name, c := range map[string]struct {
			send []byte
			want uint16
		}{
			"4097 bytes":               {masked(0x81, bytes.Repeat([]byte(" "), 4097)), 1009},
			"4097 bytes in two":        {append(masked(0x01, make([]byte, 4000)), masked(0x80, make([]byte, 97))...), 1009},
			"4097 bytes once inflated": {masked(0xc1, wsframe.Deflate(nil, bytes.Repeat([]byte(" "), 4097))), 1009},
			"a bomb":                   {masked(0xc2, wsframe.Deflate(nil, make([]byte, 3<<20))), 1009},
			"1 GiB declared":           {declared(0x82, 1<<30), 1009},
			"2^63-1 declared":          {declared(0x82, 1<<63-1), 1009},
			"4 KiB declared, stalled":  {declared(0x82, 1<<16-1+1)[:3], 1008},
			"empty fragments":          {append(masked(0x02, nil), bytes.Repeat(masked(0x00, nil), 2000)...), 1008},
			"pings":                    {bytes.Repeat(masked(0x89, nil), 100), 1008},
		} {
			t.Run(name, func(t *testing.T) {
				p := h.knock("/v1/ws", deflate)
				p.t = t
				var got uint16
				n := spent(func() {
					p.raw(c.send...)
					got = p.outcome()
				})
				if got != c.want || n > 128<<10*slack {
					t.Errorf("closed with %d, %d bytes allocated", got, n)
				}
				p.conn.Close()
			})
		}
	})
}

// TestBadMessages: what cannot be understood is answered, and repeated it ends
// the connection.
func TestBadMessages(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{}, session.Policy{Anonymous: true, Limits: session.Limits{BadMessages: 3}})
		for name, c := range map[string]struct {
			header string
			bad    []byte
		}{
			"text":                {"X-Nothing: 1", masked(0x81, []byte(`{"type":`))},
			"an empty text":       {"X-Nothing: 1", masked(0x81, nil)},
			"bytes":               {"X-Nothing: 1", masked(0x82, []byte("no newline"))},
			"protobuf":            {"Sec-WebSocket-Protocol: ringdown.v1.protobuf", masked(0x82, []byte{0xff})},
			"text under protobuf": {"Sec-WebSocket-Protocol: ringdown.v1.protobuf", masked(0x81, []byte(`{"type":"ping"}`))},
		} {
			t.Run(name, func(t *testing.T) {
				p := h.knock("/v1/ws", c.header)
				p.t = t
				p.want(protocol.TypeWelcome)
				for range 4 {
					p.raw(c.bad...)
					if _, m := p.next(); m.Type != protocol.TypeError || !bytes.Contains(m.Data, []byte(`"bad_request"`)) {
						t.Errorf("%s %s", m.Type, m.Data)
					}
				}
				p.closedWith(4000)
				p.conn.Close()
			})
		}
	})
}

// TestForms: one message reaches each connection in its own form, and two of a
// form get the very same bytes.
func TestForms(t *testing.T) {
	data := `{"text":"` + strings.Repeat("the same words again ", 60) + `"}`
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{Compression: true}, session.Policy{Anonymous: true})
		const proto = "Sec-WebSocket-Protocol: ringdown.v1.protobuf"
		peers := []struct {
			name    string
			headers []string
			first   byte
			*peer
		}{
			{name: "text", first: 0x81},
			{name: "text again", first: 0x81},
			{name: "deflate", headers: []string{deflate}, first: 0xc1},
			{name: "deflate again", headers: []string{deflate + "; client_max_window_bits"}, first: 0xc1},
			{name: "deflate with a small window", headers: []string{deflate + "; server_max_window_bits=9"}, first: 0x81},
			{name: "protobuf", headers: []string{proto}, first: 0x82},
			{name: "protobuf with deflate", headers: []string{proto, deflate}, first: 0xc2},
		}
		for i := range peers {
			p := &peers[i]
			p.peer = h.knock("/v1/ws", p.headers...)
			p.want(protocol.TypeWelcome)
			p.send(&protocol.Message{Type: protocol.TypeSubscribe, Channel: "room", ID: []byte("1")})
			p.want(protocol.TypeSubscribed)
		}
		// Over each codec in turn: what one says reaches all.
		for _, from := range []int{0, 2, 5} {
			peers[from].send(&protocol.Message{Type: "said", Channel: "room", Data: []byte(data)})
			for i := range peers {
				p := &peers[i]
				first, m := p.want("said")
				if string(m.Data) != data || first != p.first {
					t.Errorf("%s: %#x %.50s", p.name, first, m.Data)
				}
			}
		}
		// Bytes travel as they are.
		raw := bytes.Repeat([]byte{0, 1, 2, 0xff, '\n'}, 100)
		peers[1].send(&protocol.Message{Type: "drawn", Channel: "room", Data: raw, Binary: true})
		for i := range peers {
			p := &peers[i]
			if first, m := p.want("drawn"); !m.Binary || !bytes.Equal(m.Data, raw) || first&0x0f != 2 {
				t.Errorf("%s: %#x %v %.50q", p.name, first, m.Binary, m.Data)
			}
		}
		// What is too small to compress comes plain.
		peers[0].send(&protocol.Message{Type: "said", Channel: "room", Data: []byte(`"hi"`)})
		if first, _ := peers[2].want("said"); first != 0x81 {
			t.Errorf("a small message comes as %#x", first)
		}
	})
}

// TestSharedDeflate: the compressed frame that is made once for all is readable
// by a client that is not ours, with and without contexts of its own.
func TestSharedDeflate(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{Compression: true}, session.Policy{Anonymous: true})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var clients []*coder.Conn
		for _, mode := range []coder.CompressionMode{coder.CompressionContextTakeover, coder.CompressionNoContextTakeover, coder.CompressionDisabled, coder.CompressionContextTakeover} {
			c, resp, err := coder.Dial(ctx, "ws://"+h.addr+"/v1/ws", &coder.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			if has := resp.Header.Get("Sec-WebSocket-Extensions") != ""; has != (mode != coder.CompressionDisabled) {
				t.Fatalf("mode %d: answered %q", mode, resp.Header.Get("Sec-WebSocket-Extensions"))
			}
			write(ctx, t, c, `{"type":"subscribe","channel":"room","id":1}`)
			read(ctx, t, c, `"subscribed"`)
			clients = append(clients, c)
		}
		for i := range 50 {
			want := fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, strings.Repeat("words of one message and the next ", i))
			write(ctx, t, clients[i%len(clients)], `{"type":"said","channel":"room","data":`+want+`}`)
			for _, c := range clients {
				if got := read(ctx, t, c, `"said"`); !strings.Contains(got, want) {
					t.Fatalf("message %d: %.200s", i, got)
				}
			}
		}
		for _, c := range clients {
			if err := c.Close(coder.StatusNormalClosure, ""); err != nil {
				t.Error(err)
			}
		}
	})
}

func write(ctx context.Context, t *testing.T, c *coder.Conn, text string) {
	t.Helper()
	if err := c.Write(ctx, coder.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// read reads up to a message that holds what is wanted.
func read(ctx context.Context, t *testing.T, c *coder.Conn, want string) string {
	t.Helper()
	for {
		_, p, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(p), want) {
			return string(p)
		}
	}
}

// The welcome comes in the same segment as the answer to the handshake.
func TestWelcomeAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{}, session.Policy{Anonymous: true})
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request("GET /v1/ws HTTP/1.1")); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil || !bytes.Contains(buf[:n], []byte("101 Switching")) || !bytes.Contains(buf[:n], []byte(`"welcome"`)) {
			t.Errorf("the first bytes are %q (%v)", buf[:n], err)
		}
	})
}

// TestDrainEndsAtOnce: a server that goes down waits for nobody who has answered
// its close frame, though many libraries leave the end of TCP to the server.
func TestDrainEndsAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := sessions(t, engine, Options{CloseTimeout: forever}, session.Policy{Anonymous: true})
		peers := make([]*peer, 20)
		for i := range peers {
			peers[i] = h.knock("/v1/ws")
			peers[i].want(protocol.TypeWelcome)
		}
		drained := make(chan error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		go func() { drained <- h.sessions.Drain(ctx, time.Second) }()
		for _, p := range peers {
			p.raw(masked(0x88, p.told(4200))...)
		}
		if err := receive(t, "the end of the drain", drained); err != nil {
			t.Error(err)
		}
	})
}
