// Package arch holds the project to the table of rooms in docs/architecture.md:
// a package imports only packages of lower rank. The table is the rule; this
// test only reads it.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "ringdown"

// rows look like: | 3 | `internal/node` | what lives there |
var row = regexp.MustCompile("(?m)^\\| (\\d+) \\| (`[^|]+`) \\|")

// ranks reads the table. A room's name ending in /... stands for all below it.
func ranks(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]int{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		rank, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		for room := range strings.SplitSeq(m[2], ",") {
			table[strings.Trim(room, " `")] = rank
		}
	}
	if len(table) < 10 {
		t.Fatalf("the table in docs/architecture.md has %d rooms: its form must have changed", len(table))
	}
	return table
}

// rankOf finds a package's room.
func rankOf(table map[string]int, path string) (room string, rank int, ok bool) {
	room = strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
	if room == "" {
		room = "ringdown"
	}
	if rank, ok = table[room]; ok {
		return room, rank, true
	}
	for parent := room; ; {
		i := strings.LastIndexByte(parent, '/')
		if i < 0 {
			return room, 0, false
		}
		parent = parent[:i]
		if rank, ok = table[parent+"/..."]; ok {
			return room, rank, true
		}
	}
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"/...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// TestArrowsPointDown: tests may import what they like; everything else may not.
func TestArrowsPointDown(t *testing.T) {
	table := ranks(t)
	checked := 0
	for _, p := range packages(t) {
		room, rank, ok := rankOf(table, p.ImportPath)
		if !ok {
			t.Errorf("%s has no rank: add it to the table of rooms in docs/architecture.md", room)
			continue
		}
		for _, imp := range p.Imports {
			if imp != module && !strings.HasPrefix(imp, module+"/") {
				continue
			}
			other, otherRank, ok := rankOf(table, imp)
			checked++
			if ok && otherRank >= rank && !family(room, other) {
				t.Errorf("%s (rank %d) imports %s (rank %d): a room imports only rooms of lower rank", room, rank, other, otherRank)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d arrows were looked at", checked)
	}
}

// family: a room may use the room that it is in, as a driver does its contract;
// and within examples/ and test/ one part may use another.
func family(a, b string) bool {
	if strings.HasPrefix(a, b+"/") {
		return true
	}
	for _, f := range []string{"examples/", "test/"} {
		if strings.HasPrefix(a, f) && strings.HasPrefix(b, f) {
			return true
		}
	}
	return false
}

func TestRankOf(t *testing.T) {
	table := map[string]int{"ringdown": 7, "internal/node": 3, "internal/broker/...": 2, "internal/broker": 2}
	for path, want := range map[string]int{module: 7, module + "/internal/node": 3, module + "/internal/broker/memory": 2, module + "/internal/broker": 2} {
		if _, got, ok := rankOf(table, path); !ok || got != want {
			t.Errorf("%s has rank %d %v, want %d", path, got, ok, want)
		}
	}
	if _, _, ok := rankOf(table, module+"/internal/new"); ok {
		t.Error("a package that is not in the table has a rank")
	}
}

// TestDependencies shows growth of the binary in review: what it depends on is
// checked in.
func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "run", "./internal/arch/deps")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/dependencies.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, want) {
		t.Errorf("docs/dependencies.txt is not what the binary depends on now; look at the difference, say why in docs/dependencies.md, and run make deps\n--- now:\n%s", out)
	}
}
