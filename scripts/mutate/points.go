package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// point is a place where the source can be changed. The change is compiled in
// and asleep: it is awake in a process whose environment names its number.
type point struct {
	file       string
	line       int
	function   string
	what       string // the change, as in: a < b → a <= b
	start, end int    // offsets of what is changed
	before     string // what is put in front of it and after it; %d is the number
	after      string
	nth        int // among the same changes of the same function, from 1
}

// key names a point so that it is found again when lines move.
func (p *point) key() string {
	return fmt.Sprintf("%s %s %q #%d", filepath.ToSlash(p.file), p.function, p.what, p.nth)
}

// collector finds the points of one file.
type collector struct {
	file     string
	src      []byte
	set      *token.FileSet
	function string
	points   []*point
}

func pointsOf(file string, src []byte) ([]*point, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	c := &collector{file: file, src: src, set: set}
	for _, d := range tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			c.function = nameOf(f)
			ast.Inspect(f.Body, c.visit)
		}
	}
	seen := make(map[string]int)
	for _, p := range c.points {
		k := p.function + p.what
		seen[k]++
		p.nth = seen[k]
	}
	return c.points, nil
}

func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	receiver := f.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	if index, ok := receiver.(*ast.IndexExpr); ok {
		receiver = index.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return name.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

func (c *collector) text(n ast.Node) string {
	return string(c.src[c.offset(n.Pos()):c.offset(n.End())])
}

func (c *collector) offset(p token.Pos) int { return c.set.Position(p).Offset }

func (c *collector) add(n ast.Node, what, before, after string) {
	at := c.set.Position(n.Pos())
	short := func(s string) string {
		s = strings.Join(strings.Fields(s), " ")
		if len(s) > 100 {
			s = strings.ToValidUTF8(s[:100], "") + "…"
		}
		return s
	}
	c.points = append(c.points, &point{
		file: c.file, line: at.Line, function: c.function, what: short(what),
		start: at.Offset, end: c.offset(n.End()), before: before, after: after,
	})
}

// visit looks for what can be changed in an expression or a list of statements.
func (c *collector) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok != token.CONST
	case *ast.BinaryExpr:
		c.binary(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			c.flip(n, c.text(n)+" → "+c.text(n.X))
		}
	case *ast.IfStmt:
		switch n.Cond.(type) {
		case *ast.CallExpr, *ast.Ident, *ast.SelectorExpr:
			c.flip(n.Cond, "if "+c.text(n.Cond)+" → if !"+c.text(n.Cond))
		}
	case *ast.ReturnStmt:
		for _, r := range n.Results {
			if name, ok := r.(*ast.Ident); ok && (name.Name == "true" || name.Name == "false") {
				c.flip(r, "return "+name.Name+" → the opposite")
			}
		}
	case *ast.BlockStmt:
		c.statements(n.List)
	case *ast.CaseClause:
		c.statements(n.Body)
	case *ast.CommClause:
		c.statements(n.Body)
	}
	return true
}

func (c *collector) flip(n ast.Node, what string) { c.add(n, what, "((", ") != mutantOn(%d))") }

// otherOps are what operators are changed into.
var otherOps = map[token.Token]string{
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">", token.EQL: "!=", token.NEQ: "==",
	token.LAND: "||", token.LOR: "&&", token.ADD: "-", token.SUB: "+", token.MUL: "+", token.QUO: "*",
}

func (c *collector) binary(n *ast.BinaryExpr) {
	other, ok := otherOps[n.Op]
	if !ok {
		return
	}
	x, y := c.text(n.X), c.text(n.Y)
	what := c.text(n) + " → " + other
	switch n.Op {
	case token.EQL, token.NEQ:
		c.flip(n, what)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		c.add(n, what, "((", ") != (mutantOn(%d) && ("+flat(x)+") == ("+flat(y)+")))")
	case token.LAND, token.LOR:
		c.add(n, what, "((", ") != (mutantOn(%d) && ("+flat(x)+") != ("+flat(y)+")))")
	default: // both are computed, so nothing in them may do more than compute
		if !calls(n) {
			c.add(n, what, "mutantNum(%d, ", ", ("+flat(x)+")"+other+"("+flat(y)+"))")
		}
	}
}

// flat takes the line breaks out, so that lines keep their numbers. What has a
// function in it does not compile then, and is passed over.
func flat(s string) string { return strings.ReplaceAll(s, "\n", " ") }

func calls(n ast.Node) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name, plain := call.Fun.(*ast.Ident)
			found = found || !plain || !slices.Contains([]string{"len", "cap", "int", "int64", "uint64", "min", "max"}, name.Name)
		}
		return !found
	})
	return found
}

// statements finds those that can be left out.
func (c *collector) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if logs(c.text(s)) {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || allBlank(s.Lhs) {
				continue
			}
		case *ast.BranchStmt:
			if s.Label != nil || s.Tok != token.CONTINUE && s.Tok != token.BREAK {
				continue
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt:
		default:
			continue
		}
		c.add(s, "without "+c.text(s), "if !mutantOn(%d) { ", " }")
	}
}

// logs reports whether a statement writes to the log: no test has to notice.
func logs(text string) bool {
	for _, call := range []string{"log.Debug(", "log.Info(", "log.Warn(", "log.Error(", "Logger.Warn(", "panic("} {
		if strings.Contains(text, call) {
			return true
		}
	}
	return false
}

func allBlank(list []ast.Expr) bool {
	for _, e := range list {
		if name, ok := e.(*ast.Ident); !ok || name.Name != "_" {
			return false
		}
	}
	return true
}

// weave returns src with the given changes in it, asleep. Lines keep their
// numbers.
func weave(src []byte, points map[int]*point) []byte {
	type insertion struct {
		at, order int
		text      string
	}
	var list []insertion
	for n, p := range points {
		number := func(s string) string { return strings.Replace(s, "%d", fmt.Sprint(n), 1) }
		// At one place what ends comes before what begins, the inner before the outer
		// when they end, and the other way round when they begin.
		span := p.end - p.start
		list = append(list, insertion{p.start, 1<<40 - span, number(p.before)}, insertion{p.end, span - 1<<40, number(p.after)})
	}
	slices.SortFunc(list, func(a, b insertion) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order), cmp.Compare(a.text, b.text))
	})
	var out bytes.Buffer
	last := 0
	for _, i := range list {
		out.Write(src[last:i.at])
		out.WriteString(i.text)
		last = i.at
	}
	out.Write(src[last:])
	return out.Bytes()
}

// helper is what a package with changes in it is given besides.
const helper = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	mutantAwake, _ = strconv.Atoi(os.Getenv("MUTANT"))
	mutantNoted    [1 << 16]atomic.Bool
	mutantNotes    = func() *os.File {
		if name := os.Getenv("MUTANT_NOTES"); name != "" {
			f, _ := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			return f
		}
		return nil
	}()
)

func mutantOn(n int) bool {
	if mutantNotes != nil && !mutantNoted[n].Swap(true) {
		_, _ = mutantNotes.WriteString(strconv.Itoa(n) + "\n")
	}
	return n == mutantAwake
}

func mutantNum[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64](n int, as, other T) T {
	if mutantOn(n) {
		return other
	}
	return as
}
`
