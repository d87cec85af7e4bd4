package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"ringdown/protocol"
)

// stream is the transport of Server-Sent Events.
type stream struct{ client *http.Client }

func (*stream) name() string { return "sse" }

type streamLine struct {
	up   *uplink
	life *life
}

func (l *streamLine) send(m *protocol.Message) { l.up.send(m) }
func (l *streamLine) close()                   { l.life.cancel() }

func (t *stream) open(ctx context.Context, work *sync.WaitGroup, o *opening, ev events) line {
	life := newLife(ctx, ev)
	l := &streamLine{newUplink(t.client, o), life}
	work.Go(func() { l.up.run(life.ctx, ev, life.end) })
	work.Go(func() {
		life.end(l.run(t, o, life))
	})
	return l
}

func (l *streamLine) run(t *stream, o *opening, life *life) ending {
	items := make([]item, len(o.channels))
	for i, c := range o.channels {
		items[i] = itemOf(c)
	}
	body, err := json.Marshal(map[string]any{"channels": items})
	if err != nil {
		return ending{}
	}
	resp, err := request(life.ctx, t.client, o, http.MethodPost, "/v1/sse?"+o.query.Encode(), body, "Accept", "text/event-stream")
	if err != nil {
		return ending{}
	}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return readProblem(resp)
	}
	defer resp.Body.Close()
	life.ev.opened()
	l.read(bufio.NewReader(resp.Body), life)
	return ending{}
}

// read takes the events of a stream, until it ends or one is the last.
func (l *streamLine) read(r *bufio.Reader, life *life) {
	var data []byte
	for {
		text, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		switch text = bytes.TrimRight(text, "\r\n"); {
		case len(text) == 0 && data != nil:
			m := new(protocol.Message)
			if protocol.DecodeJSON(data, m) != nil {
				life.ev.heard()
			} else {
				if m.Type == protocol.TypeWelcome {
					l.up.welcome(m)
				}
				if !life.take(m) {
					return
				}
			}
			data = nil
		case bytes.HasPrefix(text, []byte("data:")):
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(text[len("data:"):], []byte(" "))...)
		case len(text) > 0 && text[0] == ':':
			life.ev.heard()
		}
	}
}

// welcome takes from a welcome for whom it speaks. Only the first counts.
func (u *uplink) welcome(m *protocol.Message) (g greeting) {
	if json.Unmarshal(m.Data, &g) == nil {
		select {
		case u.greeted <- g:
		default:
		}
	}
	return g
}
