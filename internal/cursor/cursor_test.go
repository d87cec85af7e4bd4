package cursor

import (
	"fmt"
	"strings"
	"testing"

	"ringdown/protocol"
)

func TestRoundTrip(t *testing.T) {
	var w Writer
	for _, n := range []int{0, 1, 2, 100, MaxChannels} {
		w.Begin()
		for i := range n {
			w.Add(KeyOf(fmt.Sprint("channel:", i)), "RwVTa9JS", uint64(i)*1_000_003)
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
			if at := c.Find(fmt.Sprint("channel:", i)); at == nil || *at != (protocol.Position{Epoch: "RwVTa9JS", Offset: uint64(i) * 1_000_003}) {
				t.Errorf("position %d: %v", i, at)
			}
		}
		if at := c.Find("another"); at != nil {
			t.Errorf("a channel that is not in it: %v", at)
		}
	}
}

// TestTooMuch: what cannot be carried is left out, and the rest can be read.
func TestTooMuch(t *testing.T) {
	var w Writer
	w.Begin()
	w.Add(1, "", 1)
	w.Add(2, strings.Repeat("e", maxEpoch+1), 1)
	if !w.Empty() {
		t.Error("an epoch that cannot be carried is in it")
	}
	for i := range 1000 {
		w.Add(Key(i), strings.Repeat("e", maxEpoch), protocol.MaxOffset)
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
	w.Add(KeyOf("a"), "epoch", 300)
	good := string(w.Append(nil))
	w.Add(KeyOf("a"), "epoch", 300)
	twice := string(w.Append(nil))
	for name, text := range map[string]string{
		"cut":             good[:len(good)-3],
		"longer":          good + "AAAA",
		"another version": "Ag",
		"stray bits":      "AR",
		"padding":         "AQ==",
		"not base64":      "!!!!",
		"a line break":    good + "\n",
		"one twice":       twice,
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
			w.Add(KeyOf(fmt.Sprint(i)), "epoch", uint64(i)<<40)
		}
		f.Add(string(w.Append(nil)))
	}
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
		for k, at := range c {
			if at.Offset > protocol.MaxOffset || at.Epoch == "" {
				t.Fatalf("%v", at)
			}
			w.Add(k, at.Epoch, at.Offset)
		}
		again, err := Parse(string(w.Append(nil)))
		if err != nil || len(again) != len(c) {
			t.Fatalf("%d positions became %d: %v", len(c), len(again), err)
		}
		for k, at := range c {
			if again[k] != at {
				t.Fatalf("%v became %v", at, again[k])
			}
		}
	})
}
