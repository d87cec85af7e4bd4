package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// plan is one schema, laid out for validation with a budget: its keywords in the
// order of what they cost, so that what does not fit is found early. It is
// immutable once it is made.
type plan struct {
	src   *jsonschema.Schema
	steps []step
	never bool // the schema false
	// memo: it contains itself, by way of a reference. What it says of a value is
	// kept then, so that alternatives that lead to the same value do not look at
	// it again and again, at each level anew.
	memo bool

	want     kinds
	equal    map[string]bool // const and enum: canonical forms
	equalTo  kinds
	minimum  [2]*bound // inclusive, exclusive
	maximum  [2]*bound
	multiple *bound

	refs          []*plan
	allOf         []*plan
	anyOf         []*plan
	oneOf         []*plan
	not           *plan
	when          *plan // if
	then          *plan
	otherwise     *plan // else
	members       map[string]member
	mustHave      int
	tells         []string // members that tell alternatives apart: looked at first
	patterns      []patternMember
	additional    *plan // of members; nil: anything
	closed        bool  // no members but those that are named
	names         *plan
	needs         []dependency
	prefix        []*plan
	items         *plan
	contains      *plan
	otherMembers  *plan // unevaluatedProperties
	otherItems    *plan // unevaluatedItems
	marksContains bool  // what contains finds counts as looked at
}

type member struct {
	plan               *plan // nil: anything
	declared, required bool  // by properties, by required
}

type patternMember struct {
	pattern *pattern
	plan    *plan
}

// dependency is what has to hold when a member is there.
type dependency struct {
	name  string
	names []string
	plan  *plan
}

// step validates a value by one keyword, or some that belong together.
type step struct {
	of       kinds // the values that the keyword speaks of
	final    bool  // what fails here is told alone
	validate func(r *run, p *plan, n int32, out *found) bool
}

// planner makes plans of the schemas that the library has compiled.
type planner struct {
	name    string // of the file
	plans   map[*jsonschema.Schema]*plan
	anchors map[string]int // how often each $dynamicAnchor stands in the documents
	all     []*plan
	err     *Error
}

func (c *planner) plan(s *jsonschema.Schema) *plan {
	if s == nil {
		return nil
	}
	if p := c.plans[s]; p != nil {
		return p
	}
	p := &plan{src: s}
	c.plans[s] = p
	c.all = append(c.all, p)
	if s.Bool != nil {
		p.never = !*s.Bool
		return p
	}
	if s.Types != nil {
		p.want = wanted(s.Types)
	}
	c.values(p)
	c.references(p)
	c.combined(p)
	c.inObject(p)
	c.inArray(p)
	p.minimum = [2]*bound{newBound(s.Minimum), newBound(s.ExclusiveMinimum)}
	p.maximum = [2]*bound{newBound(s.Maximum), newBound(s.ExclusiveMaximum)}
	p.multiple = newBound(s.MultipleOf)
	p.steps = stepsOf(p)
	return p
}

func (c *planner) each(list []*jsonschema.Schema) []*plan {
	plans := make([]*plan, 0, len(list))
	for _, s := range list {
		plans = append(plans, c.plan(s))
	}
	return plans
}

// fail keeps the first thing that cannot be used.
func (c *planner) fail(s *jsonschema.Schema, what, remedy string) {
	if c.err == nil {
		c.err = &Error{What: what, Remedy: remedy}
		c.err.locate(c.name, s.Location)
	}
}

func wanted(t *jsonschema.Types) (set kinds) {
	names := map[string]kinds{"null": null, "boolean": boolean, "number": number, "integer": integer, "string": text, "array": array, "object": object}
	for _, name := range t.ToStrings() {
		set |= names[name]
	}
	return set
}

// values takes const and enum together: a value has to be in both.
func (c *planner) values(p *plan) {
	if p.src.Const != nil {
		p.equal, p.equalTo = canonicalSet([]any{*p.src.Const})
	}
	if p.src.Enum == nil {
		return
	}
	set, of := canonicalSet(p.src.Enum.Values)
	if p.equal != nil {
		maps.DeleteFunc(set, func(text string, _ bool) bool { return !p.equal[text] })
		of &= p.equalTo
	}
	p.equal, p.equalTo = set, of
}

