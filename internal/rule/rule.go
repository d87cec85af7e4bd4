package rule

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"ringdown/internal/channel"
)

// MaxSource is the longest rule that is accepted, in bytes.
const MaxSource = 4096

// words are the rules that need no expression.
var words = map[string]channel.Rule{
	"anyone":    channel.Anyone,
	"signed_in": channel.SignedIn,
	"none":      channel.None,
}

// Compile returns the rule that src says: one of the words anyone, signed_in
// and none, or a CEL expression that comes out as true or false. The error is a
// *Error. The rule is safe for concurrent use; its decisions cost a bounded
// amount of work, whatever the request.
func Compile(src string) (channel.Rule, error) {
	text := strings.TrimSpace(src)
	if word, ok := words[text]; ok {
		return word, nil
	}
	switch {
	case text == "":
		return nil, &Error{Source: src, What: "the rule is empty", Remedy: "write anyone, signed_in, none or an expression such as user == params.user"}
	case len(src) > MaxSource:
		return nil, &Error{Source: src[:60] + "…", What: fmt.Sprintf("the rule has %d bytes, the most is %d", len(src), MaxSource)}
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	tree, issues := env.Compile(src)
	if issues != nil && len(issues.Errors()) > 0 {
		return nil, explain(src, issues.Errors()[0])
	}
	if err := decides(src, tree); err != nil {
		return nil, err
	}
	if err := patterns(src, tree); err != nil {
		return nil, err
	}
	quick, err := optimize(env, tree)
	if err != nil {
		return nil, &Error{Source: src, What: err.Error()}
	}
	program, err := env.Program(quick,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostTracking(work{}),
		cel.CostLimit(costLimit))
	if err != nil {
		// Optimizing runs the constant parts, so a mistake such as a bad
		// regular expression shows up here.
		return nil, &Error{Source: src, What: err.Error()}
	}
	return &expression{source: text, program: program, params: paramsOf(tree), reads: readsIn(tree)}, nil
}

func optimize(env *cel.Env, tree *cel.Ast) (*cel.Ast, error) {
	optimizer, err := cel.NewStaticOptimizer(membership{})
	if err != nil {
		return nil, err
	}
	quick, issues := optimizer.Optimize(env, tree)
	return quick, issues.Err()
}

// decides checks that the expression can come out as true or false. Claims are
// not known before a token comes, so what is made of them alone is let through
// and judged then.
func decides(src string, tree *cel.Ast) error {
	t := tree.OutputType()
	if t.IsExactType(cel.BoolType) || t.IsExactType(cel.DynType) {
		return nil
	}
	return &Error{
		Source: src, Line: 1, Column: 1,
		What:   fmt.Sprintf("the rule comes out as %s and not as true or false", article(cel.FormatCELType(t))),
		Remedy: "compare it with something, as in user == params.user",
	}
}

// maxPattern is the most instructions a compiled regular expression may have.
const maxPattern = 2_000

// patterns checks the regular expressions of a rule. One that is not written in
// the rule is refused: it may come from a client, and be dear to compile.
func patterns(src string, tree *cel.Ast) error {
	native := tree.NativeRep()
	var found *Error
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches || found != nil {
			return
		}
		args := e.AsCall().Args()
		if len(args) == 0 {
			return
		}
		pattern := args[len(args)-1]
		at := native.SourceInfo().GetStartLocation(pattern.ID())
		problem := &Error{Source: src, Line: at.Line(), Column: at.Column() + 1}
		if pattern.Kind() != ast.LiteralKind {
			problem.What = "the pattern of matches must stand in the rule as plain text: one that comes from a client could be made to cost much"
			problem.Remedy = "write it out, or use startsWith, endsWith, contains or =="
			found = problem
			return
		}
		text, ok := pattern.AsLiteral().(types.String)
		if !ok {
			return // CEL has complained already
		}
		if problem.What = patternProblem(string(text)); problem.What != "" {
			found = problem
		}
	}))
	if found != nil {
		return found
	}
	return nil
}

func patternProblem(pattern string) string {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err.Error()
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return err.Error()
	}
	if n := len(program.Inst); n > maxPattern {
		return fmt.Sprintf("the pattern is too large: it compiles to %d steps, the most is %d", n, maxPattern)
	}
	return ""
}

// Reference is a place where a rule reads params.
type Reference struct {
	Name         string
	Line, Column int // 1-based, in the rule; Column counts characters
}

// Params returns where r reads the parameters of the channel's pattern, so that
// a configuration can be checked for names that the pattern does not have. The
// words read none.
func Params(r channel.Rule) []Reference {
	if e, ok := r.(*expression); ok {
		return e.params
	}
	return nil
}

func paramsOf(tree *cel.Ast) (refs []Reference) {
	native := tree.NativeRep()
	isParams := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "params" }
	add := func(e ast.Expr, name string) {
		at := native.SourceInfo().GetStartLocation(e.ID())
		refs = append(refs, Reference{Name: name, Line: at.Line(), Column: at.Column() + 1})
	}
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			if s := e.AsSelect(); isParams(s.Operand()) && !s.IsTestOnly() {
				add(s.Operand(), s.FieldName())
			}
		case ast.CallKind:
			c := e.AsCall()
			if c.FunctionName() == operators.Index && isParams(c.Args()[0]) && c.Args()[1].Kind() == ast.LiteralKind {
				if name, ok := c.Args()[1].AsLiteral().(types.String); ok {
					add(c.Args()[0], string(name))
				}
			}
		}
	}))
	return refs
}

// expression is a compiled rule. It is immutable.
type expression struct {
	source  string
	program cel.Program
	params  []Reference
	reads   [][]string
}

func (e *expression) String() string { return e.source }

// Allow implements channel.Rule.
func (e *expression) Allow(r *channel.Request) (bool, error) {
	if !r.Budget.Take(1) {
		return false, channel.ErrBudget
	}
	out, details, err := e.program.Eval(activation{r})
	if units := details.ActualCost(); units != nil {
		r.Budget.Take(1 + int(min(*units, costLimit))*stepsPerUnit)
	}
	if err != nil {
		return false, reason(err)
	}
	decision, ok := out.(types.Bool)
	if !ok {
		return false, errors.New("it came out neither as true nor as false")
	}
	return bool(decision), nil
}
