package sample

import "testing"

func TestSample(t *testing.T) {
	for _, c := range [][4]int{{1, 2, 5, 2}, {2, 2, 5, 2}, {6, 2, 5, 5}, {5, 2, 5, 5}, {3, 2, 5, 3}, {9, 8, 3, 9}, {9, 4, 4, 4}} {
		if got := Clamp(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%v: %d", c, got)
		}
	}
	if !Even(4) || Even(3) {
		t.Error("Even")
	}
	if Wait(3) != 3 {
		t.Error("Wait")
	}
}
