package schema

import "strings"

const recursiveAnchor = "$recursiveAnchor"

// countAnchors counts how often each name stands for a schema that a reference
// may mean or not, by the way it was come to.
func countAnchors(doc any, count map[string]int) {
	switch v := doc.(type) {
	case []any:
		for _, item := range v {
			countAnchors(item, count)
		}
	case map[string]any:
		if name, ok := v["$dynamicAnchor"].(string); ok {
			count[name]++
		}
		if yes, ok := v[recursiveAnchor].(bool); ok && yes {
			count[recursiveAnchor]++
		}
		for _, item := range v {
			countAnchors(item, count)
		}
	}
}

// inPlace returns the plans that validate the same value as p does.
func (p *plan) inPlace() []*plan {
	list := append([]*plan(nil), p.refs...)
	list = append(append(append(list, p.allOf...), p.anyOf...), p.oneOf...)
	for _, d := range p.needs {
		list = append(list, d.plan)
	}
	return append(list, p.not, p.when, p.then, p.otherwise)
}

// children returns the plans that validate what is in the value.
func (p *plan) children() []*plan {
	list := append([]*plan(nil), p.prefix...)
	for _, m := range p.members {
		list = append(list, m.plan)
	}
	for _, m := range p.patterns {
		list = append(list, m.plan)
	}
	return append(list, p.additional, p.names, p.items, p.contains, p.otherMembers, p.otherItems)
}

// bounded refuses a schema that refers to itself without going into the data,
// which would never end, and marks those that contain themselves: their
// verdicts are remembered.
func (c *planner) bounded() {
	cycles(c.all, (*plan).inPlace, func(p *plan) {
		c.fail(p.src, "this schema refers to itself without going into the data, so that judging by it would never end", "let the $ref back to it stand under properties or items")
	})
	both := func(p *plan) []*plan { return append(p.inPlace(), p.children()...) }
	cycles(c.all, both, func(p *plan) { p.memo = true })
}

// cycles tells of one plan at least in every circle that the edges make.
func cycles(all []*plan, edges func(*plan) []*plan, tell func(*plan)) {
	const busy, done = 1, 2
	state := make(map[*plan]int, len(all))
	var visit func(p *plan)
	visit = func(p *plan) {
		state[p] = busy
		for _, next := range edges(p) {
			switch {
			case next == nil:
			case state[next] == busy:
				tell(next)
			case state[next] != done:
				visit(next)
			}
		}
		state[p] = done
	}
	for _, p := range all {
		if state[p] == 0 {
			visit(p)
		}
	}
}

func compareText(a, b string) int { return strings.Compare(a, b) }
