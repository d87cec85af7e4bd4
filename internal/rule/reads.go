package rule

import (
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ringdown/internal/channel"
)

// Value is one thing that a rule reads, and what it is for one request.
type Value struct {
	Name    string `json:"name"` // as in claims.roles, params.room or user
	Value   any    `json:"value"`
	Missing bool   `json:"missing,omitempty"` // the request has no such thing
}

// Values returns what r reads of the request, in the order in which r names it:
// what its decision rests on, and nothing else of the token.
func Values(r channel.Rule, q *channel.Request) []Value {
	paths := readsOf(r)
	values := make([]Value, 0, len(paths))
	for _, path := range paths {
		v, ok := lookUp(q, path)
		values = append(values, Value{Name: strings.Join(path, "."), Value: v, Missing: !ok})
	}
	return values
}

func readsOf(r channel.Rule) [][]string {
	if e, ok := r.(*expression); ok {
		return e.reads
	}
	if r == channel.SignedIn {
		return [][]string{{"user"}}
	}
	return nil
}

func lookUp(q *channel.Request, path []string) (any, bool) {
	v, ok := activation{q}.ResolveName(path[0])
	for _, name := range path[1:] {
		switch m := v.(type) {
		case map[string]any:
			v, ok = m[name]
		case map[string]string:
			v, ok = m[name]
		default:
			return nil, false
		}
	}
	return v, ok
}

// readsIn returns the paths that an expression reads of its variables: each as
// far as it is written out, so that claims.roles is told and the other claims
// are not.
func readsIn(tree *cel.Ast) (paths [][]string) {
	var walk func(e ast.Expr, bound []string)
	walk = func(e ast.Expr, bound []string) {
		if path := pathOf(e); path != nil {
			if !slices.Contains(bound, path[0]) && isVariable(path[0]) && !contains(paths, path) {
				paths = append(paths, path)
			}
			return
		}
		switch e.Kind() {
		case ast.SelectKind:
			walk(e.AsSelect().Operand(), bound)
		case ast.CallKind:
			c := e.AsCall()
			if c.IsMemberFunction() {
				walk(c.Target(), bound)
			}
			for _, arg := range c.Args() {
				walk(arg, bound)
			}
		case ast.ListKind:
			for _, item := range e.AsList().Elements() {
				walk(item, bound)
			}
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				walk(entry.AsMapEntry().Key(), bound)
				walk(entry.AsMapEntry().Value(), bound)
			}
		case ast.ComprehensionKind:
			c := e.AsComprehension()
			walk(c.IterRange(), bound)
			walk(c.AccuInit(), bound)
			inner := append(slices.Clone(bound), c.IterVar(), c.IterVar2(), c.AccuVar())
			for _, part := range []ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()} {
				walk(part, inner)
			}
		}
	}
	walk(tree.NativeRep().Expr(), nil)
	return paths
}

// pathOf returns ["claims", "roles"] for claims.roles, claims["roles"] and
// has(claims.roles), and nil for what is no such chain.
func pathOf(e ast.Expr) []string {
	switch e.Kind() {
	case ast.IdentKind:
		return []string{e.AsIdent()}
	case ast.SelectKind:
		if s := e.AsSelect(); pathOf(s.Operand()) != nil {
			return append(pathOf(s.Operand()), s.FieldName())
		}
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != operators.Index || c.Args()[1].Kind() != ast.LiteralKind {
			return nil
		}
		if name, ok := c.Args()[1].AsLiteral().(types.String); ok && pathOf(c.Args()[0]) != nil {
			return append(pathOf(c.Args()[0]), string(name))
		}
	}
	return nil
}

// isVariable leaves out the words, which hold nothing that a token or a name
// brought.
func isVariable(name string) bool {
	switch name {
	case "anyone", "none":
		return false
	}
	return slices.ContainsFunc(variables, func(v variable) bool { return v.name == name })
}

func contains(paths [][]string, path []string) bool {
	return slices.ContainsFunc(paths, func(p []string) bool { return slices.Equal(p, path) })
}
