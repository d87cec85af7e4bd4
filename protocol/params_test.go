package protocol

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
)

func TestMembers(t *testing.T) {
	var got []string
	read := func(name string, value []byte) error {
		got = append(got, name+"="+string(value))
		return nil
	}
	if err := Members("data", []byte(` {"a" : 1, "A":[2], "\u0062":{"c":3} } `), read); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a=1", "A=[2]", `b={"c":3}`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := Members("data", []byte(`{}`), func(string, []byte) error { t.Error("a member of nothing"); return nil }); err != nil {
		t.Error(err)
	}
	for text, want := range map[string]string{
		``:                `in the field data: the JSON text ends too early, at byte 0`,
		`[1]`:             `data must be an object, not an array`,
		` null`:           `data must be an object, not null`,
		`{"a":1,"a":2}`:   `in the field data: the same name for a second time in one object, at byte 7`,
		`{"a":1} {"b":2}`: `in the field data: there is more after the end of the JSON value, at byte 8`,
	} {
		if err := Members("data", []byte(text), func(string, []byte) error { return nil }); err == nil || AsError(err).Message != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	// The first fault ends it.
	refused := Errorf(CodeConflict, "no")
	calls := 0
	err := Members("data", []byte(`{"a":1,"b":2}`), func(string, []byte) error { calls++; return refused })
	if !errors.Is(err, refused) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestMemberValues(t *testing.T) {
	if n, err := Whole("n", []byte("18446744073709551615")); err != nil || *n != math.MaxUint64 {
		t.Error(n, err)
	}
	if n, err := Number("n", []byte("-2.5e1")); err != nil || *n != -25 {
		t.Error(n, err)
	}
	if n, err := Number("n", []byte("1e999")); err != nil || !math.IsInf(*n, 1) {
		t.Error(n, err)
	}
	if s, err := Text("s", []byte(`"gr\u00f6\u00dfe"`), 7); err != nil || s != "größe" {
		t.Error(s, err)
	}
	null := []byte("null")
	if n, err := Whole("n", null); n != nil || err != nil {
		t.Error(n, err)
	}
	if n, err := Number("n", null); n != nil || err != nil {
		t.Error(n, err)
	}
	if s, err := Text("s", null, 0); s != "" || err != nil {
		t.Error(s, err)
	}
	for _, value := range []string{`"1"`, `1.5`, `-1`, `18446744073709551616`, `true`, `{}`} {
		if n, err := Whole("n", []byte(value)); err == nil {
			t.Errorf("%s is the whole number %v", value, *n)
		}
	}
	for _, value := range []string{`"1"`, `true`, `[]`} {
		if n, err := Number("n", []byte(value)); err == nil {
			t.Errorf("%s is the number %v", value, *n)
		}
	}
	for _, value := range []string{`1`, `"ab"`, `{}`} {
		if s, err := Text("s", []byte(value), 1); err == nil {
			t.Errorf("%s is the text %q", value, s)
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, s := range jsonTexts {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"last":20,"LAST":21,"rate":0.5}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		got := map[string]json.RawMessage{}
		err := Members("data", p, func(name string, value []byte) error {
			got[name] = value
			_, _ = Whole(name, value)
			_, _ = Number(name, value)
			_, _ = Text(name, value, 8)
			return nil
		})
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Code != CodeBadRequest {
				t.Fatalf("%q: %v", p, err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(p, &want); err != nil || len(got) != len(want) {
			t.Fatalf("%q: %d members, by encoding/json %d, error %v", p, len(got), len(want), err)
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Fatalf("%q: %s is %s, by encoding/json %s", p, name, got[name], value)
			}
		}
	})
}
