package history

import (
	"encoding/json"
	"fmt"
	"maps"
)

// View is what a client knows of a state channel when it keeps to the three
// rules of docs/state.md. Take gives it one message after the other; it is not
// safe for concurrent use.
type View struct {
	Position
	Whole   bool // the snapshot has come to its end: Values and Position count
	Values  map[string]Value
	Resumed int // times that it went on where it was
	Anew    int // times that it had to begin anew

	partial map[string]Value // of a snapshot under way
}

// Value is the latest value of a key, and which message told it.
type Value struct {
	Offset uint64
	Data   string
}

// Take applies a message of the channel and returns its type. It fails if the
// server may not send it now.
func (v *View) Take(p []byte) (string, error) {
	var m struct {
		Type, Epoch, Key string
		Offset           uint64
		Data             json.RawMessage
	}
	if err := json.Unmarshal(p, &m); err != nil {
		return "", fmt.Errorf("%q: %w", p, err)
	}
	switch m.Type {
	case "subscribed":
		var d struct{ Recovered bool }
		_ = json.Unmarshal(m.Data, &d)
		v.Epoch, v.Offset = m.Epoch, m.Offset
		if d.Recovered {
			v.Resumed++
			break
		}
		v.begin()
	case "gap":
		var d struct {
			To     uint64
			Reason string
		}
		_ = json.Unmarshal(m.Data, &d)
		if v.Offset = d.To; d.Reason == "epoch" {
			v.Epoch, v.Offset = m.Epoch, m.Offset
		}
		v.begin()
	case "state":
		return m.Type, v.snapshot(m.Data)
	case "m":
		return m.Type, v.apply(m.Key, Value{m.Offset, string(m.Data)})
	}
	return m.Type, nil
}

func (v *View) begin() {
	v.Anew++
	v.Whole, v.partial = false, map[string]Value{}
}

func (v *View) snapshot(data []byte) error {
	var d struct {
		Items []struct {
			Key    string
			Offset uint64
			Data   json.RawMessage
		}
		More bool
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return fmt.Errorf("state %s: %w", data, err)
	}
	if v.partial == nil {
		return fmt.Errorf("state %s, and nothing said that it would come", data)
	}
	for _, i := range d.Items {
		if _, twice := v.partial[i.Key]; twice {
			return fmt.Errorf("a snapshot has %s twice", i.Key)
		}
		v.partial[i.Key] = Value{i.Offset, string(i.Data)}
	}
	if !d.More {
		v.Values, v.partial, v.Whole = v.partial, nil, true
	}
	return nil
}

func (v *View) apply(key string, value Value) error {
	if !v.Whole {
		return fmt.Errorf("%s was told at %d in the middle of a snapshot", key, value.Offset)
	}
	if value.Offset <= v.Offset {
		return fmt.Errorf("%s was told at %d to who stands at %d already", key, value.Offset, v.Offset)
	}
	v.Offset = value.Offset
	if value.Data == "null" {
		delete(v.Values, key)
	} else {
		v.Values[key] = value
	}
	return nil
}

// Clone returns what the client may count on, nil if it waits for a snapshot.
func (v *View) Clone() map[string]Value {
	if !v.Whole {
		return nil
	}
	return maps.Clone(v.Values)
}
