package main

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSample goes through all changes of a small package: what its tests notice
// is killed, what never ends is told apart, and the rest is listed.
func TestSample(t *testing.T) {
	list := filepath.Join(t.TempDir(), "survivors.txt")
	key := `testdata/sample/sample.go Clamp "n < low → <=" #1`
	if err := os.WriteFile(list, []byte("# why\n\n"+key+" # both give low\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options{n: 100, parallel: 2, seed: 3, survivors: list, slowest: 3 * time.Second, progress: new(bytes.Buffer)}
	r, err := o.mutate(t.Context(), "./testdata/sample")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r.print(&out)
	t.Log(out.String())
	for _, want := range []string{
		key + " # both give low",
		`testdata/sample/sample.go Clamp "n > high → >=" #1 # ?`,
		`testdata/sample/sample.go Even "return true → the opposite" #1`,
		`testdata/sample/sample.go Unused "a && !b → ||" #1`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %s", want)
		}
	}
	if r.count != [outcomes]int{survived: 2, unreached: 3, killed: 7, timedOut: 1} {
		t.Errorf("%v", r.count)
	}
	before := r.percent()
	r.reasons = nil
	if r.percent() >= before {
		t.Error("a reason does not count")
	}
}

// TestChoice: the same seed chooses the same changes.
func TestChoice(t *testing.T) {
	keys := func(seed uint64) string {
		s := &subject{options: options{n: 5, seed: seed}, src: make(map[string][]byte), chosen: make(map[int]*point), dir: t.TempDir()}
		if err := s.load("./testdata/sample"); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, p := range s.all[:5] {
			all = append(all, p.key())
		}
		return strings.Join(all, "\n")
	}
	if first := keys(1); first != keys(1) || first == keys(2) {
		t.Error("the choice does not follow the seed")
	}
}

// TestWeave: the changes of a file can all be in it at once, and lines keep
// their numbers.
func TestWeave(t *testing.T) {
	name := "run.go"
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	points, err := pointsOf(name, src)
	if err != nil || len(points) < 30 {
		t.Fatal(len(points), err)
	}
	all := make(map[int]*point)
	for i, p := range points {
		all[i+1] = p
	}
	woven := weave(src, all)
	if _, err := parser.ParseFile(token.NewFileSet(), name, woven, 0); err != nil {
		t.Errorf("%v\n%s", err, woven)
	}
	if bytes.Count(woven, []byte("\n")) != bytes.Count(src, []byte("\n")) {
		t.Error("lines moved")
	}
}

// TestSlowTests are those of a second or more, or with a part that is so slow.
func TestSlowTests(t *testing.T) {
	output := `--- PASS: TestA (0.99s)
--- PASS: TestB (1.00s)
--- PASS: TestC (0.00s)
    --- PASS: TestC/x_y (5.00s)
    --- PASS: TestC/z (12.50s)
`
	if got := slowTests(output); got != "^(TestB|TestC)$" {
		t.Error(got)
	}
	if got := slowTests("--- PASS: TestA (0.10s)\n"); got != "" {
		t.Error(got)
	}
}
