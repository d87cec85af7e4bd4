package protocol

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Texts where JSON libraries go different ways, and some where they must not.
var jsonTexts = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `truex`, `0`, `-0`, `01`, `-`, `+1`, `.5`, `1.`, `1.5`, `1e`, `1e5`, `1E+5`, `1e-5`, `1e+`, `0e0`, `0x1`,
	`1e999`, `1e-999`, `1e0000000005`, `1e1000`, `Infinity`, `NaN`,
	`""`, `"a"`, `"`, `"a`, `"\"`, `"\\"`, `"\/"`, `"\b\f\n\r\t"`, `"\v"`, `"\u00e9"`, `"\u00"`, `"\uzzzz"`, `"\U00e9"`,
	`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\ud83d\u0041"`, `"\ud83d\n"`, `"\ud83d\ud83d\ude00"`, `"\uD83D\uDE00"`,
	"\"\x00\"", "\"\x1f\"", "\"\x7f\"", "\"\n\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xe2\x82\"", "\"\xed\xa0\x80\"", "\"é日😀\u2028\"", "\"1234567\xff\"", `"12345678\n"`,
	`[]`, `[ ]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[1`, `]`, `[[]]`, `[}`,
	`{}`, `{ }`, `{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a":1`, `{"a"`, `{"`, `{]`,
	`{"a":1,"a":2}`, `{"a":1,"b":{"a":1}}`, `{"a":{"b":1},"b":{"b":1,"b":2}}`, `{"a":1,"\u0061":2}`, `{"":1,"":2}`, `[{"a":1},{"a":1}]`,
	`{"é":1,"\u00e9":2}`, "{\"e\u0301\":1,\"é\":2}",
	`1 2`, `{} {}`, "\ufeff1", `1//`, "1\x00", " \t\r\n1 \t\r\n", "\v1", "\u00a01",
}

// ValidJSON takes nothing that encoding/json refuses, and refuses of what that
// takes only what it says it does.
func checkAgainstStandard(t *testing.T, p []byte) {
	t.Helper()
	err := ValidJSON(p)
	std := json.Valid(p)
	if err == nil && !std {
		t.Fatalf("%q: accepted, but it is not JSON", p)
	}
	if err != nil && std {
		stricter := []string{"invalid UTF-8", "surrogate", "second time", "128 bytes", "beyond 999", "inside one another"}
		for _, s := range stricter {
			if strings.Contains(err.Error(), s) {
				return
			}
		}
		t.Fatalf("%q: %v, but it is JSON", p, err)
	}
}

