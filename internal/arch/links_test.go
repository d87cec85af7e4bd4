package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code  = regexp.MustCompile("(?s)```.*?```|`[^`\\n]*`")
	title = regexp.MustCompile(`(?m)^#+ (.*)$`)
	mark  = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinks: what the documents link to within the repository is there, headings too.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"README.md", "CONTRIBUTING.md", "llms.txt", "bench/README.md", "spec/README.md", "spec/client/README.md", "sdk/typescript/README.md", "sdk/react/README.md", "sdk/python/README.md"} {
		pages = append(pages, filepath.Join("../..", more))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		// What stands in code is no link.
		prose := code.ReplaceAllString(string(text), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			to, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			there, err := os.ReadFile(target)
			if info, bad := os.Stat(target); bad == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if heading != "" && !has(string(there), heading) {
				t.Errorf("%s links to %s, and there is no such heading", page, m[1])
			}
		}
	}
}

// has reports whether a page has a heading under that name.
func has(page, heading string) bool {
	for _, m := range title.FindAllStringSubmatch(page, -1) {
		if strings.ReplaceAll(mark.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), ""), " ", "-") == heading {
			return true
		}
	}
	return false
}
