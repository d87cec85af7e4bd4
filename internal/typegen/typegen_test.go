package typegen_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ringdown/internal/channel"
	"ringdown/internal/config"
	"ringdown/internal/typegen"
)

var update = flag.Bool("update", false, "write the files that the tests compare with")

// made are the files that are made of shop.yaml. Beside each, something uses it rightly
// and wrongly: here in testdata, in sdk/typescript/test/types and in sdk/python/tests.
var made = map[string]string{
	"go":     "testdata/shop/shop.go",
	"ts":     "../../sdk/typescript/test/types/shop.ts",
	"python": "../../sdk/python/tests/shop_api.py",
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("shop.yaml", []byte(text), config.LoadOptions{Env: func(string) (string, bool) { return strings.Repeat("x", 32), true }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWrite: the types of a shop are what is checked in, and the same each time.
func TestWrite(t *testing.T) {
	text, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, string(text))
	for language, file := range made {
		got, err := typegen.Write(c.Channels, c.Calls, typegen.Options{Language: language, From: "shop.yaml", Package: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != string(got) {
			t.Errorf("%s is not what is made of shop.yaml (%v): go test ./internal/typegen -update", file, err)
		}
	}
	if _, err := typegen.Write(nil, nil, typegen.Options{Language: "cobol"}); err == nil {
		t.Error("there are no types of cobol")
	}
}

// TestCompiles: what uses the types rightly compiles, and what does not is refused.
func TestCompiles(t *testing.T) {
	if out, err := exec.Command("go", "vet", "./testdata/shop", "./testdata/use").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for name, says := range map[string]string{
		"wrong_channel": "undefined: shop.Chats", "wrong_event": "PublishNote", "wrong_payload": "unknown field Txt", "wrong_call": "cannot use shop.ChatMessage",
	} {
		out, err := exec.Command("go", "vet", "./testdata/"+name).CombinedOutput()
		if err == nil || !strings.Contains(string(out), says) {
			t.Errorf("%s: %v, want %q in\n%s", name, err, says, out)
		}
	}
}

// TestSchemas: what schemas say comes out as the nearest that each language has.
func TestSchemas(t *testing.T) {
	for _, c := range []struct{ schema, ts, golang, python string }{
		{`{type: string}`, "string", "string", "str"},
		{`{type: integer}`, "number", "int64", "int"},
		{`{type: [number, 'null']}`, "number | null", "*float64", "float | None"},
		{`{enum: [a, b]}`, `"a" | "b"`, "string", `Literal["a", "b"]`},
		{`{enum: [1, 2.5]}`, "1 | 2.5", "float64", "float"},
		{`{const: true}`, "true", "bool", "Literal[True]"},
		{`{type: array, items: {type: boolean}}`, "Array<boolean>", "[]bool", "list[bool]"},
		{`{type: array, prefixItems: [{type: string}, {type: number}]}`, "[string, number]", "[]any", "list[str | float]"},
		{`{type: object, additionalProperties: {type: integer}}`, "Record<string, number>", "map[string]int64", "dict[str, int]"},
		{`{oneOf: [{type: string}, {type: integer}]}`, "string | number", "any", "str | int"},
		{`{$ref: '#/$defs/a', $defs: {a: {type: string}}}`, "string", "string", "str"},
		{`{type: array, items: {$ref: '#'}}`, "Array<Array<", "[][]", "list[list["},
		{`true`, "any", "any", "Any"},
	} {
		conf := load(t, "auth: {jwt: {secret: env:S, algorithm: HS256}}\nchannels: [{name: a, events: {e: {schema: "+c.schema+"}}, allow: {subscribe: anyone}}]\n")
		for language, want := range map[string]string{"ts": "e: " + c.ts, "go": "data " + c.golang, "python": "data: " + c.python} {
			got, err := typegen.Write(conf.Channels, nil, typegen.Options{Language: language})
			if err != nil || !strings.Contains(string(got), want) {
				t.Errorf("%s in %s (%v): no %q in\n%s", c.schema, language, err, want, got)
			}
		}
	}
}

// FuzzWrite: whatever compiles as a schema comes out as types, and Go's are formatted,
// which is to say that they parse.
func FuzzWrite(f *testing.F) {
	for _, s := range []string{`{}`, `{"type":"object","properties":{"a b":{"enum":[1,"x",null]}}}`, `{"anyOf":[{"$ref":"#"},true]}`, `{"type":"array","minItems":2,"maxItems":2}`} {
		f.Add(s, "about */ \"\"\" \n it")
	}
	f.Fuzz(func(t *testing.T, schema, about string) {
		about = strings.ToValidUTF8(about, "?") // as the configuration has it
		d := &channel.Declaration{Name: "chat:{room}", About: about, Events: map[string]*channel.Event{"e": {Name: "e", About: about, SchemaJSON: []byte(schema)}}}
		for _, language := range typegen.Languages {
			if _, err := typegen.Write([]*channel.Declaration{d}, nil, typegen.Options{Language: language}); err != nil && json.Valid([]byte(schema)) {
				t.Errorf("%s: %v", language, err)
			}
		}
	})
}
