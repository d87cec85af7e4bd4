package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a file. The parser recurses into nesting and takes time that
// grows with the square of a long line or mapping; no honest file comes near.
const (
	maxSource = 1 << 20 // bytes
	maxLine   = 64 << 10
	maxNested = 200 // brackets and braces open at once
)

type place struct{ line, column int } // 1-based

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	mapping
)

func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a text", "a list", "a mapping"}[k]
}

// node is a value of the file and where it stands. Aliases share the node that
// they name, so the tree is no larger than the file; it has no cycles.
type node struct {
	place
	kind  kind
	text  string  // of a scalar: its value; of numbers and booleans: as written
	inset int     // how far the value begins after place, -1 if it does not stand there as it is
	items []*node // of a list
	pairs []pair  // of a mapping
}

type pair struct {
	key   *node // a scalar
	value *node
}

// child returns the value of a key, nil if there is none.
func (n *node) child(key string) *node {
	for _, p := range n.pairs {
		if p.key.text == key {
			return p.value
		}
	}
	return nil
}

// within returns the place of a character inside a scalar: 1-based line and
// column of the value. Where the value does not stand as it is in the file
// (escapes, folded lines), it is the place of the scalar.
func (n *node) within(line, column int) place {
	if n.inset < 0 || line != 1 {
		return n.place
	}
	return place{n.line, n.column + n.inset + column - 1}
}

// parse reads YAML. On an error it is reported and nil is returned; an empty
// file is a null.
func parse(src []byte, r *report) (root *node) {
	if !checkSource(src, r) {
		return nil
	}
	defer func() {
		// The parser is tried hard, but not ours: a file that breaks it must not
		// take down a server that only reloads.
		if cause := recover(); cause != nil {
			r.fail(place{}, "", "the file cannot be read as YAML (%v)", cause)
			root = nil
		}
	}()
	file, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		syntaxProblem(err, r)
		return nil
	}
	t := tree{report: r, anchors: make(map[string]*node)}
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case i > 0 && root != nil:
			r.fail(at(doc.Start), "join the two, or remove the line ---", "a configuration is one document, and here begins a second one")
			return nil
		default:
			root = t.node(doc.Body)
		}
	}
	if root == nil {
		root = &node{place: place{1, 1}}
	}
	return root
}

func checkSource(src []byte, r *report) bool {
	switch {
	case len(src) > maxSource:
		r.fail(place{}, "", "the file has %d bytes, the most is %d", len(src), maxSource)
		return false
	case !utf8.Valid(src):
		r.fail(place{}, "save the file as UTF-8", "the file is not UTF-8")
		return false
	}
	depth, row := 0, 0
	for line := range bytes.Lines(src) {
		row++
		if len(line) > maxLine {
			r.fail(place{row, 1}, "", "the line has %d bytes, the most is %d", len(line), maxLine)
			return false
		}
		for _, c := range line {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
		}
		if depth > maxNested {
			r.fail(place{row, 1}, "", "more than %d brackets are open at once", maxNested)
			return false
		}
	}
	return true
}

// syntaxProblem says in plain words what the parser says.
func syntaxProblem(err error, r *report) {
	var problem yaml.Error
	if !errors.As(err, &problem) || problem.GetToken() == nil {
		r.fail(place{}, "", "the file cannot be read as YAML: %v", err)
		return
	}
	message, remedy := problem.GetMessage(), ""
	switch {
	case strings.Contains(message, "pre-defined"):
		message = "something follows a value that is complete already"
		remedy = `put the whole value in single quotes, as in '"driver" in claims.roles', and check the indentation`
	case strings.Contains(message, "mapping value is not allowed"):
		message = "a colon and a space make a key, and a key cannot stand here"
		remedy = "put a text that contains them in quotes, and check the indentation"
	case strings.Contains(message, "tab character"), strings.Contains(message, "'\t'"):
		message = "a tab cannot indent"
		remedy = "indent with spaces"
	case strings.Contains(message, "not allowed in this context"):
		message = "this cannot stand here"
		remedy = "check the indentation: keys of one mapping begin in the same column"
	case strings.Contains(message, "could not find end character"):
		message = "a quote is opened and not closed"
	case strings.Contains(message, "end token"):
		message = "a bracket is opened and not closed"
	case strings.Contains(message, "must be specified"):
		message = "a comma or a closing bracket is missing before this"
		remedy = "a text with quotes in it stands in the other kind of quotes"
	}
	r.fail(at(problem.GetToken()), remedy, "%s", message)
}

