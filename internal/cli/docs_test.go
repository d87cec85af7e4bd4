package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestRulesPage: what docs/rules.md shows of check is what check says, of the
// file that docs/configuration.md begins with.
func TestRulesPage(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rules, configuration := read("../../docs/rules.md"), read("../../docs/configuration.md")
	_, rest, _ := strings.Cut(configuration, "```yaml\n")
	file, _, ok := strings.Cut(rest, "```")
	shown := regexp.MustCompile(`(?m)^    \$ ringdown (.*)\n((?:    .*\n)+)`).FindStringSubmatch(rules)
	if !ok || shown == nil {
		t.Fatal("the example is gone")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("ringdown.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RINGDOWN_JWT_SECRET", "a-secret-of-at-least-thirty-two-bytes!")
	t.Setenv("RINGDOWN_API_KEY", "a-key-of-at-least-sixteen-bytes")
	want := regexp.QuoteMeta(strings.ReplaceAll(shown[2], "\n    ", "\n")[4:])
	run(t, session{line: shown[1], code: 1, out: "^" + want + "$"}, strings.NewReplacer())
}
