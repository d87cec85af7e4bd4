package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/wsframe"
	"ringdown/test/history"
)

// message is what a client reads.
type message struct {
	Type    string          `json:"type"`
	Channel string          `json:"channel"`
	ID      json.RawMessage `json:"id"`
	Epoch   string          `json:"epoch"`
	Offset  uint64          `json:"offset"`
	Prev    *uint64         `json:"prev"`
	Data    json.RawMessage `json:"data"`
	raw     []byte
}

func (m *message) prev() uint64 {
	if m.Prev != nil {
		return *m.Prev
	}
	return m.Offset - 1
}

// client is what subscribers and publishers have in common.
type client struct {
	name string
	w    *world
	rng  *rand.Rand // of this client's goroutine alone
}

func (c *client) wait(most time.Duration) bool {
	select {
	case <-c.w.ctx.Done():
		return false
	case <-time.After(time.Duration(c.rng.Int64N(int64(most)))):
		return true
	}
}

// pace is how long to wait before each read; 0: not at all.
func (c *client) pace() time.Duration {
	if c.w.calm.Load() || c.rng.IntN(3) > 0 {
		return 0
	}
	return time.Duration(1+c.rng.IntN(300)) * time.Millisecond
}

// converse reads a connection until it ends, or see says that it has had enough.
func (c *client) converse(l *link, pace time.Duration, tick func() bool, see func(m *message) bool) {
	defer l.cut()
	var rest []byte
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-c.w.ctx.Done():
			return
		case <-l.gone:
			return
		case <-beat.C:
			if !tick() {
				return
			}
		case <-l.more:
			if pace > 0 && !c.wait(pace) {
				return
			}
			rest = append(rest, l.read()...)
			for {
				h, n, err := wsframe.ParseHeader(rest)
				if err != nil {
					c.w.t.Error(c.name, err)
					return
				}
				if n == 0 || int64(len(rest)-n) < h.Length {
					break // cut by a full socket
				}
				m := message{raw: rest[n : n+int(h.Length)]}
				if err := json.Unmarshal(m.raw, &m); err != nil {
					c.w.t.Errorf("%s was sent %q: %v", c.name, m.raw, err)
					return
				}
				rest = rest[n+int(h.Length):]
				if !see(&m) {
					return
				}
			}
		}
	}
}

// subscriber follows channels, now fast and now slowly, and comes back.
type subscriber struct {
	client
	mu     sync.Mutex
	asked  time.Duration // when this connection was subscribed
	at     map[string]*history.Position
	answer map[string]bool
	left   map[string]int // times that it unsubscribed: who begins anew is another in the history
}

func (s *subscriber) run() {
	for s.wait(300 * time.Millisecond) {
		l := s.w.machine(s.rng).connect(s.name, 100+s.rng.IntN(3000))
		if l == nil {
			continue
		}
		s.subscribe(l)
		pace := s.pace()
		life := time.Now().Add(time.Duration(200+s.rng.IntN(4000)) * time.Millisecond)
		s.converse(l, pace, func() bool { return s.w.calm.Load() && pace == 0 || time.Now().Before(life) }, s.see)
		s.away()
	}
}

func (s *subscriber) subscribe(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.answer)
	s.asked = s.w.rec.Now()
	var list []any
	for _, name := range s.w.channels {
		item := map[string]any{"channel": name}
		if p := s.at[name]; p != nil {
			item["since"] = *p
		}
		list = append(list, item)
	}
	text, _ := json.Marshal(map[string]any{"type": "subscribe", "id": 1, "channels": list})
	l.write(text)
}

// who it is in the history of a channel.
func (s *subscriber) who(name string) string {
	if n := s.left[name]; n > 0 {
		return fmt.Sprint(s.name, "/", n)
	}
	return s.name
}

// leave takes note that it follows a channel no longer. s.mu is held.
func (s *subscriber) leave(name string) {
	s.w.rec.Add(history.Event{Kind: history.SubEnd, Client: s.who(name), Channel: name})
	delete(s.at, name)
	delete(s.answer, name)
	s.left[name]++
}

func (s *subscriber) away() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.w.channels {
		if s.answer[name] && s.w.ctx.Err() == nil {
			s.w.rec.Add(history.Event{Kind: history.Away, Client: s.name, Channel: name})
		}
	}
	clear(s.answer)
}

func (s *subscriber) see(m *message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.at[m.Channel]
	switch m.Type {
	case "subscribed":
		var d struct {
			Recovered bool
			Reason    string
			Head      uint64
		}
		_ = json.Unmarshal(m.Data, &d)
		s.begin(m, d.Recovered, d.Reason, d.Head)
	case "gap":
		var d struct {
			From, To uint64
			Reason   string
		}
		_ = json.Unmarshal(m.Data, &d)
		if d.Reason == "epoch" { // as if it had come back
			s.begin(m, false, d.Reason, 0)
			break
		}
		s.w.rec.Add(history.Event{Kind: history.Gap, Client: s.who(m.Channel), Channel: m.Channel, Epoch: p.Epoch, From: d.From, To: d.To, Reason: d.Reason})
		p.Offset = max(p.Offset, d.To)
	case "m":
		var id string
		_ = json.Unmarshal(m.Data, &id)
		s.w.rec.Add(history.Event{Kind: history.Recv, Client: s.who(m.Channel), Channel: m.Channel, Epoch: p.Epoch, Offset: m.Offset, Prev: m.prev(), ID: id})
		p.Offset = m.Offset
	case "unsubscribed":
		if len(m.ID) == 0 {
			return false
		}
		s.leave(m.Channel)
	case "error":
		return false
	}
	return true
}

