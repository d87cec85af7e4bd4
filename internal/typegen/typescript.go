package typegen

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

func typeScript(a *api, first string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// %s\n\n/** The declared API, for new Ringdown<Api>(…). */\nexport interface Api {\n  channels: {\n", first)
	for i := range a.channels {
		c := &a.channels[i]
		comment(&b, "    ", c.about)
		fmt.Fprintf(&b, "    %s: {\n", quoted(c.name))
		if c.open {
			b.WriteString("      events: {[event: string]: any}\n")
		} else {
			b.WriteString("      events: {\n")
			for _, e := range c.events {
				comment(&b, "        ", e.about)
				fmt.Fprintf(&b, "        %s: %s\n", quoted(e.name), tsType(e.data, "        "))
			}
			b.WriteString("      }\n")
		}
		if c.state != nil {
			fmt.Fprintf(&b, "      state: %s\n", tsType(c.state, "      "))
		}
		if c.presence {
			b.WriteString("      presence: any\n")
		}
		b.WriteString("    }\n")
	}
	b.WriteString("  }\n  calls: {\n")
	for _, c := range a.calls {
		comment(&b, "    ", c.about)
		fmt.Fprintf(&b, "    %s: {\n      data: %s\n      result: %s\n    }\n", quoted(c.name), tsType(c.data, "      "), tsType(c.result, "      "))
	}
	b.WriteString("  }\n}\n")
	return b.Bytes()
}

func comment(b *bytes.Buffer, indent, about string) {
	if about != "" {
		fmt.Fprintf(b, "%s/** %s */\n", indent, strings.ReplaceAll(oneLine(about), "*/", "* /"))
	}
}

var tsName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

func quoted(name string) string {
	if tsName.MatchString(name) {
		return name
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`).Replace(name) + "'"
}

func tsType(s *shape, indent string) string {
	switch s.kind {
	case aString:
		return "string"
	case aNumber, anInteger:
		return "number"
	case aBool:
		return "boolean"
	case aNull:
		return "null"
	case literals:
		list := make([]string, len(s.values))
		for i, v := range s.values {
			list[i] = string(v)
		}
		return strings.Join(list, " | ")
	case listOf:
		return "Array<" + tsType(s.items[0], indent) + ">"
	case tuple:
		list := make([]string, len(s.items))
		for i, item := range s.items {
			list[i] = tsType(item, indent)
		}
		return "[" + strings.Join(list, ", ") + "]"
	case mapOf:
		return "Record<string, " + tsType(s.items[0], indent) + ">"
	case union:
		var list []string
		for i, item := range s.items {
			if !known(s.items[:i], item) {
				list = append(list, tsType(item, indent))
			}
		}
		if len(list) == 0 {
			return "any"
		}
		return strings.Join(list, " | ")
	case record:
		var b bytes.Buffer
		b.WriteString("{\n")
		for _, f := range s.fields {
			comment(&b, indent+"  ", f.of.about)
			optional := "?"
			if f.required {
				optional = ""
			}
			fmt.Fprintf(&b, "%s  %s%s: %s\n", indent, quoted(f.name), optional, tsType(f.of, indent+"  "))
		}
		return b.String() + indent + "}"
	}
	return "any"
}

func known(list []*shape, s *shape) bool {
	for _, other := range list {
		if same(other, s) {
			return true
		}
	}
	return false
}
