package inbox

import (
	"fmt"
	"slices"
	"testing"
)

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  Marks
		epoch   string
		upto    uint64
		offsets []uint64
		want    string
	}{
		{"the first", Marks{}, "a", 0, []uint64{3}, "{a 0 [3]}"},
		{"all", Marks{"a", 1, []uint64{3, 9}}, "a", 5, nil, "{a 5 [9]}"},
		{"late", Marks{"a", 5, []uint64{9}}, "a", 2, []uint64{4, 9, 8}, "{a 5 [8 9]}"},
		{"exactly up to one", Marks{"a", 1, []uint64{3, 4}}, "a", 4, nil, "{a 4 []}"},
		{"another epoch", Marks{"a", 50, []uint64{60}}, "b", 1, []uint64{2}, "{b 1 [2]}"},
	} {
		if c.before.read(c.epoch, c.upto, c.offsets).Also == nil {
			t.Errorf("%s: JSON would call the list null", c.name)
		}
		if got := fmt.Sprint(c.before.read(c.epoch, c.upto, c.offsets)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestMarksAreBounded: whatever is marked, in any order, what is read stays so.
func TestMarksAreBounded(t *testing.T) {
	var m Marks
	for n := range uint64(1000) {
		offset := (n*7)%1000 + 1
		m = m.read("a", 0, []uint64{offset})
		if len(m.Also) > maxAlso {
			t.Fatalf("%d marks", len(m.Also))
		}
		if _, found := slices.BinarySearch(m.Also, offset); !found && offset > m.Upto {
			t.Fatalf("%d is not read: %v", offset, m)
		}
	}
	if m = m.read("a", 1000, nil); m.Upto != 1000 || len(m.Also) != 0 {
		t.Errorf("%v", m)
	}
}
