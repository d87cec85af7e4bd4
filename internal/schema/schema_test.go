package schema

import (
	"encoding/json"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

func mustCompile(t testing.TB, src string) channel.Validator {
	t.Helper()
	v, err := Compile("test.json", []byte(src), nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValidate(t *testing.T) {
	const order = `{
		"type": "object", "required": ["id", "text"], "additionalProperties": false,
		"properties": {
			"id": {"type": "integer", "minimum": 1, "maximum": 9007199254740993},
			"text": {"type": "string", "minLength": 1, "maxLength": 3},
			"even": {"multipleOf": 2, "exclusiveMaximum": 10},
			"kind": {"enum": ["a", "b"]},
			"mail": {"format": "email"},
			"when": {"format": "date-time"},
			"code": {"pattern": "^[a-z]+$"},
			"alt": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
			"both": {"oneOf": [{"type": "number"}, {"type": "integer"}]},
			"any": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
			"not": {"not": {"type": "string"}},
			"list": {"type": "array", "uniqueItems": true, "maxItems": 6, "items": {"type": "integer"}},
			"dep": {"dependentRequired": {"a": ["b"]}, "maxProperties": 2},
			"a/b": {"type": "null"},
			"never": false
		}
	}`
	v := mustCompile(t, order)
	for _, c := range []struct{ data, want string }{
		{`{"id":1,"text":"abc"}`, ""},
		{`{"id":1.0,"text":"äöü"}`, ""},
		{`{"id":9007199254740993,"text":"a"}`, ""}, // 2^53+1, which a float64 cannot tell from the next
		{`{"id":9007199254740994,"text":"a"}`, "/id: must be at most"},
		{`[]`, "must be object, not array"},
		{`{}`, `"id", "text" are missing`},
		{`{"id":1}`, `"text" is missing`},
		{`{"id":"1","text":"a"}`, "/id: must be integer, not string"},
		{`{"id":0,"text":"a"}`, "/id: must be at least 1"},
		{`{"id":1.5,"text":"a"}`, "/id: must be integer, not number"},
		{`{"id":1,"text":""}`, "/text: has 0 characters, the least is 1"},
		{`{"id":1,"text":"abcd"}`, "/text: has 4 characters, the most is 3"},
		{`{"id":1,"text":"a","x":1,"y":2}`, "are not expected here"},
		{`{"id":1,"text":"a","never":1}`, "/never: is not expected here"},
		{`{"id":1,"text":"a","even":3}`, "/even: must be a multiple of 2"},
		{`{"id":1,"text":"a","even":10}`, "/even: must be less than 10"},
		{`{"id":1,"text":"a","kind":"c"}`, "/kind: must be one of 'a', 'b'"},
		{`{"id":1,"text":"a","mail":"x"}`, "/mail: is not a valid email"},
		{`{"id":1,"text":"a","when":"today"}`, "/when: is not a valid date-time"},
		{`{"id":1,"text":"a","when":"2026-01-02T03:04:05Z"}`, ""},
		{`{"id":1,"text":"a","code":"A"}`, "/code: does not match the pattern ^[a-z]+$"},
		{`{"id":1,"text":"a","alt":[]}`, "/alt: fits none of the alternatives (/alt: must be string, not array)"},
		{`{"id":1,"text":"a","both":1}`, "/both: fits more than one of the alternatives"},
		{`{"id":1,"text":"a","any":null}`, "/any: fits none of the alternatives"},
		{`{"id":1,"text":"a","not":"x"}`, "/not: is of a kind that is ruled out"},
		{`{"id":1,"text":"a","list":[1,1.0]}`, "/list: items 0 and 1 are equal"},
		{`{"id":1,"text":"a","list":[1,2,3,4,5,6,7]}`, "/list: has 7 items, the most is 6"},
		{`{"id":1,"text":"a","list":["a","b","c","d","e"]}`, "/list/2: must be integer, not string; and 2 more"},
		{`{"id":1,"text":"a","dep":{"a":1}}`, `/dep: "b" is missing, since "a" is there`},
		{`{"id":1,"text":"a","dep":{"b":1,"c":1,"d":1}}`, "/dep: has 3 properties, the most is 2"},
		{`{"id":1,"text":"a","a/b":1}`, "/a~1b: must be null, not number"},
	} {
		err := v.Validate([]byte(c.data), nil)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.data, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q in it", c.data, err, c.want)
		}
	}
}

// TestTextIsBounded: whatever a client sends, and whatever the schema is called,
// the text that goes back is short and valid UTF-8.
func TestTextIsBounded(t *testing.T) {
	long := strings.Repeat("ä", 1000)
	v := mustCompile(t, `{"additionalProperties":{"type":"integer"},"propertyNames":{"maxLength":5},"required":["`+long+`"]}`)
	many := make(map[string]any)
	for i := range 300 {
		many[strings.Repeat("ö", i+6)] = "x"
	}
	data, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	err = v.Validate(data, nil)
	if err == nil {
		t.Fatal("no error")
	}
	if text := err.Error(); len(text) > MaxText || !utf8.ValidString(text) {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestDrafts(t *testing.T) {
	// prefixItems came with 2020-12 and means nothing to draft 7.
	tuple := `"prefixItems":[{"type":"string"}]`
	if err := mustCompile(t, "{"+tuple+"}").Validate([]byte(`[1]`), nil); err == nil {
		t.Error("without $schema: not read as draft 2020-12")
	}
	old := mustCompile(t, `{"$schema":"http://json-schema.org/draft-07/schema#",`+tuple+"}")
	if err := old.Validate([]byte(`[1]`), nil); err != nil {
		t.Error("with $schema of draft 7:", err)
	}
	if err := mustCompile(t, "true").Validate([]byte("1"), nil); err != nil {
		t.Error("true:", err)
	}
	if err := mustCompile(t, "false").Validate([]byte("1"), nil); err == nil {
		t.Error("false lets pass")
	}
}

func TestReferences(t *testing.T) {
	files := map[string]string{
		"/conf/schemas/common.json": `{"$defs":{"id":{"type":"integer"}}}`,
		"/conf/shared.json":         `{"type":"string"}`,
	}
	load := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	}
	v, err := Compile("/conf/schemas/my order.json", []byte(`{"properties":{
		"id": {"$ref": "common.json#/$defs/id"},
		"name": {"$ref": "../shared.json"},
		"next": {"$ref": "#"}
	}}`), load)
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		`{"id":1,"name":"a","next":{"id":2}}`: "",
		`{"id":"1"}`:                          "/id: must be integer",
		`{"name":1}`:                          "/name: must be string",
		`{"next":{"next":{"id":"x"}}}`:        "/next/next/id: must be integer",
	} {
		if err := v.Validate([]byte(data), nil); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
	// Relative names give relative paths.
	asked := ""
	_, _ = Compile("schemas/a.json", []byte(`{"$ref":"b.json"}`), func(name string) ([]byte, error) {
		asked = name
		return nil, fs.ErrNotExist
	})
	if asked != "schemas/b.json" {
		t.Errorf("load was asked for %q", asked)
	}
}

func TestCompileErrors(t *testing.T) {
	load := func(name string) ([]byte, error) {
		switch name {
		case "schemas/bad.json":
			return []byte(`{"$defs":{"x":{"type":"intger"}}}`), nil
		case "schemas/broken.json":
			return []byte(`{"a":`), nil
		}
		return nil, fs.ErrNotExist
	}
	for _, c := range []struct{ src, want string }{
		{`{"type":"intger"}`, `at #/type: this is not a valid schema: "type" must be one of 'array'`},
		{`{"properties":{"a":{"maxLength":"3"}}}`, `at #/properties/a/maxLength: this is not a valid schema: "maxLength" must be integer, not string`},
		{`{"properties":3}`, `at #/properties: this is not a valid schema: "properties" must be object, not number`},
		{`{"allOf":[]}`, "has 0 items, the least is 1"},
		{`[]`, "a schema is an object, or true or false"},
		{`{`, "it is not valid JSON: the JSON text ends too early"},
		{`{"a":1,"a":2}`, "second time"},
		{`{"minimum":1` + strings.Repeat("0", 200) + `}`, "a number of more than 128 bytes"},
		{`{"$ref":"https://x.example/a.json"}`, "the schema refers to https://x.example/a.json, and schemas are never fetched over the network\nsave"},
		{`{"$id":"https://x.example/a","$ref":"b.json"}`, "https://x.example/b.json, and schemas are never fetched"},
		{`{"$schema":"https://x.example/s"}`, "never fetched"},
		{`{"$ref":"nope.json"}`, "the schema refers to the file schemas/nope.json, which does not exist"},
		{`{"$ref":"broken.json"}`, "the schema refers to the file schemas/broken.json: it is not valid JSON"},
		{`{"$ref":"bad.json#/$defs/x"}`, `at schemas/bad.json#/$defs/x/type: this is not a valid schema: "type" must be one of`},
		{`{"$ref":"#/nope"}`, "a $ref leads to #/nope, where there is nothing"},
		{`{"$ref":"#nope"}`, `a $ref leads to the anchor "nope"`},
		{`{"properties":{"a b":{"pattern":"["}}}`, "at #/properties/a b/pattern: the regular expression [ cannot be used: missing closing ]"},
		{`{"pattern":"(?=a)"}`, "look-around and back references are not supported"},
		{`{"$ref":"file://host/etc"}`, "does not exist"},
	} {
		v, err := Compile("schemas/order.json", []byte(c.src), load)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v\nwant %q in it", c.src, v, err, c.want)
			continue
		}
		if _, ok := err.(*Error); !ok {
			t.Errorf("%s: the error is a %T", c.src, err)
		}
	}
	if _, err := Compile("a.json", []byte(`{"$ref":"b.json"}`), nil); err == nil || !strings.Contains(err.Error(), "not possible here") {
		t.Errorf("without a loader: %v", err)
	}
	if _, err := Compile("a.json", make([]byte, MaxSource+1), nil); err == nil || !strings.Contains(err.Error(), "the most is 1048576") {
		t.Errorf("too large: %v", err)
	}
}

// TestDearNumbers: exact numbers are dear to compute with, so a message full of
// the worst that the protocol lets through must still be cheap.
func TestDearNumbers(t *testing.T) {
	v := mustCompile(t, `{"items":{"type":"number","minimum":0,"multipleOf":0.1}}`)
	data := []byte("[" + strings.TrimSuffix(strings.Repeat("1e999,", 65_000/6), ",") + "]")
	if err := protocol.ValidJSON(data); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := v.Validate(data, nil); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	} else {
		t.Logf("took %v", took)
	}
}

func TestConcurrentUse(t *testing.T) {
	v := mustCompile(t, `{"properties":{"a":{"type":"integer","enum":[1,2]},"b":{"pattern":"^x"}}}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if err := v.Validate([]byte(`{"a":1,"b":"x"}`), nil); err != nil {
					t.Error(err)
				}
				if err := v.Validate([]byte(`{"a":"1","b":"y"}`), nil); err == nil {
					t.Error("no error")
				}
			}
		})
	}
	wg.Wait()
}

func FuzzSchema(f *testing.F) {
	for _, src := range []string{
		`{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}`, `{"$ref":"#"}`, `true`, `{"oneOf":[{"const":1},{"not":{}}]}`,
		`{"$defs":{"a":{"$anchor":"b"}},"$ref":"#b"}`, `{"$id":"x:y","$dynamicRef":"#z"}`, `{"pattern":"["}`, `{"unevaluatedProperties":false,"if":{},"then":{}}`,
		`{"contains":{"minimum":2},"minContains":2}`, `{"$schema":"http://json-schema.org/draft-04/schema#","id":"q"}`,
	} {
		f.Add([]byte(src), []byte(`{"id":[1,2.5,"x",null]}`))
	}
	f.Fuzz(func(t *testing.T, src, data []byte) {
		v, err := Compile("a.json", src, func(string) ([]byte, error) { return nil, fs.ErrNotExist })
		if err != nil || protocol.ValidJSON(data) != nil {
			return
		}
		if err := v.Validate(data, nil); err != nil && (err.Error() == "" || len(err.Error()) > MaxText || !utf8.ValidString(err.Error())) {
			t.Errorf("the text has %d bytes: %q", len(err.Error()), err)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	v := mustCompile(b, `{"type":"object","required":["text"],"properties":{"id":{"type":"integer"},"text":{"type":"string","maxLength":2000}}}`)
	data := []byte(`{"id":7,"text":"Hello, is anybody there?"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Validate(data, nil); err != nil {
			b.Fatal(err)
		}
	}
}
