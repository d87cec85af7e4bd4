package ringdown

import (
	"encoding/json"
	"fmt"
	"time"
)

// Channel declares a channel, or all whose names a pattern matches, as an item of
// channels does in the configuration file: docs/configuration.md says what the
// fields are for. What is zero is as if it were left out there.
type Channel struct {
	Name     string // such as orders, or chat:{room}
	About    string
	History  *ChannelHistory // nil: nothing is kept
	State    *ChannelState   // nil: it has no keys
	Presence bool
	ShowFrom bool
	Typing   bool // clients say that they type, by the ephemeral event typing
	Resume   time.Duration
	Buffer   ChannelBuffer
	Events   map[string]ChannelEvent // nil: any
	Allow    ChannelRules
}

// ChannelHistory says how many messages a channel keeps: at least one of Messages and
// Bytes is needed.
type ChannelHistory struct {
	Messages int
	Bytes    int64
	For      time.Duration
}

// ChannelState makes a channel keep the latest message of each key.
type ChannelState struct {
	For time.Duration // a key that nobody wrote to for so long is dropped; 0: none is
}

// ChannelBuffer bounds what is held in memory for slow readers.
type ChannelBuffer struct {
	Messages, Bytes int
}

// ChannelEvent is one kind of message of a channel.
type ChannelEvent struct {
	About     string
	Schema    json.RawMessage // a JSON Schema, or the path of one as a JSON text; nil: any data
	Ephemeral bool
}

// ChannelRules are the rules of a channel: anyone, signed_in, none, or an expression; see
// docs/rules.md. An empty one is none, and for History what Subscribe is.
type ChannelRules struct {
	Subscribe, Publish, Presence, History string
}

// object is a mapping of the configuration file.
type object map[string]any

// set has the value in it, unless it is zero.
func set[T comparable](o object, name string, value T) {
	var zero T
	if value != zero {
		o[name] = value
	}
}

func (o object) lasts(name string, d time.Duration) {
	if d != 0 {
		o[name] = d.String()
	}
}

// item writes the declaration as it would stand in the configuration file, which
// reads and judges it.
func (c *Channel) item() ([]byte, error) {
	o := object{}
	set(o, "name", c.Name)
	set(o, "about", c.About)
	set(o, "presence", c.Presence)
	set(o, "show_from", c.ShowFrom)
	set(o, "typing", c.Typing)
	o.lasts("resume", c.Resume)
	if h := c.History; h != nil {
		history := object{}
		set(history, "messages", h.Messages)
		set(history, "bytes", h.Bytes)
		history.lasts("for", h.For)
		o["history"] = history
	}
	if c.State != nil {
		state := object{}
		state.lasts("for", c.State.For)
		o["state"] = state
	}
	if c.Buffer != (ChannelBuffer{}) {
		buffer := object{}
		set(buffer, "messages", c.Buffer.Messages)
		set(buffer, "bytes", c.Buffer.Bytes)
		o["buffer"] = buffer
	}
	if c.Events != nil {
		events := object{}
		for name, e := range c.Events {
			event := object{}
			set(event, "about", e.About)
			set(event, "ephemeral", e.Ephemeral)
			if e.Schema != nil {
				event["schema"] = e.Schema
			}
			events[name] = event
		}
		o["events"] = events
	}
	if c.Allow != (ChannelRules{}) {
		allow := object{}
		set(allow, "subscribe", c.Allow.Subscribe)
		set(allow, "publish", c.Allow.Publish)
		set(allow, "presence", c.Allow.Presence)
		set(allow, "history", c.Allow.History)
		o["allow"] = allow
	}
	return json.Marshal(o)
}

// items writes all declarations.
func items(list []Channel) ([][]byte, error) {
	var all [][]byte
	for i := range list {
		text, err := list[i].item()
		if err != nil {
			return nil, fmt.Errorf("ringdown: Options.Channels[%d], %q: %w", i, list[i].Name, err)
		}
		all = append(all, text)
	}
	return all, nil
}
