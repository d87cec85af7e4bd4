package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTypes: they are printed or written, and --check says whether a file is up to date.
func TestTypes(t *testing.T) {
	dir := t.TempDir()
	config, out := filepath.Join(dir, "shop.yaml"), filepath.Join(dir, "api.ts")
	text := "auth: {jwt: {secret: env:NOWHERE_TO_BE_FOUND, algorithm: HS256}}\nchannels: [{name: orders, events: {created: {schema: {type: string}}}, allow: {subscribe: anyone}}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"types", config}, 0, "created: string"},
		{[]string{"types", config, "--lang", "go", "--package", "shop"}, 0, "package shop"},
		{[]string{"types", config, "--lang", "python"}, 0, "class OrdersChannel"},
		{[]string{"types", config, "--check"}, 1, "name it with --out"},
		{[]string{"types", config, "--check", "--out", out}, 1, "is not there"},
		{[]string{"types", config, "--out", out}, 0, ""},
		{[]string{"types", config, "--check", "--out", out}, 0, ""},
		{[]string{"types", config, "--lang", "go", "--check", "--out", out}, 1, "is not up to date"},
		{[]string{"types", config, "--lang", "cobol"}, 1, "ts, go, python"},
	} {
		said, code := told(t, c.args...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%v: %d, want %d and %q in\n%s", c.args, code, c.code, c.says, said)
		}
	}
}