func canonicalSet(list []any) (set map[string]bool, of kinds) {
	set = make(map[string]bool, len(list))
	var t tape
	for _, v := range list {
		src, err := json.Marshal(v)
		if err != nil || t.read(src) != nil {
			continue // it was read from JSON
		}
		set[string(t.canonical(nil, 0))] = true
		of |= t.values[0].kind
	}
	return set, of
}

func (c *planner) references(p *plan) {
	s := p.src
	if s.Ref != nil {
		p.refs = append(p.refs, c.plan(s.Ref))
	}
	const remedy = "name one of them with $ref"
	if t := s.RecursiveRef; t != nil {
		if t.RecursiveAnchor && c.anchors[recursiveAnchor] > 1 {
			c.fail(s, "this $recursiveRef means one schema or another, by the way it was come to; such are not supported", remedy)
		}
		p.refs = append(p.refs, c.plan(t))
	}
	if d := s.DynamicRef; d != nil {
		if d.Anchor != "" && d.Ref.DynamicAnchor == d.Anchor && c.anchors[d.Anchor] > 1 {
			c.fail(s, fmt.Sprintf("this $dynamicRef means one of several schemas with the $dynamicAnchor %q, by the way it was come to; such are not supported", d.Anchor), remedy)
		}
		p.refs = append(p.refs, c.plan(d.Ref))
	}
}

func (c *planner) combined(p *plan) {
	s := p.src
	p.allOf, p.anyOf, p.oneOf = c.each(s.AllOf), c.each(s.AnyOf), c.each(s.OneOf)
	p.not, p.when, p.then, p.otherwise = c.plan(s.Not), c.plan(s.If), c.plan(s.Then), c.plan(s.Else)
}

func (c *planner) inObject(p *plan) {
	s := p.src
	p.members = make(map[string]member, len(s.Properties)+len(s.Required))
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		sub := c.plan(s.Properties[name])
		p.members[name] = member{plan: sub, declared: true}
		if sub.equal != nil && len(p.tells) < 4 {
			p.tells = append(p.tells, name)
		}
	}
	for _, name := range s.Required {
		m := p.members[name]
		if !m.required {
			p.mustHave++
		}
		m.required = true
		p.members[name] = m
	}
	for re, sub := range s.PatternProperties {
		p.patterns = append(p.patterns, patternMember{re.(*pattern), c.plan(sub)})
	}
	slices.SortFunc(p.patterns, func(a, b patternMember) int { return compareText(a.pattern.String(), b.pattern.String()) })
	switch additional := s.AdditionalProperties.(type) {
	case bool:
		p.closed = !additional
	case *jsonschema.Schema:
		p.additional = c.plan(additional)
	}
	p.names = c.plan(s.PropertyNames)
	p.otherMembers = c.plan(s.UnevaluatedProperties)
	p.needs = c.dependencies(s)
}

func (c *planner) dependencies(s *jsonschema.Schema) (list []dependency) {
	for name, needed := range s.DependentRequired {
		list = append(list, dependency{name: name, names: needed})
	}
	for name, sub := range s.DependentSchemas {
		list = append(list, dependency{name: name, plan: c.plan(sub)})
	}
	for name, d := range s.Dependencies {
		switch d := d.(type) {
		case []string:
			list = append(list, dependency{name: name, names: d})
		case *jsonschema.Schema:
			list = append(list, dependency{name: name, plan: c.plan(d)})
		}
	}
	slices.SortStableFunc(list, func(a, b dependency) int { return compareText(a.name, b.name) })
	return list
}

func (c *planner) inArray(p *plan) {
	s := p.src
	p.prefix, p.items = c.each(s.PrefixItems), c.plan(s.Items2020)
	switch items := s.Items.(type) { // before draft 2020-12
	case *jsonschema.Schema:
		p.items = c.plan(items)
	case []*jsonschema.Schema:
		p.prefix = c.each(items)
		switch additional := s.AdditionalItems.(type) {
		case bool:
			p.items = &plan{src: s, never: !additional}
		case *jsonschema.Schema:
			p.items = c.plan(additional)
		}
	}
	p.contains = c.plan(s.Contains)
	p.marksContains = s.DraftVersion >= 2020
	p.otherItems = c.plan(s.UnevaluatedItems)
}