func (s *subscriber) begin(m *message, recovered bool, reason string, head uint64) {
	e := history.Event{Kind: history.SubOK, Client: s.who(m.Channel), Channel: m.Channel, Epoch: m.Epoch, Offset: m.Offset, Head: max(head, m.Offset), Reason: reason, Recovered: recovered, Asked: s.asked}
	if p := s.at[m.Channel]; p != nil {
		e.Since = &history.Position{Epoch: p.Epoch, Offset: p.Offset}
	}
	s.w.rec.Add(e)
	s.at[m.Channel] = &history.Position{Epoch: m.Epoch, Offset: m.Offset}
	s.answer[m.Channel] = true
}

// lacks reports whether the subscriber was answered and has not come to p.
func (s *subscriber) lacks(name string, p history.Position) bool {
	s.mu.Lock()
	answered := s.answer[name]
	s.mu.Unlock()
	return answered && !s.has(name, p)
}

func (s *subscriber) has(name string, p history.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at[name]
	return at != nil && s.answer[name] && at.Epoch == p.Epoch && at.Offset >= p.Offset
}

// publisher publishes one message after the other, and again what it got no
// answer for.
type publisher struct {
	client
	made, asked int
	now         *publication
}

type publication struct {
	channel, id, key string
	number           int
	waits            bool
}

func (p *publisher) run() {
	for p.wait(100*time.Millisecond) && !p.done() {
		l := p.w.machine(p.rng).connect(p.name, 1<<20)
		if l == nil {
			continue
		}
		life := time.Now().Add(time.Duration(500+p.rng.IntN(3000)) * time.Millisecond)
		p.converse(l, 0, func() bool {
			p.next(l)
			return !p.done() && (p.now != nil && p.now.waits || time.Now().Before(life))
		}, p.see)
		if p.now != nil && p.now.waits {
			p.unanswered("")
		}
	}
}

// done: nothing new is to be published, and all has its answer.
func (p *publisher) done() bool { return p.w.calm.Load() && p.now == nil }

func (p *publisher) next(l *link) {
	if p.now != nil && p.now.waits || p.now == nil && p.w.calm.Load() {
		return
	}
	if p.now == nil {
		p.made++
		p.now = &publication{channel: p.w.channels[p.rng.IntN(len(p.w.channels))], id: fmt.Sprintf("%s-%d", p.name, p.made)}
		if p.rng.IntN(4) > 0 {
			p.now.key = p.now.id
		}
	}
	p.asked++
	p.now.number, p.now.waits = p.asked, true
	p.tell(history.Event{Kind: history.PubInvoke})
	m := map[string]any{"type": "m", "channel": p.now.channel, "id": p.asked, "data": p.now.id}
	if p.now.key != "" {
		m["dedupe"] = p.now.key
	}
	text, _ := json.Marshal(m)
	l.write(text)
}

func (p *publisher) tell(e history.Event) {
	e.Client, e.Channel, e.ID, e.Key = p.name, p.now.channel, p.now.id, p.now.key
	p.w.rec.Add(e)
}

// unanswered goes on with the next message, or tries again where that is safe.
func (p *publisher) unanswered(reason string) {
	p.tell(history.Event{Kind: history.PubUnknown, Reason: reason})
	if p.now.waits = false; p.now.key == "" {
		p.now = nil
	}
}

func (p *publisher) see(m *message) bool {
	number, _ := strconv.Atoi(string(m.ID))
	if p.now == nil || !p.now.waits || number != p.now.number {
		return true
	}
	switch m.Type {
	case "ack":
		p.tell(history.Event{Kind: history.PubOK, Epoch: m.Epoch, Offset: m.Offset})
		p.now = nil
	case "error":
		p.unanswered(string(m.Data))
	}
	return true
}

// world is one run.
type world struct {
	t        reporter
	rec      *history.Recorder
	f        *fabric
	channels []string
	calm     swich // publish nothing new, be fast, stay connected
	ctx      context.Context

	mu       sync.Mutex
	machines []*machine
}

func (w *world) machine(rng *rand.Rand) *machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.machines[rng.IntN(len(w.machines))]
}

// idOf returns the ID that a publisher put into an entry.
func idOf(e *channel.Entry) (id string) {
	var m message
	_ = json.Unmarshal(e.JSON(), &m)
	_ = json.Unmarshal(m.Data, &id)
	return id
}
