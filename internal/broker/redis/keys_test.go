package redis

import (
	"strings"
	"testing"
)

// FuzzTag (B09): every name has one tag and every tag one name, so no two names
// share keys; and no tag breaks out of its braces or is that of the nodes.
func FuzzTag(f *testing.F) {
	for _, name := range []string{"", "chat:42", "a{b}c", "%", "%25", "!", "ü", "\x00", "a b", "$presence:chat:42", "%zz", "user@x/y=z,~"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, s string) {
		made := tag(s)
		if made == "" || made == "!" || strings.ContainsAny(made, "{}") {
			t.Fatalf("%q has the tag %q", s, made)
		}
		if back, ok := untag(made); !ok || back != s {
			t.Fatalf("%q became %q and then %q", s, made, back)
		}
		if name, ok := untag(s); ok && tag(name) != s {
			t.Fatalf("the tags %q and %q stand for %q", s, tag(name), name)
		}
	})
}

func TestPrefixKeepsSlots(t *testing.T) {
	if _, err := New(Options{Addresses: []string{"x:1"}, Prefix: "a{b}"}); err == nil {
		t.Error("a prefix with braces was taken")
	}
	if _, err := New(Options{}); err == nil {
		t.Error("no address was taken")
	}
}
