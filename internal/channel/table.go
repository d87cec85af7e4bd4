package channel

import (
	"fmt"
	"strings"
)

// CatchAll is the pattern that matches every name. It is what --dev declares.
const CatchAll = "*"

// Table is an immutable list of declarations. A reload makes a new one.
type Table struct {
	list     []*Declaration
	literal  map[string]int // literal names to their place, so that long lists stay quick
	patterns []int          // places of the entries that are patterns, in order
}

// NewTable checks the declarations, fills in their defaults and returns the
// table of them. The first problem is returned, naming the entry: a bad
// pattern, a name declared twice, or an entry that an earlier one hides whole.
func NewTable(ds []*Declaration) (*Table, error) {
	t := &Table{list: ds, literal: make(map[string]int)}
	for i, d := range ds {
		p, err := parsePattern(d.Name)
		if err != nil {
			return nil, fmt.Errorf("channel %q: %w", d.Name, err)
		}
		for _, before := range ds[:i] {
			if before.pattern.covers(p) {
				return nil, &HiddenError{Name: d.Name, By: before.Name}
			}
		}
		d.pattern = p
		d.fillDefaults()
		if p.isLiteral() {
			t.literal[d.Name] = i
		} else {
			t.patterns = append(t.patterns, i)
		}
	}
	return t, nil
}

// HiddenError is a declaration that can never match, because an earlier one
// matches all that it could.
type HiddenError struct{ Name, By string }

func (e *HiddenError) Error() string {
	if e.Name == e.By {
		return fmt.Sprintf("channel %q is declared twice", e.Name)
	}
	return fmt.Sprintf("channel %q can never be reached: %q above it matches every such name; move it up", e.Name, e.By)
}

// Match returns the first declaration, in the order they were written, whose
// name or pattern matches.
func (t *Table) Match(name string) (*Declaration, bool) {
	at := len(t.list)
	if i, ok := t.literal[name]; ok {
		at = i
	}
	for _, i := range t.patterns {
		if i > at {
			break
		}
		if t.list[i].pattern.matches(name) {
			return t.list[i], true
		}
	}
	if at == len(t.list) {
		return nil, false
	}
	return t.list[at], true
}

// Declarations returns the entries in order. The slice is not to be changed.
func (t *Table) Declarations() []*Declaration { return t.list }

// Names returns the declared names in order, for messages that say what exists.
func (t *Table) Names() string {
	names := make([]string, len(t.list))
	for i, d := range t.list {
		names[i] = d.Name
	}
	return strings.Join(names, ", ")
}
