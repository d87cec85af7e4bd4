package client

import (
	"context"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"ringdown/protocol"
)

// webSocket is the best transport.
type webSocket struct {
	client   *http.Client
	protobuf bool
}

func (*webSocket) name() string { return "websocket" }

type webSocketLine struct {
	protobuf bool
	out      *queue
	cancel   context.CancelFunc
}

func (l *webSocketLine) send(m *protocol.Message) { l.out.put(m) }
func (l *webSocketLine) close()                   { l.cancel() }

func (t *webSocket) open(ctx context.Context, work *sync.WaitGroup, o *opening, ev events) line {
	ctx, cancel := context.WithCancel(ctx)
	l := &webSocketLine{protobuf: t.protobuf, out: newQueue(), cancel: cancel}
	work.Go(func() { l.run(ctx, t, o, ev) })
	return l
}

// run is the life of the line: the handshake, a goroutine that writes, and reading here.
func (l *webSocketLine) run(ctx context.Context, t *webSocket, o *opening, ev events) {
	defer l.cancel()
	query := o.query
	query.Set("heartbeat", "message")
	header := http.Header{}
	if o.token != "" {
		header.Set("Authorization", "Bearer "+o.token)
	}
	sub := protocol.SubprotocolJSON
	if t.protobuf {
		sub = protocol.SubprotocolProtobuf
	}
	c, resp, err := websocket.Dial(ctx, o.url+"/v1/ws?"+query.Encode(), &websocket.DialOptions{HTTPClient: t.client, HTTPHeader: header, Subprotocols: []string{sub}})
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		e := ending{}
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			e = readProblem(resp)
		}
		ev.ended(e)
		return
	}
	c.SetReadLimit(-1) // what the server sends is bounded by what it lets in
	var writer sync.WaitGroup
	writer.Go(func() { l.write(ctx, c) })
	ev.opened()
	for {
		kind, frame, err := c.Read(ctx)
		if err != nil {
			stopped := ctx.Err() != nil
			l.cancel()
			writer.Wait()
			if stopped {
				_ = c.Close(websocket.StatusNormalClosure, "")
				return
			}
			_ = c.CloseNow()
			e := ending{}
			if code := websocket.CloseStatus(err); code > 0 {
				e.code = protocol.CloseCode(code)
			}
			ev.ended(e)
			return
		}
		m := new(protocol.Message)
		if l.decode(kind, frame, m) != nil {
			ev.heard()
			continue
		}
		ev.message(m)
	}
}

func (l *webSocketLine) decode(kind websocket.MessageType, frame []byte, m *protocol.Message) error {
	switch {
	case l.protobuf:
		return protocol.DecodeProtobuf(frame, m)
	case kind == websocket.MessageBinary:
		return protocol.DecodeBinary(frame, m)
	default:
		return protocol.DecodeJSON(frame, m)
	}
}

func (l *webSocketLine) write(ctx context.Context, c *websocket.Conn) {
	for list := l.out.take(ctx); list != nil; list = l.out.take(ctx) {
		for _, m := range list {
			var frame []byte
			kind := websocket.MessageText
			switch {
			case l.protobuf:
				frame, kind = protocol.AppendProtobuf(nil, m), websocket.MessageBinary
			case m.Binary:
				frame, kind = protocol.AppendBinary(nil, m), websocket.MessageBinary
			default:
				frame = protocol.AppendJSON(nil, m)
			}
			if c.Write(ctx, kind, frame) != nil {
				return // reading fails too, and says why
			}
		}
	}
}
