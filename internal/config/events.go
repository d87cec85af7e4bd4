package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/schema"
	"ringdown/protocol"
)

// events reads what a channel carries; nil if it does not say.
func (f fields) events() map[string]*channel.Event {
	_, n := f.get("events")
	switch {
	case n == nil:
		return nil
	case n.kind == list:
		f.fail(n.place, "write them as in events: {order-created: {}}", "events is a mapping of names, not a list")
		return nil
	case n.kind != mapping:
		f.fail(n.place, "write them as in events: {order-created: {}}, or remove events to accept any", "events is a mapping of names, not %s", n.kind)
		return nil
	case len(n.pairs) == 0:
		f.fail(n.place, "name the events, or remove events to accept any", "events is empty, so no message could ever be published")
		return nil
	}
	out := make(map[string]*channel.Event, len(n.pairs))
	f.eachNamed(n, eventKeys, "an event", func(name string, e fields) { out[name] = e.event(name) })
	return out
}

// typingSchema is what clients say who type, and who do not any more.
const typingSchema = `{"type":"object","required":["active"],"properties":{"active":{"type":"boolean"}},"additionalProperties":false}`

// typing declares the event by which clients say that they type.
func (f fields) typing(d *channel.Declaration) {
	_, n := f.get("typing")
	if n == nil || !f.boolean("typing") {
		return
	}
	switch {
	case d.Events == nil:
		f.fail(n.place, "declare the other events: without events every event is accepted, and kept where the channel keeps messages", "typing is an event, and this channel declares none")
		return
	case d.Events["typing"] != nil:
		f.fail(n.place, "remove one of them", "the event typing is declared twice: by events and by typing")
		return
	}
	v, err := schema.Compile(f.absolute("typing"), []byte(typingSchema), f.loadSchema)
	if err != nil {
		f.fail(n.place, "", "%v", err) // it does compile
		return
	}
	d.Events["typing"] = &channel.Event{Name: "typing", About: "Somebody types, or does not any more; said again every 3 s, and over 5 s after the last", Ephemeral: true,
		Schema: v, SchemaJSON: []byte(typingSchema), SchemaSteps: f.conf.Limits.Session.SchemaSteps}
}

// calls reads what clients may ask the application; nil if the file does not say.
func (f fields) calls() map[string]*channel.Call {
	_, n := f.get("calls")
	switch {
	case n == nil:
		return nil
	case n.kind != mapping:
		f.fail(n.place, "write them as in calls: {price: {}}, or remove calls to let clients make any", "calls is a mapping of names, not %s", n.kind)
		return nil
	}
	out := make(map[string]*channel.Call, len(n.pairs))
	f.eachNamed(n, callKeys, "a call", func(name string, c fields) {
		call := &channel.Call{Name: name, About: c.text("about")}
		call.Data, call.DataJSON, call.DataSteps = c.schema("schema")
		call.Result, call.ResultJSON, call.ResultSteps = c.schema("result")
		out[name] = call
	})
	return out
}

// eachNamed calls read for every entry of a mapping whose keys are names of events.
func (f fields) eachNamed(n *node, keys *object, what string, read func(name string, of fields)) {
	for _, p := range n.pairs {
		name := p.key.text
		if err := protocol.ValidType(name); err != nil {
			f.fail(p.key.place, "take a name as in order-created", "%q cannot be the name of %s: %s", clip(name), what, strings.TrimPrefix(plain(err), "type "))
			continue
		}
		if err := protocol.ValidEvent(name); err != nil {
			f.fail(p.key.place, "take another name", "%s", plain(err))
			continue
		}
		if of, ok := f.loader.fields(p.value, keys); ok {
			read(name, of)
		}
	}
}

func (f fields) event(name string) *channel.Event {
	e := &channel.Event{Name: name, About: f.text("about"), Ephemeral: f.boolean("ephemeral")}
	e.Schema, e.SchemaJSON, e.SchemaSteps = f.schema("schema")
	return e
}

// schema reads and compiles the schema of a key; nil if there is none, or a bad one.
func (f fields) schema(name string) (v channel.Validator, src []byte, steps int) {
	_, n := f.get(name)
	if n == nil {
		return nil, nil, 0
	}
	src, at, ok := f.schemaSource(n)
	if !ok {
		return nil, nil, 0
	}
	compiled, err := schema.Compile(at, src, f.loadSchema)
	if err != nil {
		f.badSchema(n, at, err)
		return nil, nil, 0
	}
	return compiled, src, f.conf.Limits.Session.SchemaSteps
}

