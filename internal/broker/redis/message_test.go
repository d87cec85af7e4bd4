package redis

import (
	"strings"
	"testing"

	"ringdown/internal/broker"
	"ringdown/protocol"
)

func TestMessageComesBack(t *testing.T) {
	for _, m := range []protocol.Message{
		{Type: "e", Channel: "c", Data: []byte(`{"a":[1,"ü"]}`), Key: "k", From: "ann \"x\""},
		{Type: "e", Channel: "c", Data: []byte("\x00\n\xff"), Binary: true},
		{Type: "e", Channel: "c"},
	} {
		e, err := decode(encode(&broker.Publication{Message: m}), 7, 99, false)
		if err != nil {
			t.Fatal(err)
		}
		var got protocol.Message
		if err := e.Message(&got); err != nil {
			t.Fatal(err)
		}
		if got.Type != m.Type || got.Channel != m.Channel || string(got.Data) != string(m.Data) || got.Binary != m.Binary ||
			got.Key != m.Key || got.From != m.From || got.Offset != 7 || got.Prev != 6 || got.Time != 99 {
			t.Errorf("%+v came back as %+v", m, got)
		}
	}
}

func TestNews(t *testing.T) {
	n, err := parseNews("R1k ep 12 1700000000000 aa bb\nj{}\n")
	if err != nil || n != (news{kind: 'k', epoch: "ep", offset: 12, time: 1700000000000, before: "aa", print: "bb", message: "j{}\n"}) {
		t.Errorf("kept: %+v, %v", n, err)
	}
	n, err = parseNews("R1e 5 1\nj{}")
	if err != nil || n != (news{kind: 'e', time: 5, ephemeral: true, message: "j{}"}) {
		t.Errorf("not kept: %+v, %v", n, err)
	}
	for _, bad := range []string{"", "R1", "R1k ", "R0k ep 12 5 aa bb\nx", "R1k ep 0 5 aa bb\nx", "R1k ep 012 5 aa bb\nx", "R1k ep -1 5 aa bb\nx",
		"R1k ep 9007199254740992 5 aa bb\nx", "R1k ep 1 5 aa\nx", "R1k ep 1 5 aa bb cc\nx", "R1k  1 5 aa bb\nx", "R1k ep 1 5 aa " + strings.Repeat("b", 17) + "\nx",
		"R1e 5\nx", "R1e 5 10\nx", "R1e x 1\ny", "R1n ", "R1n ep\nx", "R1x ep", "R2k ep 1 5 aa bb\nx"} {
		if n, err := parseNews(bad); err == nil {
			t.Errorf("%q was taken for %+v", bad, n)
		}
	}
}

// FuzzHostile (E16): whatever is in Redis, nothing panics, and what is taken is a
// message that a client can be given.
func FuzzHostile(f *testing.F) {
	for _, s := range []string{"R1k ep 12 1700000000000 aa bb\nj" + `{"type":"e","channel":"c"}`, "R1e 5 1\nb" + `{"type":"e","channel":"c"}` + "\n\x00", "R1n ep",
		"12 5 j" + `{"type":"e","channel":"c","data":null,"key":"k"}`, `tok {"id":"x"}`, "R1c node\npayload", "j{", "bx"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseNews(s); err == nil && n.kind != 'n' {
			if e, err := decode(n.message, n.offset, n.time, n.ephemeral); err == nil {
				var m protocol.Message
				if err := e.Message(&m); err != nil || m.Channel == "" || m.Offset != n.offset {
					t.Fatalf("%q became %+v, %v", s, m, err)
				}
			}
		}
		if e, err := decodeKept(s); err == nil && e.Offset == 0 {
			t.Fatalf("%q became an entry without an offset", s)
		}
		if m, err := decodeMember(s); err == nil && m.ID == "" {
			t.Fatalf("%q became a member without an id", s)
		}
		if from, _, ok := parseControl(s); ok && (from == "" || len(from) > maxNodeName) {
			t.Fatalf("%q is from %q", s, from)
		}
	})
}
