package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File         string // as it was named to Load or Parse
	Line, Column int    // 1-based; Column counts characters. 0: the whole file
	Excerpt      string // the line
	What         string // what is wrong, without a full stop
	Remedy       string // what to do about it; may be empty
}

// String returns the problem over several lines: the place and what is wrong,
// the line with a caret under the place, and the remedy.
func (p *Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": " + p.What)
	if line, column := window(p.Excerpt, p.Column); p.Line > 0 && strings.TrimSpace(line) != "" {
		fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", p.Line, line, strings.Repeat(" ", column-1))
	}
	for line := range strings.SplitSeq(p.Remedy, "\n") {
		if line != "" {
			b.WriteString("\n    " + line)
		}
	}
	return b.String()
}

// brief returns the problem in one line.
func (p *Problem) brief() string {
	text := p.What
	if p.Remedy != "" {
		text += "; " + p.Remedy
	}
	if p.Line == 0 {
		return p.File + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, text)
}

// window cuts a long line down to what stands around the column.
func window(line string, column int) (string, int) {
	const width = 100
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return ' '
		}
		return r
	}, line)
	runes := []rune(line)
	column = min(max(column, 1), len(runes)+1)
	from := 0
	if column > width-20 {
		from = column - (width - 20)
	}
	to := min(len(runes), from+width)
	text := string(runes[from:to])
	if to < len(runes) {
		text += "…"
	}
	if from > 0 {
		text, column = "…"+text, column+1
	}
	return strings.TrimRight(text, " "), column - from
}

// Errors is everything that is wrong with a configuration, in the order of the
// lines. It is never empty.
type Errors struct{ List []*Problem }

// Error returns the problems one after the other, as String shows them.
func (e *Errors) Error() string {
	texts := make([]string, len(e.List))
	for i, p := range e.List {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// maxProblems is how many problems are told. Whoever has more than that has one
// that matters, such as a file of another kind.
const maxProblems = 50

// report collects problems and warnings while a file is read.
type report struct {
	file     string
	lines    []string
	problems []*Problem
	warnings []*Problem
}

func (r *report) at(p place, what, remedy string) *Problem {
	q := &Problem{File: r.file, Line: p.line, Column: p.column, What: what, Remedy: remedy}
	if p.line > 0 && p.line <= len(r.lines) {
		q.Excerpt = strings.TrimRight(r.lines[p.line-1], "\r")
	}
	return q
}

func (r *report) fail(p place, remedy, format string, args ...any) {
	r.problems = append(r.problems, r.at(p, fmt.Sprintf(format, args...), remedy))
}

func (r *report) warn(p place, remedy, format string, args ...any) {
	r.warnings = append(r.warnings, r.at(p, fmt.Sprintf(format, args...), remedy))
}

// err returns nil or what is wrong, sorted and without repetitions (an anchor
// is read once for each alias).
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	list := tidy(r.problems)
	if more := len(list) - maxProblems; more > 0 {
		list = append(list[:maxProblems], &Problem{File: r.file, What: fmt.Sprintf("and %d more problems", more)})
	}
	return &Errors{List: list}
}

func tidy(list []*Problem) []*Problem {
	slices.SortStableFunc(list, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(list, func(a, b *Problem) bool { return *a == *b })
}
