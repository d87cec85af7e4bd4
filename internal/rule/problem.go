package rule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/interpreter"
)

// Error is a rule that cannot be used, and what to do about it.
type Error struct {
	Source       string // the rule
	Line, Column int    // where, 1-based; Column counts characters. 0: the whole rule
	What         string // what is wrong, one sentence without a full stop
	Remedy       string // what to do; may be empty
}

// Error returns what is wrong, the line with a caret under the place, and the
// remedy, over several lines.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if lines := strings.Split(e.Source, "\n"); e.Line > 0 && e.Line <= len(lines) {
		line := strings.ReplaceAll(strings.TrimRight(lines[e.Line-1], "\r"), "\t", " ")
		column := min(max(e.Column, 1), utf8.RuneCountInString(line)+1)
		fmt.Fprintf(&b, "\n    %s\n    %s^", line, strings.Repeat(" ", column-1))
	}
	if e.Remedy != "" {
		b.WriteString("\n" + e.Remedy)
	}
	return b.String()
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '([^']*)'`)
	undefined  = regexp.MustCompile(`^undefined field '([^']*)'`)
)

// explain says in plain words what CEL says of a rule.
func explain(src string, problem *common.Error) *Error {
	e := &Error{Source: src, Line: problem.Location.Line(), Column: problem.Location.Column() + 1}
	message, syntax := strings.CutPrefix(problem.Message, "Syntax error: ")
	switch {
	case syntax:
		e.What, e.Remedy = explainSyntax(src, message)
	case undeclared.MatchString(message):
		name := undeclared.FindStringSubmatch(message)[1]
		e.What, e.Remedy = explainName(e, name)
	case overload.MatchString(message):
		m := overload.FindStringSubmatch(message)
		e.What = fmt.Sprintf("%s does not work on %s", readable(m[1]), operands(m[2]))
		e.Remedy = "both sides must be of one kind; text stands in quotes, and params are always text"
	case undefined.MatchString(message):
		e.What = fmt.Sprintf("there is no field %q here", undefined.FindStringSubmatch(message)[1])
	default:
		e.What = strings.TrimSuffix(message, ".")
	}
	return e
}

// operands turns "(string, int)" and "string.(int)" into "string and int".
func operands(signature string) string {
	signature = strings.Replace(signature, ".(", ", ", 1)
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(signature, "("), ")"), ", ", " and ")
}

// wrongWords are what other languages call the operators.
var wrongWords = []struct {
	pattern *regexp.Regexp
	remedy  string
}{
	{regexp.MustCompile(`[^=!<>]=[^=~]`), "to compare, write =="},
	{regexp.MustCompile(`===`), "to compare, write =="},
	{regexp.MustCompile(`(?i)\band\b`), "for and, write &&"},
	{regexp.MustCompile(`(?i)\bor\b`), "for or, write ||"},
	{regexp.MustCompile(`(?i)\bnot\b`), "for not, write !"},
	{regexp.MustCompile(`<>`), "for unequal, write !="},
	{regexp.MustCompile(`(^|[^&])&([^&]|$)`), "for and, write &&"},
	{regexp.MustCompile(`(^|[^|])\|([^|]|$)`), "for or, write ||"},
}

// infix are functions that other languages write between their operands.
var infix = regexp.MustCompile(`([\w.\]\[]+)\s+(?i:(not\s+)?(contains?|includes?|has|startsWith|endsWith|matches|like))\s+('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[\w.]+)`)

// shellVariable is what a shell would put a value in for.
var shellVariable = regexp.MustCompile(`\$\{?[A-Za-z_]`)

// explainInfix explains claims.roles contains 'x'.
func explainInfix(src string) (what, remedy string, ok bool) {
	m := infix.FindStringSubmatch(src)
	if m == nil {
		return "", "", false
	}
	operand, not, function, other := m[1], m[2], m[3], m[4]
	switch strings.ToLower(function)[0] {
	case 's', 'e', 'm':
		remedy = fmt.Sprintf("write %s.%s(%s)", operand, function, other)
	case 'l':
		remedy = fmt.Sprintf("write %s.matches(%s), with a regular expression", operand, other)
	default:
		remedy = fmt.Sprintf("write %s in %s", other, operand)
		if not != "" {
			remedy = fmt.Sprintf("write !(%s in %s)", other, operand)
		}
		remedy += fmt.Sprintf("; of a text, %s.contains(%s)", operand, other)
	}
	return fmt.Sprintf("%s does not stand between two values", function), remedy, true
}

