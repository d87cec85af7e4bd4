package typegen

import (
	"fmt"
	"strings"

	"ringdown/internal/channel"
)

// Languages are those that there are types for.
var Languages = []string{"ts", "go", "python"}

// Options say what is written.
type Options struct {
	Language string // one of Languages
	From     string // the name of the file that it is made from, for its first line
	Package  string // of Go. Default api
}

// Write returns the types of the declared channels and calls. The same declarations give
// the same bytes.
func Write(list []*channel.Declaration, calls map[string]*channel.Call, o Options) ([]byte, error) {
	a, err := read(list, calls)
	if err != nil {
		return nil, err
	}
	first := fmt.Sprintf("Made by ringdown types --lang %s from %s. Change that, and make it again.", o.Language, o.From)
	switch o.Language {
	case "ts":
		return typeScript(a, first), nil
	case "go":
		if o.Package == "" {
			o.Package = "api"
		}
		return goTypes(a, first, o.Package)
	case "python":
		return python(a, first), nil
	}
	return nil, fmt.Errorf("there are types for %s, and not for %q", strings.Join(Languages, ", "), o.Language)
}

// words cuts a name into its words.
func words(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

// pascal writes a name as a type of Go or Python has it.
func pascal(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		for _, w := range words(name) {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	if s := b.String(); s != "" && (s[0] < '0' || s[0] > '9') {
		return s
	}
	return "N" + b.String()
}

// snake writes a name as a function of Python has it.
func snake(names ...string) string {
	var all []string
	for _, name := range names {
		for _, w := range words(name) {
			all = append(all, strings.ToLower(w))
		}
	}
	if s := strings.Join(all, "_"); s != "" && (s[0] < '0' || s[0] > '9') {
		return s
	}
	return "n_" + strings.Join(all, "_")
}

// plainName is a channel's name without what stands for something.
func plainName(c *channelType) string {
	name := c.name
	for _, p := range c.params {
		name = strings.Replace(name, "{"+p+"}", "", 1)
	}
	if len(words(name)) == 0 {
		return strings.Join(c.params, " ")
	}
	return name
}

// unique gives each name once.
type unique map[string]int

func (u unique) take(name string) string {
	u[name]++
	if n := u[name]; n > 1 {
		return u.take(fmt.Sprintf("%s%d", name, n))
	}
	return name
}
