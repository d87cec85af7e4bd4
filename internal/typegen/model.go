package typegen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"ringdown/internal/channel"
)

// kind is what a value is, as far as the three languages can say it.
type kind uint8

const (
	anything kind = iota
	aString
	aNumber
	anInteger
	aBool
	aNull
	literals // one of values
	listOf   // of items
	tuple    // of items, in their order
	record   // of fields
	mapOf    // any names, each with items[0]
	union    // one of items
)

// shape is a type.
type shape struct {
	kind   kind
	about  string
	values []json.RawMessage // of literals
	items  []*shape
	fields []field
}

type field struct {
	name     string
	of       *shape
	required bool
}

// api is what is written.
type api struct {
	channels []channelType
	calls    []callType
}

type channelType struct {
	name, about string
	params      []string // in the order of the name
	events      []eventType
	open        bool   // it declares no events
	state       *shape // of a state channel, what a key has
	presence    bool
}

type eventType struct {
	name, about string
	data        *shape
}

type callType struct {
	name, about  string
	data, result *shape
}

// mostDepth bounds references that lead round and round.
const mostDepth = 32

func read(list []*channel.Declaration, calls map[string]*channel.Call) (*api, error) {
	out := &api{}
	for _, d := range list {
		c := channelType{name: d.Name, about: d.About, params: params(d.Name), presence: d.Presence, open: d.Events == nil}
		if d.Name == channel.CatchAll {
			c.name, c.params = "{name}", []string{"name"}
		}
		for _, name := range slices.Sorted(maps.Keys(d.Events)) {
			e := d.Events[name]
			data, err := shapeOf(e.SchemaJSON)
			if err != nil {
				return nil, fmt.Errorf("the schema of %s on %s: %w", name, d.Name, err)
			}
			c.events = append(c.events, eventType{name, e.About, data})
		}
		if d.State != nil {
			c.state = &shape{kind: union}
			for _, e := range c.events {
				c.state.items = append(c.state.items, e.data)
			}
			if len(c.state.items) == 0 {
				c.state = &shape{}
			}
		}
		out.channels = append(out.channels, c)
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		c := calls[name]
		data, err := shapeOf(c.DataJSON)
		if err != nil {
			return nil, fmt.Errorf("the schema of the call %s: %w", name, err)
		}
		result, err := shapeOf(c.ResultJSON)
		if err != nil {
			return nil, fmt.Errorf("the result of the call %s: %w", name, err)
		}
		out.calls = append(out.calls, callType{name, c.About, data, result})
	}
	return out, nil
}

// params are the names in a pattern, in their order.
func params(name string) (list []string) {
	for {
		_, rest, ok := strings.Cut(name, "{")
		if !ok {
			return list
		}
		param, after, ok := strings.Cut(rest, "}")
		if !ok {
			return list
		}
		list, name = append(list, param), after
	}
}

// schema is a JSON Schema with its properties in the order in which they were written.
type schema struct {
	root any // for references
	at   any // what is looked at
}

// ordered is a JSON object with its order.
type ordered struct {
	keys   []string
	values map[string]any
}

func shapeOf(src json.RawMessage) (*shape, error) {
	if src == nil {
		return &shape{}, nil
	}
	root, err := decode(json.NewDecoder(bytes.NewReader(src)))
	if err != nil {
		return nil, err
	}
	return schema{root, root}.shape(0), nil
}

func decode(d *json.Decoder) (any, error) {
	d.UseNumber()
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := &ordered{values: map[string]any{}}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := decode(d)
			if err != nil {
				return nil, err
			}
			o.keys = append(o.keys, name.(string))
			o.values[name.(string)] = value
		}
		_, err = d.Token()
		return o, noEnd(err)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := decode(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, noEnd(err)
	}
	return t, nil
}

func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s schema) of(at any) schema { return schema{s.root, at} }

func (s schema) shape(depth int) *shape {
	o, ok := s.at.(*ordered)
	if !ok || depth > mostDepth { // true, false, or round and round
		return &shape{}
	}
	about, _ := o.values["description"].(string)
	out := s.bare(o, depth)
	if about != "" {
		described := *out
		described.about = about
		return &described
	}
	return out
}

