package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// dial opens a socket that puts into the inbox what comes, and the close code
// that the library tells; it returns how to say something.
type dial func(address string, b *inbox) (say func([]byte) error, err error)

var sockets = map[string]dial{"gorilla": dialGorilla, "coder": dialCoder, "gobwas": dialGobwas, "gws": dialGWS}

func dialGorilla(address string, b *inbox) (func([]byte) error, error) {
	d := gorilla.Dialer{EnableCompression: true}
	c, _, err := d.Dial(address, nil)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			_, data, err := c.ReadMessage()
			var closed *gorilla.CloseError
			if errors.As(err, &closed) {
				b.end(closed.Code)
				return
			} else if err != nil {
				b.end(-1)
				return
			}
			b.take(data)
		}
	}()
	return func(p []byte) error { return c.WriteMessage(gorilla.TextMessage, p) }, nil
}

func dialCoder(address string, b *inbox) (func([]byte) error, error) {
	c, _, err := coder.Dial(context.Background(), address, &coder.DialOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(1 << 20)
	go func() {
		for {
			_, data, err := c.Read(context.Background())
			if err != nil {
				b.end(int(coder.CloseStatus(err)))
				return
			}
			b.take(data)
		}
	}()
	return func(p []byte) error { return c.Write(context.Background(), coder.MessageText, p) }, nil
}

func dialGobwas(address string, b *inbox) (func([]byte) error, error) {
	c, early, _, err := ws.Dial(context.Background(), address)
	if err != nil {
		return nil, err
	}
	// What came together with the answer to the handshake stands in a buffer.
	var in io.Reader = c
	if early != nil {
		in = io.MultiReader(early, c)
	}
	line := struct {
		io.Reader
		io.Writer
	}{in, c}
	go func(c net.Conn) {
		defer c.Close()
		for {
			data, err := wsutil.ReadServerText(line)
			var closed wsutil.ClosedError
			if errors.As(err, &closed) {
				b.end(int(closed.Code))
				return
			} else if err != nil {
				b.end(-1)
				return
			}
			b.take(data)
		}
	}(c)
	return func(p []byte) error { return wsutil.WriteClientText(c, p) }, nil
}

// events is how gws tells what happens.
type events struct {
	gws.BuiltinEventHandler
	inbox *inbox
}

func (e *events) OnPing(c *gws.Conn, p []byte) { _ = c.WritePong(p) }

func (e *events) OnMessage(_ *gws.Conn, m *gws.Message) {
	e.inbox.take(m.Bytes())
	m.Close()
}

func (e *events) OnClose(_ *gws.Conn, err error) {
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		e.inbox.end(int(closed.Code))
	} else {
		e.inbox.end(-1)
	}
}

func dialGWS(address string, b *inbox) (func([]byte) error, error) {
	c, _, err := gws.NewClient(&events{inbox: b}, &gws.ClientOption{Addr: address, PermessageDeflate: gws.PermessageDeflate{Enabled: true, Threshold: 1}})
	if err != nil {
		return nil, err
	}
	go c.ReadLoop()
	return func(p []byte) error { return c.WriteMessage(gws.OpcodeText, p) }, nil
}

// line is one socket in use.
type line struct {
	inbox
	say func([]byte) error
}

func (d dial) open(query string) (*line, error) {
	l := &line{}
	var err error
	l.say, err = d(strings.Replace(base, "http", "ws", 1)+"/v1/ws?"+query, &l.inbox)
	return l, err
}

// subscribed opens a line and subscribes.
func (d dial) subscribed(since any) (*line, error) {
	l, err := d.open("token=" + token)
	if err != nil {
		return nil, err
	}
	m := map[string]any{"type": "subscribe", "channel": channel, "id": 1}
	if since != nil {
		m["since"] = since
	}
	if err := l.send(m); err != nil {
		return nil, err
	}
	return l, l.untilSo("subscribed", 1)
}

func (l *line) send(m map[string]any) error {
	p, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return l.say(p)
}

func socketSteps(d dial) {
	var l *line
	step("order", func() (err error) {
		if l, err = d.subscribed(nil); err != nil {
			return err
		}
		if user := l.of("welcome")[0].Data.User; user != "ann" {
			return fmt.Errorf("welcome to %q", user)
		}
		for i := range 20 {
			if err := l.send(map[string]any{"type": "n", "channel": channel, "id": 100 + i, "data": map[string]any{"i": i, "text": text(i)}}); err != nil {
				return err
			}
		}
		if err := errors.Join(l.untilSo("n", 20), l.untilSo("ack", 20)); err != nil {
			return err
		}
		return l.sameMessages()
	})
	step("resume", func() error {
		since := map[string]any{"epoch": l.of("subscribed")[0].Epoch, "offset": l.of("n")[9].Offset}
		if err := cut(); err != nil {
			return err
		}
		if _, err := l.ended(); err != nil {
			return err
		}
		var err error
		if l, err = d.subscribed(since); err != nil {
			return err
		}
		if err := l.untilSo("missed", 3); err != nil {
			return err
		}
		list := l.of("n")
		if len(list) != 10 || list[0].Data.I != 10 || !l.of("subscribed")[0].Data.Recovered {
			return fmt.Errorf("%d messages again", len(list))
		}
		return nil
	})
	step("4001", func() error {
		bad, err := d.open("token=a.bad.token")
		if err != nil {
			return err
		}
		return bad.wantEnd(4001)
	})
	step("4005", func() error {
		kicked, err := d.subscribed(nil)
		if err == nil {
			err = ask("DELETE", base+"/v1/connections/"+kicked.of("welcome")[0].Data.Connection, nil, "Authorization", "Bearer "+key)
		}
		if err != nil {
			return err
		}
		return kicked.wantEnd(4005)
	})
	step("4200", func() error {
		if err := drain(); err != nil {
			return err
		}
		return errors.Join(l.wantEnd(4200), l.untilSo("reconnect", 1))
	})
}

func (l *line) wantEnd(want int) error {
	code, err := l.ended()
	if err == nil && code != want {
		err = fmt.Errorf("the code is %d instead of %d", code, want)
	}
	return err
}
