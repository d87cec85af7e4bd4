// Command testsummary reads the output of go test -json, shows what failed and
// what was skipped and why, and ends with one line of counts. It exits with 1 if
// anything failed.
//
//	go test -json ./... | go run ./scripts/testsummary
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// outcome is what is known of a test, or of what a package says outside of them.
type outcome struct {
	output []string
	runs   bool // it began and has not ended
}

func main() {
	outputs := map[string]*outcome{}
	var failed, skipped []string
	passed := 0
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // what the tool says outside of a test
			continue
		}
		name := e.Package
		if e.Test != "" {
			name += " " + e.Test
		}
		o := outputs[name]
		if o == nil {
			o = &outcome{}
			outputs[name] = o
		}
		switch e.Action {
		case "run":
			o.runs = true
		case "output", "build-output":
			o.output = append(o.output, e.Output)
		case "pass":
			if e.Test != "" {
				passed++
				delete(outputs, name)
			} else {
				fmt.Printf("ok    %-45s %6.1f s\n", e.Package, e.Elapsed)
			}
		case "fail", "build-fail":
			failed = append(failed, name)
			o.runs = false
			if e.Test == "" {
				fmt.Printf("FAIL  %s\n", e.Package)
				// A package that died took along what was running.
				for other, t := range outputs {
					if t.runs && strings.HasPrefix(other, e.Package+" ") {
						failed, t.runs = append(failed, other), false
					}
				}
			}
		case "skip":
			o.runs = false
			if e.Test != "" {
				skipped = append(skipped, name)
			}
		}
	}
	slices.Sort(failed)
	for _, name := range failed {
		fmt.Printf("\n--- %s\n%s", name, strings.Join(outputs[name].output, ""))
	}
	if len(skipped) > 0 {
		fmt.Println("\nskipped:")
	}
	for _, name := range skipped {
		fmt.Printf("  %s: %s\n", name, reason(outputs[name].output))
	}
	tests := 0
	for _, name := range failed {
		if strings.Contains(name, " ") {
			tests++
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", passed, max(tests, min(1, len(failed))), len(skipped))
	if len(failed) > 0 || passed == 0 {
		os.Exit(1)
	}
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
