package faults

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"ringdown/test/history"
)

// subscriber follows channels for as long as a run lasts, and comes back where
// it was whenever its connection is lost.
type subscriber struct {
	name     string
	by       string // ws, sse or poll
	rec      *history.Recorder
	address  func() string
	channels []string

	cursor string // of streams

	mu     sync.Mutex
	asked  time.Duration // when this connection began
	at     map[string]*history.Position
	answer map[string]bool // followed on this connection
}

func (s *subscriber) who() string { return s.name }

// run returns when ctx ends.
func (s *subscriber) run(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		s.asked = s.rec.Now()
		s.mu.Unlock()
		switch s.by {
		case "sse":
			s.stream(ctx)
		case "poll":
			s.poll(ctx)
		default:
			s.connect(ctx)
		}
		if !pause(ctx, 100*time.Millisecond) {
			return
		}
	}
}

func (s *subscriber) connect(ctx context.Context) {
	c, err := dial(ctx, s.address(), s.name)
	if err != nil {
		return
	}
	defer c.close()
	s.mu.Lock()
	clear(s.answer)
	var list []any
	for _, name := range s.channels {
		item := map[string]any{"channel": name}
		if p := s.at[name]; p != nil {
			item["since"] = *p
		}
		list = append(list, item)
	}
	s.mu.Unlock()
	if c.write(map[string]any{"type": "subscribe", "id": 1, "channels": list}) != nil {
		return
	}
	defer s.away(ctx)
	for {
		m, err := c.read()
		if err != nil {
			return
		}
		if m.Type == "reconnect" {
			var d struct{ Within int }
			_ = json.Unmarshal(m.Data, &d)
			go func() {
				if pause(c.ended, time.Duration(d.Within+1)*time.Millisecond) {
					c.close()
				}
			}()
		}
		if !s.take(&m) {
			return
		}
	}
}

// away records that the connection was lost, unless the run is over.
func (s *subscriber) away(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.channels {
		if s.answer[name] {
			s.rec.Add(history.Event{Kind: history.Away, Client: s.name, Channel: name})
		}
	}
	clear(s.answer)
}

// take takes one message, and reports whether the connection is to be kept.
func (s *subscriber) take(m *message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.Type {
	case "subscribed":
		s.subscribed(m)
	case "gap":
		var d struct {
			From, To uint64
			Reason   string
		}
		_ = json.Unmarshal(m.Data, &d)
		if d.Reason == "epoch" { // the same as if it had come back and been told so
			s.subscribed(m)
			break
		}
		p := s.at[m.Channel]
		s.rec.Add(history.Event{Kind: history.Gap, Client: s.name, Channel: m.Channel, Epoch: p.Epoch, From: d.From, To: d.To, Reason: d.Reason})
		p.Offset = max(p.Offset, d.To)
	case "m":
		var d struct{ ID string }
		_ = json.Unmarshal(m.Data, &d)
		p := s.at[m.Channel]
		s.rec.Add(history.Event{Kind: history.Recv, Client: s.name, Channel: m.Channel, Epoch: p.Epoch, Offset: m.Offset, Prev: m.prev(), ID: d.ID})
		p.Offset = m.Offset
	case "error", "unsubscribed":
		return false // come back and ask again
	}
	return true
}

func (s *subscriber) subscribed(m *message) {
	e := history.Event{Kind: history.SubOK, Client: s.name, Channel: m.Channel, Epoch: m.Epoch, Offset: m.Offset, Head: m.Offset, Asked: s.asked}
	if p := s.at[m.Channel]; p != nil {
		var d struct {
			Recovered bool
			Reason    string
			Head      uint64
		}
		_ = json.Unmarshal(m.Data, &d)
		e.Since = &history.Position{Epoch: p.Epoch, Offset: p.Offset}
		e.Recovered, e.Reason, e.Head = d.Recovered, d.Reason, max(d.Head, m.Offset)
	}
	s.rec.Add(e)
	s.at[m.Channel] = &history.Position{Epoch: m.Epoch, Offset: m.Offset}
	s.answer[m.Channel] = true
}

// follows reports whether the subscriber follows all of its channels, as far as
// it knows.
func (s *subscriber) follows() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answer) == len(s.channels)
}

// has reports whether the subscriber stands at p, or further, in a channel.
func (s *subscriber) has(name string, p history.Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at[name]
	return at != nil && s.answer[name] && at.Epoch == p.Epoch && at.Offset >= p.Offset
}
