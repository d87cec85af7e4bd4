package schema

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// richText is an ordinary schema of a rich text.
const richText = `{"$defs":{"node":{"oneOf":[
	{"type":"object","properties":{"kind":{"const":"text"},"text":{"type":"string"}},"required":["kind","text"]},
	{"type":"object","properties":{"kind":{"const":"paragraph"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["kind","children"]},
	{"type":"object","properties":{"kind":{"const":"list"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["kind","children"]},
	{"type":"object","properties":{"kind":{"const":"quote"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["kind","children"]}
]}},"$ref":"#/$defs/node"}`

// nested is a rich text of so many paragraphs inside one another.
func nested(depth int, leaf string) string {
	return strings.Repeat(`{"children":[`, depth) + `{"kind":"text","text":` + leaf + `}` + strings.Repeat(`],"kind":"paragraph"}`, depth)
}

// TestDeepAlternatives: alternatives that contain themselves cost what the data
// is long, and not so many times more at each level, whether the data fits or
// not.
func TestDeepAlternatives(t *testing.T) {
	v := mustCompile(t, richText)
	// No member tells these alternatives apart.
	untold := mustCompile(t, `{"$defs":{"n":{"oneOf":[{"type":"integer"},{"type":"array","items":{"$ref":"#/$defs/n"}},{"type":"array","items":{"$ref":"#/$defs/n"},"minItems":100}]}},"$ref":"#/$defs/n"}`)
	for depth := 1; depth <= 30; depth++ {
		b := channel.NewBudget(200 * (depth + 1))
		if err := v.Validate([]byte(nested(depth, `"x"`)), &b); err != nil {
			t.Fatalf("%d deep: %v", depth, err)
		}
		b = channel.NewBudget(200 * (depth + 1))
		err := v.Validate([]byte(nested(depth, `5`)), &b)
		if err == nil || !strings.Contains(err.Error(), "text: must be string, not number") && depth < 5 {
			t.Fatalf("%d deep: %v", depth, err)
		}
		for _, leaf := range []string{"1", `"x"`} {
			b = channel.NewBudget(200 * (depth + 1))
			if err := untold.Validate([]byte(strings.Repeat("[", depth)+leaf+strings.Repeat("]", depth)), &b); (err == nil) != (leaf == "1") || errors.Is(err, channel.ErrBudget) {
				t.Fatalf("%d deep with %s: %v", depth, leaf, err)
			}
		}
	}
}

func manyOf(format string) string {
	var b strings.Builder
	b.WriteString("[")
	for i := 0; b.Len() < 64_900; i++ {
		if i > 0 {
			b.WriteString(",")
		}
		if strings.Contains(format, "%") {
			fmt.Fprintf(&b, format, i)
		} else {
			b.WriteString(format)
		}
	}
	return b.String() + "]"
}

