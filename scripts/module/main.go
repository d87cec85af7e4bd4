// Command module gives the module another path, so that it can be published
// under one that `go get` finds: module NEW, in the root of the module. It
// rewrites go.mod, the imports, and the texts that name a package to the go
// command; nothing else is touched.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: module PATH, such as example.com/somebody/ringdown")
		os.Exit(2)
	}
	if err := rename(".", os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "module:", err)
		os.Exit(1)
	}
}

var (
	moduleLine = regexp.MustCompile(`(?m)^module (\S+)$`)
	goodPath   = regexp.MustCompile(`^[a-z0-9.-]+(/[A-Za-z0-9._~-]+)*$`)
)

// rename gives the module in root the path now, and the modules inside it that
// belong to it paths below that.
func rename(root, now string) error {
	if !goodPath.MatchString(now) {
		return fmt.Errorf("%q is no path of a module", now)
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	m := moduleLine.FindSubmatch(text)
	if m == nil {
		return errors.New("go.mod names no module")
	}
	r := renaming{root: root, old: string(m[1]), now: now}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case d.Name() == "go.mod":
			return r.goMod(path)
		case filepath.Ext(path) == ".go":
			return r.goFile(path)
		}
		return nil
	})
}

type renaming struct{ root, old, now string }

// path returns the new path of a package, false if it is none of this module.
func (r renaming) path(p string) (string, bool) {
	if p == r.old {
		return r.now, true
	}
	rest, ok := strings.CutPrefix(p, r.old+"/")
	if !ok {
		return "", false
	}
	if info, err := os.Stat(filepath.Join(r.root, filepath.FromSlash(rest))); err != nil || !info.IsDir() {
		return "", false
	}
	return r.now + "/" + rest, true
}

// goMod rewrites the lines that name the module: its own, and those of the
// modules inside it, which take it from the folder above.
func (r renaming) goMod(path string) error {
	return edit(path, func(text string) string {
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			words := strings.Fields(line)
			for j, word := range words {
				if now, ok := r.path(word); ok && (j == 0 || words[j-1] == "module" || words[j-1] == "replace" || words[j-1] == "require") {
					lines[i] = strings.Replace(line, word, now, 1)
				}
			}
		}
		return strings.Join(lines, "\n")
	})
}

// goFile rewrites imports, and texts such as "ringdown/cmd/ringdown". The bare
// name of the module is a word like others, unless it is what a file calls module.
func (r renaming) goFile(path string) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	type change struct {
		at, end int
		now     string
	}
	var changes []change
	note := func(l *ast.BasicLit, bare bool) {
		p, err := strconv.Unquote(l.Value)
		if err != nil || !bare && p == r.old {
			return
		}
		if now, ok := r.path(p); ok {
			at := set.Position(l.Pos()).Offset
			changes = append(changes, change{at, at + len(l.Value), strconv.Quote(now)})
		}
	}
	imports := map[*ast.BasicLit]bool{}
	for _, i := range file.Imports {
		imports[i.Path] = true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if len(n.Names) == 1 && n.Names[0].Name == "module" && len(n.Values) == 1 {
				if l, ok := n.Values[0].(*ast.BasicLit); ok {
					imports[l] = true
				}
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				note(n, imports[n])
			}
		}
		return true
	})
	if len(changes) == 0 {
		return nil
	}
	return edit(path, func(text string) string {
		for i := len(changes) - 1; i >= 0; i-- {
			c := changes[i]
			text = text[:c.at] + c.now + text[c.end:]
		}
		return text
	})
}

func edit(path string, change func(string) string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	now := change(string(text))
	if now == string(text) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(now), info.Mode())
}
