package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ringdown/test/history"
)

// publisher publishes over a WebSocket, several at a time, and sends again under
// its dedupe key what it got no answer for.
type publisher struct {
	name     string
	rec      *history.Recorder
	address  func() string
	channels []string
	every    time.Duration // between publications
	stop     atomic.Bool   // publish nothing new
	acked    atomic.Int64
	pad      string // so that messages have a size

	made    atomic.Int64 // messages
	numbers int
	again   []*publication
	flying  map[int]*publication // by the number of the request
	full    atomic.Bool          // window publications are without an answer
}

type publication struct {
	channel, id, key string
	sent             time.Time
}

// window is how many publications of one publisher may be without an answer.
const window = 16

func (p *publisher) finish()     { p.stop.Store(true) }
func (p *publisher) acks() int64 { return p.acked.Load() }
func (p *publisher) stuck() bool { return p.full.Load() }

// run returns when ctx ends, or when stop is set and everything with a dedupe
// key has its answer.
func (p *publisher) run(ctx context.Context) {
	p.flying = map[int]*publication{}
	for ctx.Err() == nil && !p.done() {
		p.connect(ctx)
		if !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	p.lost()
}

func (p *publisher) done() bool { return p.stop.Load() && len(p.flying) == 0 && len(p.again) == 0 }

// lost gives up what has no answer on this connection.
func (p *publisher) lost() {
	for _, f := range p.flying {
		p.tell(history.PubUnknown, f, "")
		if f.key != "" {
			p.again = append(p.again, f)
		}
	}
	clear(p.flying)
	p.full.Store(false)
}

func (p *publisher) tell(k history.Kind, f *publication, reason string) {
	p.rec.Add(history.Event{Kind: k, Client: p.name, Channel: f.channel, ID: f.id, Key: f.key, Reason: reason})
}

func (p *publisher) connect(ctx context.Context) {
	c, err := dial(ctx, p.address(), p.name)
	if err != nil {
		return
	}
	defer c.close()
	defer p.lost()
	answers := make(chan message, window)
	go func() {
		defer c.end()
		for {
			m, err := c.read()
			if err != nil {
				return
			}
			select {
			case answers <- m:
			case <-c.ended.Done():
				return
			}
		}
	}()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var leave <-chan time.Time
	for !p.done() {
		select {
		case <-c.ended.Done():
			return
		case <-leave:
			return
		case m := <-answers:
			if m.Type == "reconnect" {
				var d struct{ Within int }
				_ = json.Unmarshal(m.Data, &d)
				leave = time.After(time.Duration(d.Within) * time.Millisecond / 2)
				continue
			}
			if !p.answered(&m) {
				return
			}
		case <-tick.C:
			if f := p.next(); f != nil && !p.send(c, f) {
				return
			}
			for _, f := range p.flying {
				if time.Since(f.sent) > 2*silence {
					return
				}
			}
		}
	}
}

// next is what to publish now: what has no answer yet comes first.
func (p *publisher) next() *publication {
	if len(p.flying) >= window {
		return nil
	}
	if len(p.again) > 0 {
		f := p.again[0]
		p.again = p.again[1:]
		return f
	}
	if p.stop.Load() {
		return nil
	}
	n := int(p.made.Add(1))
	f := &publication{channel: p.channels[n%len(p.channels)], id: fmt.Sprintf("%s-%d", p.name, n)}
	if n%4 > 0 {
		f.key = f.id
	}
	return f
}

func (p *publisher) send(c *socket, f *publication) bool {
	p.numbers++
	f.sent = time.Now()
	p.flying[p.numbers] = f
	p.full.Store(len(p.flying) >= window)
	p.tell(history.PubInvoke, f, "")
	m := map[string]any{"type": "m", "channel": f.channel, "id": p.numbers, "data": map[string]string{"ID": f.id, "pad": p.pad}}
	if f.key != "" {
		m["dedupe"] = f.key
	}
	if strings.HasPrefix(f.channel, "board:") {
		m["key"] = f.id[len(f.id)-1:]
	}
	return c.write(m) == nil
}

// answered takes an answer, and reports whether to go on.
func (p *publisher) answered(m *message) bool {
	number, _ := strconv.Atoi(string(m.ID))
	f := p.flying[number]
	if f == nil || m.Type != "ack" && m.Type != "error" {
		return true
	}
	delete(p.flying, number)
	p.full.Store(false)
	if m.Type == "ack" {
		p.acked.Add(1)
		p.rec.Add(history.Event{Kind: history.PubOK, Client: p.name, Channel: f.channel, ID: f.id, Key: f.key, Epoch: m.Epoch, Offset: m.Offset})
		return true
	}
	var e struct{ Code string }
	_ = json.Unmarshal(m.Data, &e)
	if e.Code == "unavailable" || e.Code == "timeout" || e.Code == "internal" {
		p.tell(history.PubUnknown, f, e.Code)
	} else {
		p.tell(history.PubFail, f, e.Code)
	}
	if f.key != "" {
		p.again = append(p.again, f)
	}
	return true
}
