package typegen

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pythonWriter writes classes before what uses them.
type pythonWriter struct {
	classes bytes.Buffer
	names   unique
}

func python(a *api, first string) []byte {
	w := &pythonWriter{names: unique{}}
	var b bytes.Buffer
	for i := range a.channels {
		c := &a.channels[i]
		w.channel(&b, c)
	}
	for _, c := range a.calls {
		data, result := w.named(c.data, pascal(c.name, "data")), w.named(c.result, pascal(c.name, "result"))
		fmt.Fprintf(&b, "\n\nasync def %s(client: Client, data: %s) -> %s:\n", w.names.take(snake("call", c.name)), data, result)
		docstring(&b, c.about)
		fmt.Fprintf(&b, "    result: %s = await client.call(%s, data)\n    return result\n", result, text(c.name))
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n# ruff: noqa\nfrom __future__ import annotations\n\nimport sys\nfrom typing import Any, Literal\n\nfrom ringdown import Ack, Channel, Client, Message\n\nif sys.version_info >= (3, 11):\n    from typing import NotRequired, TypedDict\nelse:\n    from typing_extensions import NotRequired, TypedDict\n", first)
	out.Write(w.classes.Bytes())
	out.Write(b.Bytes())
	return out.Bytes()
}

// channel writes a class for a channel, with a method for each event.
func (w *pythonWriter) channel(b *bytes.Buffer, c *channelType) {
	name := w.names.take(pascal(plainName(c)))
	type method struct{ event, about, typ string }
	var methods []method
	for _, e := range c.events {
		methods = append(methods, method{e.name, e.about, w.named(e.data, name+pascal(e.name))})
	}
	fmt.Fprintf(b, "\n\nclass %s:\n", name+"Channel")
	docstring(b, c.about)
	args := ""
	for _, p := range c.params {
		args += ", " + snake(p) + ": str"
	}
	fmt.Fprintf(b, "    def __init__(self, client: Client%s) -> None:\n        self.channel: Channel = client.channel(%s)\n", args, pythonName(c))
	for _, m := range methods {
		fmt.Fprintf(b, "\n    async def publish_%s(self, data: %s, *, key: str | None = None) -> Ack:\n", snake(m.event), m.typ)
		if m.about != "" {
			fmt.Fprintf(b, "        %s\n", doc(m.about))
		}
		fmt.Fprintf(b, "        return await self.channel.publish(%s, data, key=key)\n", text(m.event))
		fmt.Fprintf(b, "\n    @staticmethod\n    def as_%s(message: Message) -> %s | None:\n        \"\"\"The data of a message, if it is one of these.\"\"\"\n", snake(m.event), m.typ)
		fmt.Fprintf(b, "        data: %s | None = message.data if message.type == %s else None\n        return data\n", m.typ, text(m.event))
	}
}

// pythonName is the expression of a channel's name.
func pythonName(c *channelType) string {
	if len(c.params) == 0 {
		return text(c.name)
	}
	name := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.name)
	for _, p := range c.params {
		name = strings.Replace(name, "{"+p+"}", "{"+snake(p)+"}", 1)
	}
	return `f"` + name + `"`
}

// named returns the type of a shape, and writes a class for it if it has fields.
func (w *pythonWriter) named(s *shape, name string) string {
	switch s.kind {
	case aString:
		return "str"
	case aNumber:
		return "float"
	case anInteger:
		return "int"
	case aBool:
		return "bool"
	case aNull:
		return "None"
	case literals:
		return w.literal(s)
	case listOf:
		return "list[" + w.named(s.items[0], name+"Item") + "]"
	case tuple:
		return w.oneOf(s.items, name+"Item", "list[%s]")
	case mapOf:
		return "dict[str, " + w.named(s.items[0], name+"Value") + "]"
	case union:
		return w.oneOf(s.items, name, "%s")
	case record:
		return w.class(s, name)
	}
	return "Any"
}

func (w *pythonWriter) oneOf(items []*shape, name, form string) string {
	var list []string
	for i, item := range items {
		if !known(items[:i], item) {
			list = append(list, w.named(item, name))
		}
	}
	if len(list) == 0 || slices.Contains(list, "Any") {
		return fmt.Sprintf(form, "Any")
	}
	return fmt.Sprintf(form, strings.Join(list, " | "))
}

// literal is a Literal, which takes no floating numbers.
func (w *pythonWriter) literal(s *shape) string {
	var list []string
	for _, v := range s.values {
		switch t := string(v); {
		case t == "true":
			list = append(list, "True")
		case t == "false":
			list = append(list, "False")
		case t == "null":
			list = append(list, "None")
		case strings.ContainsAny(t, ".eE") && t[0] != '"':
			return "float"
		default:
			list = append(list, t)
		}
	}
	return "Literal[" + strings.Join(list, ", ") + "]"
}

var pythonWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reserved are words that can be no field of a class.
var reserved = strings.Fields("False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield")

func (w *pythonWriter) class(s *shape, name string) string {
	name = w.names.take(name)
	plain := true
	fields := make([]string, len(s.fields))
	for i, f := range s.fields {
		typ := w.named(f.of, name+pascal(f.name))
		if !f.required {
			typ = "NotRequired[" + typ + "]"
		}
		fields[i] = typ
		plain = plain && pythonWord.MatchString(f.name) && !slices.Contains(reserved, f.name)
	}
	b := &w.classes
	if !plain { // names that no class can have
		fmt.Fprintf(b, "\n%s = TypedDict(%s, {", name, text(name))
		for i, f := range s.fields {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(b, "%s: %s", text(f.name), text(fields[i]))
		}
		b.WriteString("})\n")
		return name
	}
	fmt.Fprintf(b, "\n\nclass %s(TypedDict):\n", name)
	docstring(b, s.about)
	for i, f := range s.fields {
		fmt.Fprintf(b, "    %s: %s\n", f.name, fields[i])
		if f.of.about != "" {
			fmt.Fprintf(b, "    %s\n", doc(f.of.about))
		}
	}
	return name
}

func docstring(b *bytes.Buffer, about string) {
	if about != "" {
		fmt.Fprintf(b, "    %s\n\n", doc(about))
	}
}

func doc(about string) string {
	return `"""` + strings.NewReplacer(`\`, `\\`, `"""`, `'''`).Replace(strings.TrimSuffix(oneLine(about), `"`)) + `"""`
}

func text(s string) string { return fmt.Sprintf("%q", s) }
