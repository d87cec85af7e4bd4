// Command testsummary reads the output of go test -json, shows what failed and
// what was skipped and why, and ends with one line of counts. It exits with 1 if
// anything failed.
//
//	go test -json ./... | go run ./scripts/testsummary
//
// With -again, tests that failed are run once more, each package on its own, and
// one that passes then is listed as unsteady and counts as passed: a machine that
// stood still for a second is no reason to throw work away, and the list is there
// to be looked into. What the race detector or the checker of histories found is
// found, and a package that died stays dead: those are not run again. But a package
// in which the race detector itself crashed (golang/go#78156, seen under synctest) is
// run again whole: that says nothing of the code it watched.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	again := flag.String("again", "", "the command that runs tests again, like 'go test -race -json'")
	flag.Parse()
	s := newSummary()
	s.read(os.Stdin)
	if *again != "" {
		s.again(strings.Fields(*again))
	}
	if !s.print(os.Stdout) {
		os.Exit(1)
	}
}

// test names a test, or with Test empty what a package says outside of them.
type test struct{ Package, Test string }

func (t test) String() string { return strings.TrimSuffix(t.Package+" "+t.Test, " ") }

func compare(a, b test) int {
	return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Test, b.Test))
}

// outcome is what is known of a test that has not passed.
type outcome struct {
	output []string
	runs   bool // it began and has not ended
}

type summary struct {
	outcomes map[test]*outcome
	failed   map[test]bool
	died     map[string]bool // packages that ended while a test ran, or did not build
	skipped  []test
	unsteady []test
	passed   map[string]int // by package
}

func newSummary() *summary {
	return &summary{outcomes: map[test]*outcome{}, failed: map[test]bool{}, died: map[string]bool{}, passed: map[string]int{}}
}

// read takes the events of one run of go test -json.
func (s *summary) read(from io.Reader) {
	in := bufio.NewScanner(from)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e struct {
			test
			Action, Output string
			Elapsed        float64
		}
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // what the tool says outside of a test
			continue
		}
		o := s.outcomes[e.test]
		if o == nil {
			o = &outcome{}
			s.outcomes[e.test] = o
		}
		switch e.Action {
		case "run":
			o.runs = true
		case "output", "build-output":
			o.output = append(o.output, e.Output)
		case "pass":
			delete(s.outcomes, e.test)
			if e.Test != "" {
				s.passed[e.Package]++
			} else {
				fmt.Printf("ok    %-45s %6.1f s\n", e.Package, e.Elapsed)
			}
		case "fail", "build-fail":
			o.runs = false
			s.failed[e.test] = true
			if e.Test == "" {
				fmt.Printf("FAIL  %s\n", e.Package)
				s.bury(e.Package)
			}
		case "skip":
			o.runs = false
			if e.Test != "" {
				s.skipped = append(s.skipped, e.test)
			}
		}
	}
}

// bury looks whether a package that failed has died, and counts what it took along.
func (s *summary) bury(name string) {
	dead := true
	for t := range s.failed {
		dead = dead && (t.Package != name || t.Test == "")
	}
	for t, o := range s.outcomes {
		if t.Package == name && o.runs {
			s.failed[t], o.runs, dead = true, false, true
		}
	}
	s.died[name] = dead
}

// detectorCrashed reports whether what was printed tells of a crash in the race
// detector: a signal outside of Go code, of which this module has no other, or a
// check of its own. A fault of Go code is printed as a panic.
func detectorCrashed(text string) bool {
	return strings.Contains(text, "SIGSEGV: segmentation violation\nPC=") || strings.Contains(text, "ThreadSanitizer: CHECK failed")
}

// again runs the tests that failed once more where that says anything.
func (s *summary) again(command []string) {
	tests := map[string][]string{}
	final, whole := map[string]bool{}, map[string]bool{}
	for t := range s.failed {
		text := strings.Join(s.outcomes[t].output, "")
		whole[t.Package] = whole[t.Package] || s.died[t.Package] && detectorCrashed(text)
		if strings.Contains(text, "DATA RACE") || strings.Contains(text, "judge it again with") {
			final[t.Package] = true
		}
		if top, _, _ := strings.Cut(t.Test, "/"); top != "" && !slices.Contains(tests[t.Package], top) {
			tests[t.Package] = append(tests[t.Package], top)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		if final[name] || s.died[name] && !whole[name] {
			continue
		}
		slices.Sort(tests[name])
		fmt.Printf("again %s: %s\n", name, strings.Join(tests[name], ", "))
		args := append(slices.Clone(command[1:]), name)
		if !whole[name] {
			args = append(args[:len(args)-1], "-run", "^("+strings.Join(tests[name], "|")+")$", name)
		}
		out, err := exec.Command(command[0], args...).Output()
		second := newSummary()
		second.read(strings.NewReader(string(out)))
		if err != nil || len(second.failed) > 0 || second.passed[name] == 0 {
			for t, o := range second.outcomes {
				if first := s.outcomes[t]; first != nil {
					first.output = append(append(first.output, "--- and again:\n"), o.output...)
				}
			}
			continue
		}
		if whole[name] {
			s.passed[name] = 0
		}
		s.passed[name] += second.passed[name]
		for t := range s.failed {
			if t.Package == name {
				delete(s.failed, t)
				if t.Test != "" && !strings.Contains(t.Test, "/") {
					s.unsteady = append(s.unsteady, t)
				}
			}
		}
	}
}

// print shows what there is to see and reports whether all is well.
func (s *summary) print(w io.Writer) bool {
	tests := 0
	for _, t := range slices.SortedFunc(maps.Keys(s.failed), compare) {
		fmt.Fprintf(w, "\n--- %s\n%s", t, strings.Join(s.outcomes[t].output, ""))
		if t.Test != "" {
			tests++
		}
	}
	if len(s.skipped) > 0 {
		fmt.Fprintln(w, "\nskipped:")
	}
	slices.SortFunc(s.skipped, compare)
	for _, t := range s.skipped {
		fmt.Fprintf(w, "  %s: %s\n", t, reason(s.outcomes[t].output))
	}
	if len(s.unsteady) > 0 {
		fmt.Fprintln(w, "\nunsteady, passed only when run again:")
	}
	slices.SortFunc(s.unsteady, compare)
	for _, t := range s.unsteady {
		fmt.Fprintf(w, "  %s\n%s", t, strings.Join(s.outcomes[t].output, ""))
	}
	passed := 0
	for _, n := range s.passed {
		passed += n
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", passed, max(tests, min(1, len(s.failed))), len(s.skipped))
	return len(s.failed) == 0 && passed > 0
}

// reason finds what t.Skip said.
func reason(output []string) string {
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "===") || strings.HasPrefix(line, "---") {
			continue
		}
		if _, after, ok := strings.Cut(line, ": "); ok {
			return after
		}
		return line
	}
	return "no reason given"
}
