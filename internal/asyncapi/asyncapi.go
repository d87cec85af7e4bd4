// Package asyncapi describes the declared channels as an AsyncAPI 3.0 document.
package asyncapi

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"ringdown/internal/channel"
)

// Info is the head of the document.
type Info struct {
	Title, Version, Description string
	// Host and Path are where the WebSocket is served; an empty Host leaves the
	// server out.
	Host, Path string
}

type object = map[string]any

// Document returns the document of a table and the declared calls. The same give the
// same bytes.
func Document(t *channel.Table, calls map[string]*channel.Call, info Info) ([]byte, error) {
	channels, operations, messages, schemas := object{}, object{}, object{}, object{}
	for _, d := range t.Declarations() {
		id := identifier(d.Name)
		ch := object{"address": d.Name}
		if d.About != "" {
			ch["description"] = d.About
		}
		if params := parameters(d.Name); len(params) > 0 {
			ch["parameters"] = params
		}
		refs := object{}
		for _, e := range events(d) {
			key := id + "." + e.Name
			messages[key] = message(d, e, key, schemas)
			refs[e.Name] = object{"$ref": "#/components/messages/" + key}
		}
		if d.Presence {
			key := id + ".presence"
			messages[key] = presence
			refs["presence"] = object{"$ref": "#/components/messages/" + key}
		}
		ch["messages"] = refs
		channels[id] = ch
		// From the client's side of the line, which is whose document this is:
		// it receives what it may subscribe to and sends what it may publish.
		add := func(op string, action string, rule channel.Rule) {
			if rule == channel.None {
				return
			}
			operations[op+"."+id] = object{
				"action": action, "channel": object{"$ref": "#/channels/" + id},
				"summary": op + ": " + who(rule),
			}
		}
		add("subscribe", "receive", d.Allow.Subscribe)
		add("publish", "send", d.Allow.Publish)
		if d.Presence {
			add("presence", "receive", d.Allow.Presence)
		}
	}
	addCalls(calls, channels, operations, messages, schemas)
	doc := object{
		"asyncapi":           "3.0.0",
		"info":               head(info),
		"defaultContentType": "application/json",
		"channels":           channels,
		"operations":         operations,
		"components": object{
			"messages": messages, "schemas": schemas,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
		},
	}
	if info.Host != "" {
		doc["servers"] = object{"websocket": object{
			"host": info.Host, "pathname": info.Path, "protocol": "ws",
			"security": []any{object{"$ref": "#/components/securitySchemes/token"}},
		}}
	}
	// Keys of maps are written in order, which makes the bytes the same each time.
	return json.MarshalIndent(doc, "", " ")
}

// addCalls describes the calls: requests without a channel, with a reply of the same id.
func addCalls(calls map[string]*channel.Call, channels, operations, messages, schemas object) {
	if len(calls) == 0 {
		return
	}
	const id = "_calls" // which identifier makes of no name
	refs := object{}
	for name, c := range calls {
		schemaOf := func(key string, src json.RawMessage) object {
			if src == nil {
				return object{}
			}
			schemas[key] = src
			return object{"$ref": "#/components/schemas/" + key}
		}
		ask, answer := "call."+name, "call."+name+".result"
		messages[ask] = object{"name": name, "contentType": "application/json", "summary": c.About, "payload": object{
			"type": "object", "required": []string{"type", "id"},
			"properties": object{"type": object{"const": name}, "id": idSchema, "data": schemaOf(ask, c.DataJSON)},
		}}
		messages[answer] = object{"name": "ack", "contentType": "application/json", "payload": object{
			"type": "object", "required": []string{"type", "id"},
			"properties": object{"type": object{"const": "ack"}, "id": idSchema, "data": schemaOf(answer, c.ResultJSON)},
		}}
		refs[name], refs[name+".result"] = object{"$ref": "#/components/messages/" + ask}, object{"$ref": "#/components/messages/" + answer}
		operations[ask] = object{
			"action": "send", "channel": object{"$ref": "#/channels/" + id}, "summary": c.About,
			"messages": []any{object{"$ref": "#/channels/" + id + "/messages/" + name}},
			"reply": object{"channel": object{"$ref": "#/channels/" + id},
				"messages": []any{object{"$ref": "#/channels/" + id + "/messages/" + name + ".result"}}},
		}
	}
	channels[id] = object{"address": nil, "description": "Calls to the application: messages without a channel, answered by ack with the same id.", "messages": refs}
}