func at(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

// tree turns the parser's nodes into ours.
type tree struct {
	*report
	anchors map[string]*node // complete ones only, so that no node contains itself
}

// node returns nil only for an error, which is reported.
func (t *tree) node(n ast.Node) *node {
	switch n := n.(type) {
	case *ast.MappingNode:
		if out := joined(n); out != nil {
			return out
		}
		return t.mapping(n)
	case *ast.SequenceNode:
		out := &node{place: at(n.Start), kind: list}
		for _, v := range n.Values {
			if item := t.node(v); item != nil {
				out.items = append(out.items, item)
			}
		}
		return out
	case *ast.AnchorNode:
		out := t.node(n.Value)
		if out != nil && n.Name != nil {
			t.anchors[n.Name.GetToken().Value] = out
		}
		return out
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if out, ok := t.anchors[name]; ok {
			return out
		}
		t.fail(at(n.Start), fmt.Sprintf("write &%s before the value it stands for, further up; a text that begins with * stands in quotes", name), "there is no anchor %q above", name)
		return nil
	case *ast.TagNode:
		if !strings.HasPrefix(n.Start.Value, "!!") {
			t.fail(at(n.Start), "a text that begins with ! stands in quotes, as in '!claims.blocked'", "%s is a tag of YAML here, which means nothing in this file", n.Start.Value)
			return nil
		}
		return t.tagged(n)
	}
	return t.scalar(n)
}

// tagged reads a value with one of YAML's own tags, of which only !!str changes
// anything here.
func (t *tree) tagged(n *ast.TagNode) *node {
	out := t.node(n.Value)
	if out != nil && n.Start.Value == "!!str" && out.kind < text {
		copied := *out
		copied.kind = text
		return &copied
	}
	return out
}

// joined returns the text that the parser took for a mapping: inside brackets
// inside braces it parts env:NAME at the colon, though without a space behind it
// a colon is a letter like any other (YAML 1.2 §7.3.3). nil for a real mapping.
func joined(n *ast.MappingNode) *node {
	if n.IsFlowStyle || len(n.Values) != 1 {
		return nil
	}
	k, v := n.Values[0].Key.GetToken(), n.Values[0].Value.GetToken()
	if k == nil || v == nil || k.Type != token.StringType || k.Position.Line != v.Position.Line ||
		v.Position.Column != k.Position.Column+utf8.RuneCountInString(k.Value)+1 {
		return nil
	}
	return &node{place: at(k), kind: text, text: k.Value + ":" + v.Value}
}

func (t *tree) mapping(n *ast.MappingNode) *node {
	out := &node{place: at(n.GetToken()), kind: mapping}
	if n.IsFlowStyle {
		out.place = at(n.Start)
	} else if len(n.Values) > 0 {
		out.place = at(n.Values[0].Key.GetToken())
	}
	var merged []*node
	for _, v := range n.Values {
		if v.Key.IsMergeKey() {
			if from := t.node(v.Value); from != nil {
				merged = append(merged, from)
			}
			continue
		}
		key := t.key(v.Key)
		value := t.node(v.Value)
		if key == nil || value == nil {
			continue
		}
		if first := out.child(key.text); first != nil {
			t.fail(key.place, "remove one of the two", "the key %q stands here for a second time", key.text)
			continue
		}
		out.pairs = append(out.pairs, pair{key, value})
	}
	for _, from := range merged {
		t.merge(out, from)
	}
	return out
}

// merge takes over what << names, where the mapping does not say it itself.
func (t *tree) merge(into, from *node) {
	switch from.kind {
	case list:
		for _, item := range from.items {
			t.merge(into, item)
		}
	case mapping:
		for _, p := range from.pairs {
			if into.child(p.key.text) == nil {
				into.pairs = append(into.pairs, p)
			}
		}
	default:
		t.fail(from.place, "", "<< takes a mapping, not %s", from.kind)
	}
}

func (t *tree) key(k ast.MapKeyNode) *node {
	var inner ast.Node = k
	if explicit, ok := k.(*ast.MappingKeyNode); ok {
		inner = explicit.Value
	}
	key := t.node(inner)
	if key == nil {
		return nil
	}
	if key.kind >= list {
		t.fail(key.place, "", "a key is a text, not %s", key.kind)
		return nil
	}
	return key
}

func (t *tree) scalar(n ast.Node) *node {
	tk := n.GetToken()
	out := &node{place: at(tk), inset: -1}
	switch n := n.(type) {
	case *ast.NullNode:
		out.text = "null"
	case *ast.BoolNode:
		out.kind, out.text = boolean, tk.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = number, tk.Value
	case *ast.StringNode:
		out.kind, out.text = text, n.Value
		written := strings.TrimSpace(tk.Origin)
		switch {
		case written == n.Value:
			out.inset = 0
		case len(written) > 1 && written[1:len(written)-1] == n.Value:
			out.inset = 1
		}
	case *ast.LiteralNode:
		out.kind = text
		if n.Value != nil {
			out.text = n.Value.Value
		}
	case nil:
		return &node{inset: -1}
	default:
		t.fail(out.place, "", "this kind of YAML (%s) means nothing in this file", n.Type().YAMLName())
		return nil
	}
	return out
}
