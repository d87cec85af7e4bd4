package arch

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	pathHead = regexp.MustCompile(`(?m)^### (.+)$`)
	// lines look like: 1. `internal/node/publish.go` `Publish`: what it does
	pathLine = regexp.MustCompile("(?m)^\\d+\\. `([^`]+\\.go)` `(\\w+)`: ")
)

// TestPaths holds the lists of docs/architecture.md against the code: each file
// declares the function that stands beside it, which a file before it on the path
// names. A path is at most eight files long.
func TestPaths(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, all, _ := strings.Cut(string(text), "## Four paths")
	all, _, _ = strings.Cut(all, "\n## ")
	heads := pathHead.FindAllStringSubmatchIndex(all, -1)
	if len(heads) != 4 {
		t.Fatalf("%d paths, want four: the form must have changed", len(heads))
	}
	for i, h := range heads {
		end := len(all)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		name := all[h[2]:h[3]]
		var before string // the text of the files that come before
		files := map[string]bool{}
		steps := pathLine.FindAllStringSubmatch(all[h[1]:end], -1)
		if len(steps) < 4 {
			t.Errorf("%s: only %d steps can be read", name, len(steps))
		}
		for n, step := range steps {
			code, err := os.ReadFile("../../" + step[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			files[step[1]] = true
			if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + step[2] + `\(`).Match(code) {
				t.Errorf("%s: %s declares no %s", name, step[1], step[2])
			}
			if n > 0 && !regexp.MustCompile(`\b`+step[2]+`\(`).MatchString(before) {
				t.Errorf("%s: nothing before %s calls %s", name, step[1], step[2])
			}
			before += string(code)
		}
		if len(files) > 8 {
			t.Errorf("%s goes through %d files, want at most eight", name, len(files))
		}
	}
}