func TestValidJSON(t *testing.T) {
	for _, s := range jsonTexts {
		checkAgainstStandard(t, []byte(s))
		// The same inside something, so that it does not begin and end with the text.
		checkAgainstStandard(t, []byte(`{"x":[`+s+`],"y":"12345678"}`))
	}
	for _, s := range []string{`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"":1,"":2}`, `"\ud83d"`, `"\ude00"`, "\"\xff\"", "\"\xed\xa0\x80\"", `1e1000`,
		`{"a":{"b":1},"b":{"b":1,"b":2}}`, `{"é":1,"\u00e9":2}`, strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat("1", 129)} {
		if ValidJSON([]byte(s)) == nil {
			t.Errorf("%s was accepted", s)
		}
	}
	for _, s := range []string{"{\"e\u0301\":1,\"é\":2}", `[{"a":1},{"a":1}]`, `{"a":1,"b":{"a":1}}`, strings.Repeat("[", 64) + strings.Repeat("]", 64),
		strings.Repeat("1", 128), `1e0000000999`, `-1E-999`} {
		if err := ValidJSON([]byte(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// A fault is found wherever it stands among the bytes that are gone over eight at
// a time.
func TestStringFaultsAtEveryPlace(t *testing.T) {
	for _, fault := range []string{"\x00", "\x1f", "\xff", "\x80", "\\x", "\""} {
		for before := range 40 {
			for after := range 20 {
				s := `["` + strings.Repeat("a", before) + fault + strings.Repeat("b", after) + `"]`
				err := ValidJSON([]byte(s))
				if err == nil {
					t.Fatalf("%q was accepted", s)
				}
				at := fmt.Sprintf("at byte %d", before+2)
				if fault == "\"" {
					at = fmt.Sprintf("at byte %d", before+3)
				}
				if !strings.HasSuffix(err.Error(), at) {
					t.Fatalf("%q: %v, want it %s", s, err, at)
				}
			}
		}
	}
	for c := ' '; c < 0x180; c++ {
		if s := "\"1234567" + string(c) + "1234567\""; c != '"' && c != '\\' && ValidJSON([]byte(s)) != nil {
			t.Errorf("%q was refused", s)
		}
	}
}

// runtimesOwn is what the runtime may allocate meanwhile, for itself.
const runtimesOwn = 64 << 10

// measure returns what f allocates and how long it takes.
func measure(f func()) (bytes, mallocs uint64, took time.Duration) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took = time.Since(start)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, after.Mallocs - before.Mallocs, took
}

// members writes an object with n names that do not come twice.
func members(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"name%d":0`, i)
	}
	b.WriteByte('}')
	return b.String()
}

// Texts that are made to be dear. What they may cost is given in bytes that are
// allocated, which tells more surely than time; the time is in the log.
func TestHostileTexts(t *testing.T) {
	const mega = 1 << 20
	many := members(50_000)
	for _, c := range []struct {
		name, text string
		valid      bool
		limit      uint64
	}{
		{"8 MB of newlines", strings.Repeat("\n", 8*mega), false, 0},
		{"8 MB of newlines and then a value", strings.Repeat("\n", 8*mega) + "1", true, 0},
		{"10^6 arrays", strings.Repeat("[", 1e6), false, 0},
		{"10^6 objects", strings.Repeat(`{"a":`, 1e6), false, 0},
		{"a number of 8 MB", strings.Repeat("9", 8*mega), false, 0},
		{"a fraction of 8 MB", "0." + strings.Repeat("9", 8*mega), false, 0},
		{"a huge exponent", "1e" + strings.Repeat("9", 100), false, 0},
		{"a string of 8 MB", `"` + strings.Repeat("a", 8*mega) + `"`, true, 0},
		{"a string of 8 MB without an end", `"` + strings.Repeat("a", 8*mega), false, 0},
		{"escapes of 1 MB", `"` + strings.Repeat(`\n`, mega/2) + `"`, true, 0},
		{"a name of 1 MB twice", `{"` + strings.Repeat("a", mega) + `":1,"` + strings.Repeat("a", mega) + `":1}`, false, 0},
		{"the same name 100,000 times", `{` + strings.Repeat(`"a":1,`, 1e5) + `"a":1}`, false, 0},
		{"100,000 small objects", `[` + strings.Repeat(`{"a":1,"b":2},`, 1e5) + `0]`, true, 0},
		{"10,000 objects of 33 names", `[` + strings.Repeat(members(33)+`,`, 10_000) + `0]`, true, 0},
		{"50,000 names", many, true, 8 * uint64(len(many))},
		{"50,000 names and the last of them twice", many[:len(many)-1] + `,"name49999":0}`, false, 8 * uint64(len(many))},
		{"50,000 names and then many small objects", `[` + many + strings.Repeat(`,`+members(40), 2000) + `]`, true, 8 * uint64(len(many))},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := []byte(c.text)
			var err error
			bytes, _, took := measure(func() { err = ValidJSON(p) })
			t.Logf("%d bytes in %v: %v, %d bytes allocated", len(p), took, err, bytes)
			if (err == nil) != c.valid {
				t.Errorf("error %v", err)
			}
			if bytes > c.limit+runtimesOwn {
				t.Errorf("%d bytes allocated, at most %d are in order", bytes, c.limit)
			}
			// The same as data of a message.
			var m Message
			p = []byte(`{"type":"a","data":` + c.text + `}`)
			bytes, _, _ = measure(func() { err = DecodeJSON(p, &m) })
			if (err == nil) != c.valid || bytes > c.limit+runtimesOwn {
				t.Errorf("as data: error %v, %d bytes allocated", err, bytes)
			}
		})
	}
}

// Twice as many names may take about twice as long, not four times. This counts
// the steps of the search instead of the time.
func TestKeysetIsLinear(t *testing.T) {
	steps := func(n int) (most int) {
		var k keyset
		for i := range n {
			if !k.add(fmt.Sprintf("name%d", i), 0) {
				t.Fatalf("name%d came twice", i)
			}
		}
		_, slots := k.tables()
		run := 0
		for _, s := range slots {
			if run++; s == 0 {
				run = 0
			}
			most = max(most, run)
		}
		return most
	}
	// The longest run in a half full table grows with the logarithm.
	if most := steps(100_000); most > 150 {
		t.Errorf("a search of %d steps among 100,000 names", most)
	}
}

func TestKeyset(t *testing.T) {
	var k keyset
	add := func(name string, base int, want bool) {
		t.Helper()
		if got := k.add(name, base); got != want {
			t.Fatalf("%s at %d: %v", name, base, got)
		}
	}
	// Objects inside one another, each with enough names to make the tables grow
	// while outer objects are open.
	var bases []int
	for depth := range 10 {
		bases = append(bases, k.n)
		for i := range 20 {
			add(fmt.Sprint("n", i), k.n-i, true)
			add(fmt.Sprint("n", i), k.n-i-1, false)
		}
		add(fmt.Sprint("depth", depth), bases[depth], true)
	}
	for depth := 9; depth >= 0; depth-- {
		add("n7", bases[depth], false)
		add(fmt.Sprint("depth", depth), bases[depth], false)
		add("after", bases[depth], true)
		k.cut(bases[depth])
	}
	if _, slots := k.tables(); k.n != 0 {
		t.Errorf("%d names left", k.n)
	} else {
		for _, s := range slots {
			if s != 0 {
				t.Fatal("a slot was not emptied")
			}
		}
	}
}

// TestByteOrderMark: what some editors and shells put before a text is named,
// since nobody sees it.
func TestByteOrderMark(t *testing.T) {
	const text = "\uFEFF" + `{"type":"ping"}`
	var m Message
	for _, err := range []error{ValidJSON([]byte(text)), DecodeJSON([]byte(text), &m)} {
		if err == nil || !strings.Contains(err.Error(), "byte order mark") {
			t.Error(err)
		}
	}
}