func explainSyntax(src, message string) (what, remedy string) {
	if what, remedy, ok := explainInfix(src); ok {
		return what, remedy
	}
	if shellVariable.MatchString(withoutStrings(src)) {
		return "a rule knows no variables of the environment", "write the value itself in quotes, or read it from the token, as in claims.plan"
	}
	bare := withoutStrings(src)
	for _, w := range wrongWords {
		if w.pattern.MatchString(bare) {
			remedy = w.remedy
			break
		}
	}
	switch {
	case strings.Contains(message, "<EOF>"):
		what = "the rule ends too early"
		if remedy == "" {
			remedy = "is a bracket or a quote not closed?"
		}
	case strings.HasPrefix(message, "token recognition error"):
		what = "a character here belongs to no expression, or a quote is not closed"
	default:
		// What follows is the parser's list of all that would have been possible.
		what, _, _ = strings.Cut(message, " expecting ")
		what = "the rule cannot be read: " + what
	}
	return what, remedy
}

var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"|'(\\.|[^'\\])*'`)

func withoutStrings(src string) string { return quoted.ReplaceAllString(src, `""`) }

// functions are what a rule may call, in the order in which messages list them.
var functions = []string{
	"has", "exists", "exists_one", "all", "filter", "map", "size",
	"startsWith", "endsWith", "contains", "matches", "split", "lowerAscii",
}

// macros are the functions that take a name and a condition.
var macros = map[string]bool{"exists": true, "exists_one": true, "all": true, "filter": true, "map": true}

func explainName(e *Error, name string) (what, remedy string) {
	after := restAt(e.Source, e.Line, e.Column)
	if strings.HasPrefix(after, "(") || strings.HasPrefix(strings.TrimPrefix(after, name), "(") {
		return explainFunction(name)
	}
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = v.name
		if near(name, v.name) {
			return fmt.Sprintf("there is no variable %s", name), fmt.Sprintf("did you mean %s?", v.name)
		}
	}
	return fmt.Sprintf("there is no variable %s", name),
		fmt.Sprintf("there are %s; text stands in quotes, as in '%s'", strings.Join(names, ", "), name)
}

func explainFunction(name string) (what, remedy string) {
	what = fmt.Sprintf("there is no function %s", name)
	if strings.EqualFold(name, "not") {
		return what, "for not, write !"
	}
	if macros[name] {
		return name + " needs a name and a condition", fmt.Sprintf("write it as in claims.rooms.%s(r, r == params.room)", name)
	}
	for _, f := range functions {
		if near(name, f) {
			return what, fmt.Sprintf("did you mean %s?", f)
		}
	}
	return what, "there are " + strings.Join(functions, ", ")
}

func restAt(src string, line, column int) string {
	lines := strings.Split(src, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	runes := []rune(lines[line-1])
	return string(runes[min(column-1, len(runes)):])
}

// near reports whether a is b mistyped: other case, other or no underscores, a
// plural, or one letter wrong, missing or too many.
func near(a, b string) bool {
	fold := func(s string) string { return strings.TrimSuffix(strings.ToLower(strings.ReplaceAll(s, "_", "")), "s") }
	a, b = fold(a), fold(b)
	if a == b {
		return true
	}
	if len(a) < 3 {
		return false
	}
	// Cut off what both begin and end with; at most one letter may be left of each.
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1
}

// readable turns CEL's inner names of operators, such as _==_ and @in, into
// what people write.
func readable(operator string) string {
	if operator == "_[_]" {
		return "[ ]"
	}
	if bare := strings.Trim(operator, "_@"); bare != "" && strings.ContainsAny(operator, "_@!-") {
		return bare
	}
	return operator
}

func article(kind string) string {
	if strings.ContainsAny(kind[:1], "aeiou") {
		return "an " + kind
	}
	return "a " + kind
}

// reason says for a client why a rule could not be decided. It names what the
// token lacks, and nothing of what it holds.
func reason(err error) error {
	var cancelled interpreter.EvalCancelledError
	if errors.As(err, &cancelled) {
		return errors.New("the claims of the token are too much to look through")
	}
	text := err.Error()
	if key, ok := strings.CutPrefix(text, "no such key: "); ok {
		return fmt.Errorf("it needs %q, which the token does not carry", clip(key))
	}
	for _, kind := range []string{"no such overload", "expected iterable", "type conversion error", "unsupported"} {
		if strings.Contains(text, kind) {
			return errors.New("a claim of the token is not of the kind that it expects")
		}
	}
	if strings.Contains(text, "internal error") {
		return errors.New("it failed")
	}
	return errors.New(clip(text))
}

func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