// dear are schemas and the messages of 64 KB that cost the most by them.
var dear = []struct{ name, schema, data string }{
	{"integers with an exponent", `{"items":{"type":"integer"}}`, manyOf("1e999")},
	{"fractions", `{"items":{"type":"integer"}}`, manyOf("1e-999")},
	{"bounds of large numbers", `{"items":{"minimum":0,"maximum":1e300}}`, manyOf("1e999")},
	{"bounds of small numbers", `{"items":{"minimum":0,"maximum":1}}`, manyOf("1e-999")},
	{"bounds of long numbers", `{"items":{"minimum":0.1}}`, manyOf(strings.Repeat("7", 120) + "e-999")},
	{"multiples of a fraction", `{"items":{"multipleOf":0.01}}`, manyOf("1e-999")},
	{"multiples of a whole", `{"items":{"multipleOf":7}}`, manyOf("1e999")},
	{"small numbers", `{"type":"array","items":{"type":"number","minimum":0}}`, manyOf("1")},
	{"equal numbers", `{"uniqueItems":true}`, manyOf("%d")},
	{"equal numbers with exponents", `{"uniqueItems":true}`, manyOf("%de-999")},
	{"equal objects", `{"uniqueItems":true}`, manyOf(`{"a":%d}`)},
	{"equal arrays in arrays", `{"uniqueItems":true,"items":{"uniqueItems":true,"items":{"uniqueItems":true,"items":{"uniqueItems":true}}}}`, manyOf(`[[[%d,2],3],[4]]`)},
	{"equal texts", `{"uniqueItems":true}`, manyOf(`"%d"`)},
	{"one of a list, and none fits", `{"items":{"enum":["red","green","blue","black","white"]}}`, manyOf("1")},
	{"one of a list", `{"items":{"enum":[1,2,3,4,5,6,7,8,9,10]}}`, manyOf("1e999")},
	{"one of a list of objects", `{"items":{"enum":[{"a":[1,2]},{"b":[1,2]}]}}`, manyOf(`{"b":[1.0,2]}`)},
	{"what is left over", `{"contains":{"const":7},"unevaluatedItems":false}`, manyOf("7")},
	{"what is left over, of alternatives", `{"anyOf":[{"prefixItems":[{"const":1}]},{"contains":{"const":7}},{"contains":{"const":1}}],"unevaluatedItems":{"type":"integer"}}`, manyOf("1")},
	{"a pattern", `{"pattern":"^(a|aa)+$"}`, `"` + strings.Repeat("a", 64_900) + `b"`},
	{"a pattern that begins anywhere", `{"pattern":"(x+x+)+y"}`, `"` + strings.Repeat("x", 64_900) + `"`},
	{"a large pattern", `{"pattern":"([a-f]{1,30}[a-d]{1,30}){1,15}z"}`, `"` + strings.Repeat("a", 64_900) + `"`},
	{"a pattern of names", `{"items":{"pattern":"^[a-z0-9-]{1,64}$"}}`, manyOf(`"some-ordinary-name"`)},
	{"a large pattern, anchored", `{"pattern":"^([a-f]{1,30}[a-d]{1,30}){1,15}z"}`, `"` + strings.Repeat("a", 64_900) + `"`},
	{"many short patterns", `{"items":{"pattern":"^[a-z]{1,9}$"}}`, manyOf(`"a"`)},
	{"an address", `{"format":"email"}`, `"` + strings.Repeat("a.", 32_000) + `@x"`},
	{"a link", `{"format":"uri"}`, `"http://` + strings.Repeat("a/", 32_000) + `"`},
	{"an expression", `{"format":"regex"}`, `"` + strings.Repeat("(a|b)*", 10_000) + `"`},
	{"expressions that grow", `{"items":{"format":"regex"}}`, manyOf(`"(((a{9}){9}){9}){1}b{999}c{999}"`)},
	{"many names", `{"additionalProperties":false,"patternProperties":{"^[a-c]+$":{}},"properties":{"a":{}}}`, `{"x":` + manyOf("1") + `}`},
	{"names in escapes", `{"properties":{"a":{}},"required":["b"],"additionalProperties":{"type":"integer"}}`, "{" + strings.Trim(manyOf(`"\u0061\u0062%d":1`), "[]") + "}"},
	{"dependents", `{"dependentRequired":{"a":["b"],"c":["d"],"e":["f"],"g":["h"]}}`, "{" + strings.Trim(manyOf(`"k%d":1`), "[]") + "}"},
	{"deep alternatives", richText, `{"kind":"list","children":` + manyOf(nested(10, "5")) + `}`},
	{"wide alternatives", richText, `{"kind":"list","children":` + manyOf(nested(0, "5")) + `}`},
	{"alternatives in alternatives", `{"items":{"anyOf":[{"anyOf":[{"const":1},{"const":2}]},{"anyOf":[{"const":3},{"anyOf":[{"const":4},{"not":{"type":"integer"}}]}]}]}}`, manyOf("7")},
}

// TestStepsAreTime: a step is about as dear everywhere, so that a budget bounds
// the time.
func TestStepsAreTime(t *testing.T) {
	const budget = channel.DefaultSchemaSteps
	for _, c := range dear {
		v := mustCompile(t, c.schema)
		if err := protocol.ValidJSON([]byte(c.data)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var b channel.Budget
		var err error
		took := time.Duration(math.MaxInt64)
		// The least of a few: a busy machine may stand still for a second.
		for try := 0; try < 5 && took > 2*time.Second; try++ {
			b = channel.NewBudget(budget)
			start := time.Now()
			err = v.Validate([]byte(c.data), &b)
			took = min(took, time.Since(start))
		}
		t.Logf("%-36s %7d bytes %7d steps %10v %4d ns a step  %.60v", c.name, len(c.data), b.Spent(), took, took.Nanoseconds()/int64(b.Spent()), err)
		// Some 10 ms at most; the bound is for busy machines and the race detector.
		if took > 2*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
}

// TestPatternWidth: what a pattern may cost is found without trying it, so an
// ordinary one costs what its text is long, however many repeats it counts.
func TestPatternWidth(t *testing.T) {
	for src, most := range map[string]int{
		"^[a-z]+$": 6, "^[a-z0-9-]{1,64}$": 8, "^a(bc|de)*$": 8, "(x+x+)+y": 12, "(?i)^ann$": 4, "^\\p{L}[\\p{L}\\p{N} ]{0,99}$": 8,
		"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$": 6, "^#([0-9a-f]{3}){1,2}$": 8, "": 8, "^(a{0,30}){0,30}$": 2000, ".*a.{0,100}z": 220,
	} {
		re, err := compilePattern(src)
		if err != nil {
			t.Fatal(src, err)
		}
		if got := re.(*pattern).width; got > most {
			t.Errorf("%s: width %d, want at most %d", src, got, most)
		}
	}
	re, err := compilePattern("([a-f]{1,30}[a-d]{1,30}){1,15}z")
	if err != nil {
		t.Fatal(err)
	}
	if got := re.(*pattern).width; got < 1000 {
		t.Errorf("a pattern that is everywhere at once has the width %d", got)
	}
}
