package schema

import (
	"encoding/json"
	"math/big"
	"reflect"
	"testing"
)

// TestNumbers compares with fractions of big integers.
func TestNumbers(t *testing.T) {
	literals := []string{
		"0", "-0", "0.0", "0e5", "1", "-1", "1.0", "10", "1e1", "100e-1", "0.1", "0.10", "1e-1", "-0.1", "12.5", "125e-1", "1.25E+1", "99", "100", "101", "0.99", "1e999", "1e-999", "-1e999",
		"9007199254740993", "9007199254740992.0", "123456789012345678901234567890", "123456789012345678901234567891", "999999999999999999", "1000000000000000000", "-999999999999999999.5",
	}
	for _, a := range literals {
		x, _ := new(big.Rat).SetString(a)
		if got := whole([]byte(a)); got != x.IsInt() {
			t.Errorf("whole(%s) = %v", a, got)
		}
		for _, b := range literals {
			y, _ := new(big.Rat).SetString(b)
			want := x.Cmp(y)
			if got := newBound(y).compare([]byte(a)); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("%s with %s: %d, want %d", a, b, got, want)
			}
			if same := string(appendNumber(nil, []byte(a))) == string(appendNumber(nil, []byte(b))); same != (want == 0) {
				t.Errorf("%s and %s have the same form: %v", a, b, same)
			}
			if y.Sign() > 0 {
				if got, _ := newBound(y).divides([]byte(a)); got != new(big.Rat).Quo(x, y).IsInt() {
					t.Errorf("%s is a multiple of %s: %v", a, b, got)
				}
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	var tp tape
	if err := tp.read([]byte(` {"a" : [1, {"b/~" : [[], "x"]}], "c": null} `)); err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"", "", "/a", "/a/0", "/a/1", "/a/1", "/a/1/b~1~0", "/a/1/b~1~0/0", "/a/1/b~1~0/1", "", "/c"} {
		tokens, isName := tp.place(int32(n))
		if got := pointer(tokens); got != want || isName != (n == 1 || n == 5 || n == 9) {
			t.Errorf("value %d is at %q (a name: %v), want %q", n, got, isName, want)
		}
	}
}

// FuzzTape: what is read means the same written in its canonical form, and
// nothing makes it panic.
func FuzzTape(f *testing.F) {
	for _, src := range []string{`{"a":[1,2.50,"x\n\u00e4",null,true],"b":{}}`, `[[[]]]`, `"`, `{"a"`, `[1 2]`, `1e5`, `tru`, `{"a":1,}`, "\"\\", `-`} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var tp, again tape
		if tp.read(src) != nil {
			return
		}
		form := tp.canonical(nil, 0)
		for n := range tp.values {
			tp.place(int32(n))
		}
		var want any
		if json.Unmarshal(src, &want) != nil {
			return
		}
		if tp.values[0].kind == text {
			var got any
			if err := json.Unmarshal(form, &got); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s became %s", src, form)
			}
		}
		if again.read(src) != nil || string(again.canonical(nil, 0)) != string(form) {
			t.Errorf("%s is not always %s", src, form)
		}
	})
}