// schemaSource returns a schema as JSON, and the path that its references are
// relative to: of its file, or of a made-up one beside the configuration.
func (f fields) schemaSource(n *node) (src []byte, at string, ok bool) {
	switch n.kind {
	case mapping, boolean:
		src, err := appendJSON(nil, n)
		if err != nil {
			f.fail(err.place, "", "%s", err.what)
			return nil, "", false
		}
		return src, f.absolute("schema"), true
	case text:
		src, err := f.readFile(n.text)
		if err != nil {
			f.fail(n.place, "paths are relative to the directory of this file", "the schema %s: %s", clip(n.text), fileProblem(err))
			return nil, "", false
		}
		return src, f.absolute(n.text), true
	}
	f.fail(n.place, "write the schema itself, as in {type: object}, or the path of its file", "schema is a JSON Schema, not %s", n.kind)
	return nil, "", false
}

func (l *loader) absolute(name string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join(l.dir, name)
	}
	return filepath.ToSlash(name)
}

// loadSchema reads what a schema refers to.
func (l *loader) loadSchema(path string) ([]byte, error) {
	return l.readFile(filepath.FromSlash(path))
}

// badSchema reports a schema that does not compile, at the line inside of it if
// it stands in this file.
func (f fields) badSchema(n *node, at string, err error) {
	var bad *schema.Error
	if !errors.As(err, &bad) {
		f.fail(n.place, "", "%v", err)
		return
	}
	// Paths are told as they are written, relative to this file.
	here := filepath.ToSlash(f.dir) + "/"
	what := strings.ReplaceAll(bad.What, here, "")
	switch {
	case bad.File != "":
		f.fail(n.place, bad.Remedy, "%s#%s: %s", strings.TrimPrefix(bad.File, here), bad.Pointer, what)
	case n.kind == text:
		f.fail(n.place, bad.Remedy, "%s%s: %s", strings.TrimPrefix(at, here), strings.TrimSuffix("#"+bad.Pointer, "#"), what)
	default:
		f.fail(n.follow(bad.Pointer).place, bad.Remedy, "%s", what)
	}
}

// follow walks a JSON pointer as far as it leads.
func (n *node) follow(pointer string) *node {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		next := n.child(unescape.Replace(token))
		if i, err := strconv.Atoi(token); err == nil && n.kind == list && i >= 0 && i < len(n.items) {
			next = n.items[i]
		}
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// located is an error at a place of the file.
type located struct {
	place
	what string
}

// appendJSON writes a value as JSON. Aliases are written out each time, so the
// size is bounded.
func appendJSON(dst []byte, n *node) ([]byte, *located) {
	if len(dst) > schema.MaxSource {
		return nil, &located{n.place, fmt.Sprintf("the schema has more than %d bytes once its aliases are written out", schema.MaxSource)}
	}
	var err *located
	switch n.kind {
	case null:
		return append(dst, "null"...), nil
	case boolean:
		return append(dst, strings.ToLower(n.text)...), nil
	case number:
		literal, ok := jsonNumber(n.text)
		if !ok {
			return nil, &located{n.place, fmt.Sprintf("%s is not a number of JSON", clip(n.text))}
		}
		return append(dst, literal...), nil
	case text:
		return protocol.AppendString(dst, n.text), nil
	case list:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendJSON(dst, item); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	dst = append(dst, '{')
	for i, p := range n.pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(protocol.AppendString(dst, p.key.text), ':')
		if dst, err = appendJSON(dst, p.value); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// jsonNumber writes a number of YAML as JSON does.
func jsonNumber(s string) (string, bool) {
	if protocol.ValidJSON([]byte(s)) == nil {
		return s, true
	}
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return strconv.FormatInt(i, 10), true
	}
	bare := strings.TrimPrefix(strings.ReplaceAll(s, "_", ""), "+")
	if x, err := strconv.ParseFloat(bare, 64); err == nil && x-x == 0 { // neither infinite nor NaN
		return strconv.FormatFloat(x, 'g', -1, 64), true
	}
	return "", false
}