func (s schema) bare(o *ordered, depth int) *shape {
	if ref, ok := o.values["$ref"].(string); ok {
		if to, ok := s.resolve(ref); ok {
			return s.of(to).shape(depth + 1)
		}
		return &shape{} // in another file: it is looked into when messages are judged
	}
	if v, ok := o.values["const"]; ok {
		return literal([]any{v})
	}
	if list, ok := o.values["enum"].([]any); ok {
		return literal(list)
	}
	for _, word := range []string{"oneOf", "anyOf"} {
		if list, ok := o.values[word].([]any); ok {
			out := &shape{kind: union}
			for _, item := range list {
				out.items = append(out.items, s.of(item).shape(depth+1))
			}
			return out
		}
	}
	switch typ := o.values["type"].(type) {
	case string:
		return s.typed(o, typ, depth)
	case []any:
		out := &shape{kind: union}
		for _, t := range typ {
			if name, ok := t.(string); ok {
				out.items = append(out.items, s.typed(o, name, depth))
			}
		}
		return out
	}
	if _, ok := o.values["properties"]; ok {
		return s.typed(o, "object", depth)
	}
	return &shape{}
}

func (s schema) typed(o *ordered, typ string, depth int) *shape {
	switch typ {
	case "string":
		return &shape{kind: aString}
	case "number":
		return &shape{kind: aNumber}
	case "integer":
		return &shape{kind: anInteger}
	case "boolean":
		return &shape{kind: aBool}
	case "null":
		return &shape{kind: aNull}
	case "array":
		return s.array(o, depth)
	case "object":
		return s.object(o, depth)
	}
	return &shape{}
}

func (s schema) array(o *ordered, depth int) *shape {
	if prefix, ok := o.values["prefixItems"].([]any); ok && len(prefix) > 0 {
		out := &shape{kind: tuple}
		for _, item := range prefix {
			out.items = append(out.items, s.of(item).shape(depth+1))
		}
		return out
	}
	of := &shape{}
	if items, ok := o.values["items"]; ok {
		of = s.of(items).shape(depth + 1)
	}
	// So many of one kind are a tuple, as the two numbers of a place are.
	least, most := whole(o.values["minItems"]), whole(o.values["maxItems"])
	if least > 0 && least == most && least <= 8 {
		return &shape{kind: tuple, items: slices.Repeat([]*shape{of}, least)}
	}
	return &shape{kind: listOf, items: []*shape{of}}
}

func whole(v any) int {
	n, ok := v.(json.Number)
	if !ok {
		return 0
	}
	i, err := n.Int64()
	if err != nil || i < 0 || i > 1<<20 {
		return 0
	}
	return int(i)
}

func (s schema) object(o *ordered, depth int) *shape {
	props, _ := o.values["properties"].(*ordered)
	if props == nil || len(props.keys) == 0 {
		out := &shape{kind: mapOf, items: []*shape{{}}}
		if more, ok := o.values["additionalProperties"].(*ordered); ok {
			out.items[0] = s.of(more).shape(depth + 1)
		}
		return out
	}
	required := map[string]bool{}
	if list, ok := o.values["required"].([]any); ok {
		for _, name := range list {
			if name, ok := name.(string); ok {
				required[name] = true
			}
		}
	}
	out := &shape{kind: record}
	for _, name := range props.keys {
		out.fields = append(out.fields, field{name, s.of(props.values[name]).shape(depth + 1), required[name]})
	}
	return out
}

func literal(values []any) *shape {
	out := &shape{kind: literals}
	for _, v := range values {
		switch v.(type) {
		case string, json.Number, bool, nil:
			text, err := json.Marshal(v)
			if err != nil {
				return &shape{}
			}
			out.values = append(out.values, text)
		default:
			return &shape{} // a list or an object
		}
	}
	if len(out.values) == 0 {
		return &shape{}
	}
	return out
}

// resolve follows a reference within the schema.
func (s schema) resolve(ref string) (any, bool) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, false
	}
	at := s.root
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		o, ok := at.(*ordered)
		if !ok {
			return nil, false
		}
		if at, ok = o.values[unescape.Replace(token)]; !ok {
			return nil, false
		}
	}
	return at, true
}

// same reports whether two shapes are one type.
func same(a, b *shape) bool {
	if a.kind != b.kind || len(a.items) != len(b.items) || len(a.fields) != len(b.fields) || len(a.values) != len(b.values) {
		return false
	}
	for i := range a.items {
		if !same(a.items[i], b.items[i]) {
			return false
		}
	}
	for i := range a.fields {
		if a.fields[i].name != b.fields[i].name || a.fields[i].required != b.fields[i].required || !same(a.fields[i].of, b.fields[i].of) {
			return false
		}
	}
	for i := range a.values {
		if !bytes.Equal(a.values[i], b.values[i]) {
			return false
		}
	}
	return true
}
