package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"ringdown/protocol"
)

// Message is an event of a channel.
type Message struct {
	Type    string
	Channel string
	Key     string // on a state channel: the entity that this is the latest value of
	From    string // who published it, on channels that show it
	Trace   string // W3C trace context
	Kept    bool   // it has an Offset
	Offset  uint64
	Time    time.Time       // when the server accepted it; zero if it did not say
	Data    json.RawMessage // or if Binary the bytes of the payload; the receiver's to keep
	Binary  bool
}

// Decode decodes the data into v.
func (m *Message) Decode(v any) error {
	if m.Binary {
		return fmt.Errorf("ringdown: %s on %s has bytes, not JSON", m.Type, m.Channel)
	}
	return json.Unmarshal(m.Data, v)
}

func messageOf(m *protocol.Message) *Message {
	out := &Message{Type: m.Type, Channel: m.Channel, Key: m.Key, From: m.From, Trace: m.Trace, Kept: m.Kept, Offset: m.Offset, Data: m.Data, Binary: m.Binary}
	if m.Time > 0 {
		out.Time = time.UnixMilli(m.Time)
	}
	return out
}

// Bytes is data that is no JSON, and goes over the wire as it is.
type Bytes []byte

// setData puts a value of the program's into a message: Bytes as they are, json.RawMessage
// as the JSON that it is, nil as no data, and all else as encoding/json has it.
func setData(m *protocol.Message, data any) error {
	switch d := data.(type) {
	case nil:
	case Bytes:
		m.Data, m.Binary = d, true
	default:
		text, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("ringdown: the data of %s: %w", m.Type, err)
		}
		m.Data = text
	}
	return nil
}

// Channel is a channel of a client.
type Channel struct {
	c    *Client
	name string
}

// Name returns its name.
func (ch *Channel) Name() string { return ch.name }

// PublishOption changes a publication.
type PublishOption func(*protocol.Message)

// Key says of which entity this is the latest value, on a state channel. Data nil with a
// key deletes it.
func Key(key string) PublishOption { return func(m *protocol.Message) { m.Key = key } }

// Dedupe makes it safe to publish again. The client draws one itself, so this is for what
// outlives the client.
func Dedupe(key string) PublishOption { return func(m *protocol.Message) { m.Dedupe = key } }

// Trace carries a W3C trace context on.
func Trace(parent string) PublishOption { return func(m *protocol.Message) { m.Trace = parent } }

func (ch *Channel) message(event string, data any, options []PublishOption) (*protocol.Message, error) {
	m := &protocol.Message{Type: event, Channel: ch.name}
	if err := setData(m, data); err != nil {
		return nil, err
	}
	for _, o := range options {
		o(m)
	}
	if m.Key != "" && m.Data == nil {
		m.Data = []byte("null")
	}
	return m, nil
}

// Publish publishes, and returns when the message is stored as durably as the channel
// promises. Over breaks it is kept and sent again, so that it is stored once. When ctx is
// over before it was sent it never will be; when it was sent the error is ErrUnknown.
func (ch *Channel) Publish(ctx context.Context, event string, data any, options ...PublishOption) (Ack, error) {
	m, err := ch.message(event, data, options)
	if err != nil {
		return Ack{}, err
	}
	c := ch.c
	c.conn.mu.Lock()
	c.need()
	if c.conn.state == Closed {
		c.conn.mu.Unlock()
		return Ack{}, ErrClosed
	}
	p, refused := c.outbox.add(m, c.settings.publishTimeout)
	c.conn.mu.Unlock()
	if refused != nil {
		return Ack{}, refused
	}
	return c.outbox.await(ctx, p)
}

// Send publishes without waiting: if the line is live it is sent and forgotten, otherwise
// the error is ErrUnavailable. It is for what is out of date at once.
func (ch *Channel) Send(event string, data any, options ...PublishOption) error {
	m, err := ch.message(event, data, options)
	if err != nil {
		return err
	}
	c := ch.c
	c.conn.mu.Lock()
	defer c.conn.mu.Unlock()
	c.need()
	if !c.conn.live() {
		return failed(protocol.CodeUnavailable, ch.name, "there is no line just now, and it was not to wait for one")
	}
	c.conn.send(m)
	return nil
}

// Page is a page of what a channel keeps, oldest first.
type Page struct {
	Messages []*Message
	More     bool // there are older ones
}

// Page returns the newest messages before an offset; 0 is all there are. Limit is from 1 to
// 1,000; 0 is 100. A page may have fewer.
func (ch *Channel) Page(ctx context.Context, before uint64, limit int) (*Page, error) {
	params := map[string]uint64{}
	if before > 0 {
		params["before"] = before
	}
	if limit > 0 {
		params["limit"] = uint64(limit)
	}
	data, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	answer, err := ch.c.ask(ctx, &protocol.Message{Type: protocol.TypeHistory, Channel: ch.name, Data: data}, ch.c.settings.requestTimeout, true)
	if err != nil {
		return nil, err
	}
	var text struct {
		Messages []json.RawMessage
		More     bool
	}
	if err := json.Unmarshal(answer.Data, &text); err != nil {
		return nil, err
	}
	p := &Page{More: text.More}
	for _, t := range text.Messages {
		m := new(protocol.Message)
		if err := protocol.DecodeJSON(t, m); err != nil {
			return nil, err
		}
		p.Messages = append(p.Messages, messageOf(m))
	}
	return p, nil
}

// History goes through what is kept, newest first, page by page as far as the loop goes. An
// error ends it.
func (ch *Channel) History(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for before := uint64(0); ; {
			p, err := ch.Page(ctx, before, 0)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := len(p.Messages) - 1; i >= 0; i-- {
				if before = p.Messages[i].Offset; !yield(p.Messages[i], nil) {
					return
				}
			}
			if !p.More || len(p.Messages) == 0 {
				return
			}
		}
	}
}

// Messages subscribes, and gives what comes for as long as the loop goes on. An error ends
// it: that of ctx, or why the subscription is not allowed.
func (ch *Channel) Messages(ctx context.Context, options ...SubscribeOption) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		s := ch.Subscribe(options...)
		defer s.Close()
		for {
			m, err := s.Next(ctx)
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}
