package schema

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// compileByLibrary returns the schema for the library itself to judge by, nil if
// it does not compile.
func compileByLibrary(src string) *jsonschema.Schema {
	doc, err := decode([]byte(src))
	if err != nil {
		return nil
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(&files{})
	if c.AddResource("file:///a.json", doc) != nil {
		return nil
	}
	s, err := c.Compile("file:///a.json")
	if err != nil {
		return nil
	}
	return s
}

// judges are one schema, compiled here and by the library alone.
type judges struct {
	src     string
	here    channel.Validator
	library *jsonschema.Schema
}

// bothOf returns nil for a schema that cannot be used here.
func bothOf(t *testing.T, src string) *judges {
	t.Helper()
	v, err := Compile("a.json", []byte(src), func(string) ([]byte, error) { return nil, fs.ErrNotExist })
	if err != nil {
		return nil
	}
	library := compileByLibrary(src)
	if library == nil {
		t.Fatalf("%s: compiles here, and not by the library", src)
	}
	return &judges{src, v, library}
}

// compare judges by both, and reports whether data fits.
func (j *judges) compare(t *testing.T, data string) bool {
	t.Helper()
	value, err := exact([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	want, got := j.library.Validate(value), j.here.Validate([]byte(data), nil)
	if (want == nil) != (got == nil) {
		t.Errorf("schema %s\ndata   %s\nhere    %v\nlibrary %v", j.src, data, got, want)
	}
	if got != nil && got.Error() == "" {
		t.Errorf("schema %s\ndata %s: an error without a text", j.src, data)
	}
	return want == nil
}

// TestAsTheLibrary goes through every keyword in its corner cases.
func TestAsTheLibrary(t *testing.T) {
	values := []string{
		`null`, `true`, `0`, `-0`, `1`, `1.0`, `1.5`, `-1`, `10`, `1e1`, `0.1e2`, `1e999`, `1e-999`, `-1E+3`, `12.30`, `9007199254740993`, `123456789012345678901234567890`,
		`""`, `"a"`, `"abc"`, `"\u0061"`, `"a\nb"`, `"äöü"`, `"😀"`, `"a@b.example"`, `"2026-01-02T03:04:05Z"`, `"(a+)"`, `"["`, `"http://x/y"`, `"\"\\\u0001"`,
		`[]`, `[1]`, `[1,1.0]`, `[1,"1",true,null]`, `["a","\u0061"]`, `[[1],[1.0]]`, `[{"a":1,"b":2},{"b":2,"a":1}]`, `[{"a":1},{"a":2}]`, `[1,2,3,"x"]`,
		`{}`, `{"a":1}`, `{"a":"x","b":2}`, `{"\u0061":1}`, `{"a":{"a":{"a":1}}}`, `{"a":1,"b":2,"c":3}`, `{"foo":1,"bar":[1,2]}`, `{"kind":"a","x":1}`, `{"kind":"b","x":"1"}`,
		`{"a":[],"aa":[1],"b":{"c":null}}`, ` { "a" : [ 1 , 2 ] , "b" : { } } `,
	}
	schemas := []string{
		`true`, `false`, `{}`, `{"type":"integer"}`, `{"type":["integer","string"]}`, `{"type":"number"}`, `{"type":"null"}`, `{"type":"boolean"}`, `{"type":"object"}`, `{"type":"array"}`,
		`{"const":1}`, `{"const":1.0}`, `{"const":"a"}`, `{"const":null}`, `{"const":{"b":2,"a":1}}`, `{"const":[1]}`, `{"const":"a\nb"}`, `{"const":-0}`, `{"const":12.3}`, `{"const":"\"\\\u0001"}`,
		`{"enum":[1,"a",null,[1],{"a":1}]}`, `{"enum":[10,"abc"],"const":10}`, `{"enum":[1],"const":2}`, `{"enum":[true,false]}`, `{"enum":[]}`,
		`{"minimum":1}`, `{"maximum":1}`, `{"exclusiveMinimum":1}`, `{"exclusiveMaximum":1}`, `{"minimum":1.5,"maximum":1e2}`, `{"multipleOf":2}`, `{"multipleOf":0.1}`, `{"multipleOf":0.01}`, `{"multipleOf":1e-10}`,
		`{"minLength":1}`, `{"maxLength":3}`, `{"minLength":2,"maxLength":2}`, `{"pattern":"^a"}`, `{"pattern":"b$"}`, `{"format":"email"}`, `{"format":"date-time"}`, `{"format":"regex"}`, `{"format":"uri"}`, `{"format":"nope"}`,
		`{"minItems":1}`, `{"maxItems":1}`, `{"uniqueItems":true}`, `{"items":{"type":"integer"}}`, `{"items":false}`, `{"prefixItems":[{"type":"integer"},{"const":1}]}`, `{"prefixItems":[{"type":"integer"}],"items":{"type":"string"}}`,
		`{"contains":{"type":"integer"}}`, `{"contains":{"const":1},"minContains":2}`, `{"contains":{"const":1},"maxContains":1}`, `{"contains":{"const":7},"minContains":0}`, `{"contains":true,"minContains":2,"maxContains":3}`,
		`{"minProperties":1}`, `{"maxProperties":1}`, `{"required":["a"]}`, `{"required":["a","b"]}`, `{"required":["a","a"]}`, `{"properties":{"a":{"type":"integer"}}}`, `{"properties":{"a":false}}`,
		`{"properties":{"a":true},"additionalProperties":false}`, `{"additionalProperties":{"type":"integer"}}`, `{"patternProperties":{"^a":{"type":"array"}}}`, `{"patternProperties":{"^a+$":{},"b":{"type":"object"}},"additionalProperties":false}`,
		`{"propertyNames":{"maxLength":1}}`, `{"propertyNames":{"pattern":"^[ab]$"}}`, `{"propertyNames":false}`, `{"dependentRequired":{"a":["b"]}}`, `{"dependentSchemas":{"a":{"required":["b"]}}}`, `{"dependentRequired":{"foo":[]}}`,
		`{"allOf":[{"required":["a"]},{"maxProperties":2}]}`, `{"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]}`, `{"oneOf":[{"type":"number"},{"type":"integer"}]}`, `{"not":{"type":"string"}}`, `{"not":{}}`, `{"not":{"not":{"type":"string"}}}`,
		`{"if":{"type":"integer"},"then":{"minimum":1},"else":{"minLength":1}}`, `{"if":{"const":1}}`, `{"then":false,"else":false}`, `{"if":true,"then":{"type":"object"}}`, `{"if":false,"else":{"type":"array"}}`,
		`{"unevaluatedProperties":false}`, `{"properties":{"a":{}},"unevaluatedProperties":false}`, `{"anyOf":[{"properties":{"a":{"type":"integer"}}},{"properties":{"b":{"type":"integer"}}}],"unevaluatedProperties":false}`,
		`{"allOf":[{"properties":{"a":{}}},{"patternProperties":{"b":{}}}],"unevaluatedProperties":{"type":"integer"}}`, `{"oneOf":[{"required":["a"],"properties":{"a":{}}},{"required":["foo"],"properties":{"foo":{},"bar":{}}}],"unevaluatedProperties":false}`,
		`{"if":{"properties":{"kind":{"const":"a"}},"required":["kind"]},"then":{"properties":{"x":{}}},"else":{"additionalProperties":true},"unevaluatedProperties":false}`, `{"dependentSchemas":{"a":{"properties":{"b":{}}}},"properties":{"a":{}},"unevaluatedProperties":false}`,
		`{"$ref":"#/$defs/x","unevaluatedProperties":false,"$defs":{"x":{"properties":{"a":{}}}}}`, `{"properties":{"a":{"unevaluatedProperties":false}},"unevaluatedProperties":false}`, `{"allOf":[{"unevaluatedProperties":true}],"unevaluatedProperties":false}`, `{"not":{"not":{"properties":{"a":{}}}},"unevaluatedProperties":false}`,
		`{"unevaluatedItems":false}`, `{"prefixItems":[true],"unevaluatedItems":false}`, `{"contains":{"type":"integer"},"unevaluatedItems":false}`, `{"anyOf":[{"prefixItems":[true,true]},{"prefixItems":[true,true,true]}],"unevaluatedItems":{"type":"string"}}`, `{"items":{},"unevaluatedItems":false}`, `{"allOf":[{"items":true}],"unevaluatedItems":false}`,
		`{"$ref":"#/$defs/a","$defs":{"a":{"type":"integer"}},"minimum":1}`, `{"properties":{"a":{"$ref":"#"}},"additionalProperties":{"type":"integer"}}`, `{"$defs":{"n":{"oneOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#/$defs/n"}},{"type":"object","additionalProperties":{"$ref":"#/$defs/n"}}]}},"$ref":"#/$defs/n"}`,
		`{"$dynamicRef":"#x","$defs":{"y":{"$dynamicAnchor":"x","type":"integer"}}}`, `{"$dynamicRef":"#x","$defs":{"y":{"$anchor":"x","type":"integer"}}}`,
	}
	for _, draft := range []string{"draft-04", "draft-06", "draft-07", "2019-09", "2020-12"} {
		url := "http://json-schema.org/" + draft + "/schema#"
		if draft[0] == '2' {
			url = "https://json-schema.org/draft/" + draft + "/schema"
		}
		extra := []string{`{"items":[{"type":"integer"}],"additionalItems":false}`, `{"items":[{"type":"integer"}],"additionalItems":{"type":"string"}}`, `{"dependencies":{"a":["b"],"foo":{"required":["bar"]}}}`,
			`{"minimum":1,"exclusiveMinimum":true}`, `{"$ref":"#/definitions/a","maximum":0,"definitions":{"a":{"type":"integer"}}}`, `{"$recursiveRef":"#"}`, `{"properties":{"a":{"$recursiveRef":"#"}},"type":"object"}`,
			`{"$recursiveAnchor":true,"properties":{"a":{"$recursiveRef":"#"}},"type":"object"}`, `{"contains":{"const":1},"unevaluatedItems":false}`}
		for _, s := range append(extra, schemas...) {
			if strings.HasPrefix(s, "{") {
				s = strings.Replace(s, "{", `{"$schema":"`+url+`",`, 1)
				s = strings.Replace(s, ",}", "}", 1)
			}
			j := bothOf(t, s)
			for _, v := range values {
				if j != nil {
					j.compare(t, v)
				}
			}
		}
	}
}

// TestAtRandomAsTheLibrary makes schemas of all keywords inside one another, and
// values that come near to fitting them.
func TestAtRandomAsTheLibrary(t *testing.T) {
	rounds := 5_000
	if testing.Short() {
		rounds = 1_000
	}
	fitting := 0
	for seed := range rounds {
		g := generator{rand.New(rand.NewPCG(uint64(seed), 8))}
		src := asJSON(map[string]any{"$ref": "#/$defs/a", "$defs": map[string]any{"a": g.schema(3), "b": g.schema(2)}})
		j := bothOf(t, src)
		for range 6 {
			if data := asJSON(g.value(3)); j != nil && j.compare(t, data) {
				fitting++
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if fitting < rounds || fitting > 5*rounds {
		t.Errorf("%d of %d values fit: the generator is one-sided", fitting, 6*rounds)
	}
}

func asJSON(v any) string {
	src, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(src)
}

type generator struct{ *rand.Rand }

func (g generator) name() string { return string("abc"[g.IntN(3)]) }

func (g generator) value(depth int) any {
	switch k := g.IntN(8); {
	case k == 0:
		return nil
	case k == 1:
		return g.IntN(2) == 0
	case k == 2:
		return g.IntN(5) - 1
	case k == 3:
		return json.Number([]string{"1.0", "1.5", "0.1", "2e0"}[g.IntN(4)])
	case k == 4:
		return strings.Repeat(g.name(), g.IntN(4))
	case depth == 0:
		return 1
	case k == 5:
		list := make([]any, g.IntN(4))
		for i := range list {
			list[i] = g.value(depth - 1)
		}
		return list
	}
	members := make(map[string]any)
	for range g.IntN(4) {
		members[g.name()] = g.value(depth - 1)
	}
	return members
}

func (g generator) schemas(depth int) []any {
	list := make([]any, 1+g.IntN(3))
	for i := range list {
		list[i] = g.schema(depth)
	}
	return list
}

func (g generator) named(depth int) map[string]any {
	members := make(map[string]any)
	for range 1 + g.IntN(3) {
		members[g.name()] = g.schema(depth)
	}
	return members
}

func (g generator) schema(depth int) any {
	if depth == 0 {
		return []any{true, true, false, map[string]any{"type": "integer"}, map[string]any{"type": []any{"string", "object", "array"}}, map[string]any{"const": g.value(1)}, map[string]any{"minimum": 1}}[g.IntN(7)]
	}
	s := make(map[string]any)
	for range 1 + g.IntN(3) {
		g.keyword(s, depth-1)
	}
	return s
}

func (g generator) keyword(s map[string]any, depth int) {
	one := map[string]func() any{
		"type": func() any {
			return []any{"integer", "number", "string", "array", "object", "null", "boolean"}[g.IntN(7)]
		},
		"enum":                  func() any { return []any{g.value(1), g.value(0), "dup" + fmt.Sprint(g.IntN(9))} },
		"const":                 func() any { return g.value(1) },
		"minimum":               func() any { return g.IntN(3) },
		"exclusiveMaximum":      func() any { return g.IntN(3) },
		"multipleOf":            func() any { return json.Number([]string{"1", "2", "0.5", "0.1"}[g.IntN(4)]) },
		"minLength":             func() any { return g.IntN(3) },
		"maxLength":             func() any { return g.IntN(3) },
		"pattern":               func() any { return []any{"^a", "b$", "^(a|b)*$"}[g.IntN(3)] },
		"minItems":              func() any { return g.IntN(3) },
		"maxItems":              func() any { return g.IntN(3) },
		"uniqueItems":           func() any { return g.IntN(2) == 0 },
		"items":                 func() any { return g.schema(depth) },
		"prefixItems":           func() any { return g.schemas(depth) },
		"contains":              func() any { return g.schema(depth) },
		"minContains":           func() any { return g.IntN(3) },
		"maxContains":           func() any { return g.IntN(3) },
		"minProperties":         func() any { return g.IntN(3) },
		"maxProperties":         func() any { return g.IntN(3) },
		"required":              func() any { return []any{g.name()} },
		"properties":            func() any { return g.named(depth) },
		"patternProperties":     func() any { return map[string]any{"^" + g.name(): g.schema(depth)} },
		"additionalProperties":  func() any { return g.schema(depth) },
		"propertyNames":         func() any { return map[string]any{"pattern": "[" + g.name() + g.name() + "]"} },
		"dependentRequired":     func() any { return map[string]any{g.name(): []any{g.name()}} },
		"dependentSchemas":      func() any { return g.named(depth) },
		"allOf":                 func() any { return g.schemas(depth) },
		"anyOf":                 func() any { return g.schemas(depth) },
		"oneOf":                 func() any { return g.schemas(depth) },
		"not":                   func() any { return g.schema(depth) },
		"if":                    func() any { return g.schema(depth) },
		"then":                  func() any { return g.schema(depth) },
		"else":                  func() any { return g.schema(depth) },
		"unevaluatedProperties": func() any { return g.schema(0) },
		"unevaluatedItems":      func() any { return g.schema(0) },
		"$ref":                  func() any { return []any{"#/$defs/a", "#/$defs/b"}[g.IntN(2)] },
	}
	names := []string{
		"type", "enum", "const", "minimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems",
		"items", "prefixItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties", "required", "properties", "properties", "patternProperties",
		"additionalProperties", "propertyNames", "dependentRequired", "dependentSchemas", "allOf", "anyOf", "oneOf", "not", "if", "then", "else",
		"unevaluatedProperties", "unevaluatedItems", "$ref",
	}
	name := names[g.IntN(len(names))]
	s[name] = one[name]()
}

// FuzzAgainstLibrary: whatever compiles, both judge alike.
func FuzzAgainstLibrary(f *testing.F) {
	for _, src := range []string{
		`{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}`, `{"oneOf":[{"const":1},{"not":{}}]}`,
		`{"anyOf":[{"prefixItems":[true]},{"contains":{"const":2}}],"unevaluatedItems":false}`, `{"uniqueItems":true,"items":{"enum":[1,"x",null,2.5]}}`,
		`{"properties":{"a":{"$ref":"#"}},"additionalProperties":false}`, `{"multipleOf":0.5,"maximum":3}`,
	} {
		f.Add(src, `{"id":[1,2.5,"x",null]}`)
	}
	f.Fuzz(func(t *testing.T, src, data string) {
		if len(data) > 200 || len(src) > 500 || protocol.ValidJSON([]byte(data)) != nil {
			return // the library has no bound
		}
		if j := bothOf(t, src); j != nil {
			j.compare(t, data)
		}
	})
}
