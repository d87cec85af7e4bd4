package cursor

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"ringdown/protocol"
)

func at(epoch string, offset uint64) Place {
	return Place{Position: protocol.Position{Epoch: epoch, Offset: offset}}
}

func inState(epoch string, offset, given uint64) Place {
	p := at(epoch, offset)
	p.Within, p.Given = true, given
	return p
}

func TestRoundTrip(t *testing.T) {
	var w Writer
	for _, n := range []int{0, 1, 2, 100, MaxChannels} {
		w.Begin()
		for i := range n {
			w.Add(KeyOf(fmt.Sprint("channel:", i)), at("RwVTa9JS", uint64(i)*1_000_003))
		}
		if w.Empty() != (n == 0) {
			t.Errorf("%d positions: Empty says %v", n, w.Empty())
		}
		text := string(w.Append(nil))
		if len(text) > MaxText {
			t.Errorf("%d positions take %d bytes", n, len(text))
		}
		c, err := Parse(text)
		if err != nil || len(c) != n {
			t.Fatalf("%d positions: %d, %v", n, len(c), err)
		}
		for i := range n {
			if p := c.Find(fmt.Sprint("channel:", i)); p == nil || *p != at("RwVTa9JS", uint64(i)*1_000_003) {
				t.Errorf("position %d: %v", i, p)
			}
		}
		if p := c.Find("another"); p != nil {
			t.Errorf("a channel that is not in it: %v", p)
		}
	}
}

// TestWithin: a place within a state stands beside others.
func TestWithin(t *testing.T) {
	var w Writer
	w.Begin()
	want := Cursor{1: inState("e", 300, 200), 2: at("epoch", 7), 3: inState("f", 0, 0)}
	for k, p := range want {
		w.Add(k, p)
	}
	if c, err := Parse(string(w.Append(nil))); err != nil || !maps.Equal(c, want) {
		t.Errorf("%v %v", c, err)
	}
}

// TestTooMuch: what cannot be carried is left out, and the rest can be read.
func TestTooMuch(t *testing.T) {
	var w Writer
	w.Begin()
	w.Add(1, at("", 1))
	w.Add(2, at(strings.Repeat("e", maxEpoch+1), 1))
	if !w.Empty() {
		t.Error("an epoch that cannot be carried is in it")
	}
	for i := range 1000 {
		w.Add(Key(i), at(strings.Repeat("e", maxEpoch), protocol.MaxOffset))
	}
	text := string(w.Append(nil))
	if len(text) > MaxText {
		t.Fatalf("%d bytes", len(text))
	}
	if c, err := Parse(text); err != nil || len(c) < 60 || len(c) > MaxChannels {
		t.Errorf("%d positions, %v", len(c), err)
	}
}

func TestForged(t *testing.T) {
	var w Writer
	w.Begin()
	w.Add(KeyOf("a"), at("epoch", 300))
	good := string(w.Append(nil))
	w.Add(KeyOf("a"), at("epoch", 300))
	twice := string(w.Append(nil))
	w.Begin()
	w.Add(KeyOf("a"), inState("epoch", 300, 301))
	beyond := string(w.Append(nil))
	w.Begin()
	w.Add(KeyOf("a"), inState("epoch", 300, 1))
	halved := string(w.Append(nil))
	for name, text := range map[string]string{
		"cut":             good[:len(good)-3],
		"longer":          good + "AAAA",
		"another version": "Ag",
		"stray bits":      "AR",
		"padding":         "AQ==",
		"not base64":      "!!!!",
		"a line break":    good + "\n",
		"one twice":       twice,
		"more than there": beyond,
		"half of a place": halved[:len(halved)-2],
		"too long":        strings.Repeat("A", MaxText+1),
	} {
		if c, err := Parse(text); err == nil {
			t.Errorf("%s: taken for %v", name, c)
		} else if e := protocol.AsError(err); e.Code != protocol.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := Parse(""); err != nil || c != nil {
		t.Errorf("none: %v, %v", c, err)
	}
}

// FuzzParse: whatever is taken can be written again, and is read as the same.
func FuzzParse(f *testing.F) {
	var w Writer
	for n := range 3 {
		w.Begin()
		for i := range n {
			w.Add(KeyOf(fmt.Sprint(i)), at("epoch", uint64(i)<<40))
		}
		f.Add(string(w.Append(nil)))
	}
	w.Add(KeyOf("state"), inState("epoch", 1<<40, 1<<20))
	f.Add(string(w.Append(nil)))
	f.Add("AQ")
	f.Add("AQAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if len(c) > MaxChannels {
			t.Fatalf("%d positions", len(c))
		}
		w.Begin()
		for k, p := range c {
			if p.Offset > protocol.MaxOffset || p.Epoch == "" || p.Given > p.Offset {
				t.Fatalf("%v", p)
			}
			w.Add(k, p)
		}
		again, err := Parse(string(w.Append(nil)))
		if err != nil || len(again) != len(c) {
			t.Fatalf("%d positions became %d: %v", len(c), len(again), err)
		}
		for k, p := range c {
			if again[k] != p {
				t.Fatalf("%v became %v", p, again[k])
			}
		}
	})
}
