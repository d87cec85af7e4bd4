package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	page  = "../../docs/configuration.md"
	begin = "<!-- reference: written by go test ./internal/config -update -->\n"
	end   = "<!-- end of the reference -->\n"
)

// TestReference holds the reference of docs/configuration.md against the
// grammar: every key is there, and nothing else.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the marks of the reference are gone")
	}
	want := before + begin + reference() + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Error("docs/configuration.md does not say what the grammar says; run go test ./internal/config -update")
	}
}

func reference() string {
	var b strings.Builder
	seen := map[*object]bool{}
	var write func(path string, o *object)
	write = func(path string, o *object) {
		if seen[o] {
			return
		}
		seen[o] = true
		title := path
		if title == "" {
			title = "the file"
		}
		fmt.Fprintf(&b, "\n### %s\n\n| key | takes | default | |\n|---|---|---|---|\n", title)
		for _, k := range o.keys {
			preset := k.preset
			if preset != "" {
				preset = "`" + preset + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, takes(k), preset, about(k))
		}
		for _, k := range o.keys {
			if k.of != nil {
				write(strings.TrimPrefix(path+"."+k.name, "."), k.of)
			}
		}
	}
	write("", fileKeys)
	b.WriteByte('\n')
	return b.String()
}

func about(k key) string {
	if k.later {
		return k.about + " (*later*)"
	}
	return k.about
}

func takes(k key) string {
	what := [...]string{"text", "secret", "true or false", "number", "size", "duration", "rule", "schema", "mapping",
		"list of texts", "list of secrets", "list", "mapping or list of them", "mapping by name"}[k.shape]
	switch {
	case len(k.words) > 0:
		return strings.Join(k.words, ", ")
	case k.max == 0:
		return what
	case k.shape == aDuration:
		return fmt.Sprintf("%s, %v to %v", what, time.Duration(k.min), time.Duration(k.max))
	}
	return fmt.Sprintf("%s, %d to %d", what, k.min, k.max)
}