var idSchema = object{"type": []string{"string", "number"}}

// who says whom a rule lets: by its word, or only that it is a rule. What it asks
// is the operator's, and this document may be read by everybody.
func who(r channel.Rule) string {
	if channel.Word(r) {
		return r.String()
	}
	return "by a rule of this channel"
}

// presence is what subscribers are told who may see who is there.
var presence = object{
	"name": "presence", "contentType": "application/json",
	"summary": "Who is in the channel has changed; members is the list, asked for or after too many changes.",
	"payload": object{"type": "object", "required": []string{"type", "channel", "data"}, "properties": object{
		"type": object{"const": "presence"}, "channel": object{"type": "string"},
		"data": object{"type": "object", "required": []string{"action"}, "properties": object{
			"action":  object{"enum": []string{"enter", "update", "leave", "members"}},
			"member":  memberSchema,
			"members": object{"type": "array", "items": memberSchema},
			"total":   object{"type": "integer"},
			"more":    object{"type": "boolean"},
		}},
	}},
}

var memberSchema = object{"type": "object", "required": []string{"id"}, "properties": object{
	"id": object{"type": "string"}, "user": object{"type": "string"}, "data": object{}}}

func head(i Info) object {
	o := object{"title": i.Title, "version": i.Version}
	if i.Description != "" {
		o["description"] = i.Description
	}
	return o
}

var notIdentifier = regexp.MustCompile(`[^A-Za-z0-9_\-]+`)

// identifier makes a name that AsyncAPI takes as a key of a channel's.
func identifier(name string) string {
	if name == channel.CatchAll {
		return "any"
	}
	return strings.Trim(notIdentifier.ReplaceAllString(name, "_"), "_")
}

var parameter = regexp.MustCompile(`\{([a-z0-9_]+)\}`)

func parameters(name string) object {
	o := object{}
	for _, m := range parameter.FindAllStringSubmatch(name, -1) {
		o[m[1]] = object{"description": "One level of the name: any of its characters but ':'."}
	}
	return o
}

// events returns the declared events in order; a channel that declares none
// carries any.
func events(d *channel.Declaration) []*channel.Event {
	if d.Events == nil {
		return []*channel.Event{{Name: "any", About: "Any event: the channel declares none."}}
	}
	var list []*channel.Event
	for _, name := range slices.Sorted(maps.Keys(d.Events)) {
		list = append(list, d.Events[name])
	}
	return list
}

// message describes the whole message as it stands on the wire; the event's
// schema is that of its data.
func message(d *channel.Declaration, e *channel.Event, key string, schemas object) object {
	data := object{}
	if e.SchemaJSON != nil {
		schemas[key] = e.SchemaJSON
		data["$ref"] = "#/components/schemas/" + key
	}
	typ := object{"const": e.Name}
	if d.Events == nil {
		typ = object{"type": "string"}
	}
	props := object{"type": typ, "channel": object{"type": "string"}, "data": data, "time": object{"type": "integer"}}
	if d.Kept() && !e.Ephemeral {
		props["offset"] = object{"type": "integer"}
		props["prev"] = object{"type": "integer"}
	}
	if d.State != nil {
		props["key"] = object{"type": "string"}
	}
	if d.ShowFrom {
		props["from"] = object{"type": "string"}
	}
	m := object{"name": e.Name, "contentType": "application/json",
		"payload": object{"type": "object", "required": []string{"type", "channel"}, "properties": props}}
	if e.About != "" {
		m["summary"] = e.About
	}
	return m
}
