package rule

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Most rules that look through a list ask whether a text is in it, of every
// channel that a client names. So that is made cheap: claims stay as JSON left
// them while a text is looked for, and exists(r, r == x) is read as x in list.

// adapter makes values of what claims hold.
type adapter struct{ types.Adapter }

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	if items, ok := v.([]any); ok {
		return claimList{types.NewDynamicList(a, items), items}
	}
	return a.Adapter.NativeToValue(v)
}

// claimList is a list in claims.
type claimList struct {
	traits.Lister
	items []any
}

// Contains implements traits.Container.
func (l claimList) Contains(elem ref.Val) ref.Val {
	text, ok := elem.(types.String)
	if !ok {
		return l.Lister.Contains(elem)
	}
	for _, item := range l.items {
		if s, ok := item.(string); ok && s == string(text) {
			return types.True
		}
	}
	return types.False
}

// membership turns exists(r, r == x) into x in list, where x is a name, a
// parameter or a literal: what cannot fail by itself.
type membership struct{}

// Optimize implements cel.ASTOptimizer.
func (membership) Optimize(ctx *cel.OptimizerContext, tree *ast.AST) *ast.AST {
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.ComprehensionKind {
			return
		}
		loop := e.AsComprehension()
		if wanted := soughtBy(loop); wanted != nil {
			ctx.UpdateExpr(e, ctx.NewCall(operators.In, ctx.CopyASTAndMetadata(ctx.NewAST(wanted)), ctx.CopyASTAndMetadata(ctx.NewAST(loop.IterRange()))))
		}
	}))
	return tree
}

// soughtBy returns what a comprehension compares each item with, nil if it does
// anything else.
func soughtBy(loop ast.ComprehensionExpr) ast.Expr {
	start, step := loop.AccuInit(), loop.LoopStep()
	if loop.HasIterVar2() || start.Kind() != ast.LiteralKind || start.AsLiteral() != types.False || !calls(step, operators.LogicalOr) {
		return nil
	}
	condition := step.AsCall().Args()[1]
	if !named(step.AsCall().Args()[0], loop.AccuVar()) || !named(loop.Result(), loop.AccuVar()) || !calls(condition, operators.Equals) {
		return nil
	}
	sides := condition.AsCall().Args()
	for i := range sides {
		if item, other := sides[i], sides[1-i]; named(item, loop.IterVar()) && steady(other) && !named(other, loop.IterVar()) {
			return other
		}
	}
	return nil
}

func calls(e ast.Expr, function string) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() == function && len(e.AsCall().Args()) == 2
}

func named(e ast.Expr, name string) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == name }

// steady reports whether an expression is a literal, one of the variables that
// are a text, or a parameter, which the configuration has checked to be there.
func steady(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.IdentKind:
		switch e.AsIdent() {
		case "user", "channel", "event", "connection":
			return true
		}
	case ast.SelectKind:
		return named(e.AsSelect().Operand(), "params") && !e.AsSelect().IsTestOnly()
	}
	return false
}
