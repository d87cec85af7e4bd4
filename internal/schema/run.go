package schema

import (
	"sync"

	"ringdown/internal/channel"
)

// run is the validation of one value.
type run struct {
	tape
	budget  *channel.Budget
	over    bool // the budget is spent, and no verdict counts any more
	memo    map[memoKey]problem
	scratch []byte
}

type memoKey struct {
	plan  *plan
	value int32
}

var runs = sync.Pool{New: func() any { return new(run) }}

// keepValues is how large a tape is kept for the next message.
const keepValues = 4_096

func newRun(b *channel.Budget) *run {
	r := runs.Get().(*run)
	r.budget, r.over = b, false
	return r
}

func (r *run) release() {
	r.src, r.budget = nil, nil
	if cap(r.values) > keepValues || cap(r.scratch) > 16*keepValues {
		r.values, r.scratch = nil, nil
	}
	if len(r.memo) > keepValues {
		r.memo = nil
	}
	if len(r.decoded) > keepValues {
		r.decoded = nil
	}
	clear(r.memo)
	clear(r.decoded)
	runs.Put(r)
}

// take spends steps; false is the end of the validation.
func (r *run) take(steps int) bool {
	if !r.over && !r.budget.Take(steps) {
		r.over = true
	}
	return !r.over
}

// problem is one thing that is wrong: the keyword that a value does not fit.
// Zero is none. Its text is made when it is told, and few are.
type problem struct {
	keyword keyword
	plan    *plan
	value   int32
	a, b    int32    // of uniqueItems: the items; of oneOf: which fit
	cause   *problem // of alternatives: what is wrong with the first
}

// found gathers what is wrong.
type found struct {
	most int // of problems that are kept; 1: the validation ends with the first
	list []problem
	more int // how many were not kept
}

func (f *found) add(p problem) bool {
	if len(f.list) < f.most {
		f.list = append(f.list, p)
	} else {
		f.more++
	}
	return false
}

// enough reports that nothing more need be looked at.
func (f *found) enough() bool { return f.most == 1 && len(f.list) == 1 }

// validate reports whether a value fits, and adds to out what is wrong with it.
func (r *run) validate(p *plan, n int32, out *found) bool {
	if p == nil {
		return true
	}
	if p.memo && out.most == 1 {
		what := r.first(p, n)
		if what.keyword != 0 {
			return out.add(what)
		}
		return !r.over
	}
	return r.steps(p, n, out)
}

func (r *run) steps(p *plan, n int32, out *found) bool {
	if !r.take(1) {
		return false
	}
	if p.never {
		return out.add(problem{keyword: isFalse, plan: p, value: n})
	}
	fits, kind := true, r.values[n].kind
	for i := range p.steps {
		s := &p.steps[i]
		if s.of&kind == 0 {
			continue
		}
		if !r.take(1) {
			return false
		}
		if !s.validate(r, p, n, out) {
			fits = false
			if s.final || out.enough() || r.over {
				return false
			}
		}
	}
	return fits && !r.over
}

// first returns the first thing that is wrong with a value, or none. It
// remembers what it found for plans that contain themselves.
func (r *run) first(p *plan, n int32) problem {
	key := memoKey{p, n}
	if p.memo {
		if known, ok := r.memo[key]; ok {
			r.take(1)
			return known
		}
	}
	var one [1]problem
	out := found{most: 1, list: one[:0]}
	r.steps(p, n, &out)
	var what problem
	if len(out.list) > 0 {
		what = out.list[0]
	}
	if p.memo && !r.over {
		if r.memo == nil {
			r.memo = make(map[memoKey]problem)
		}
		r.memo[key] = what
		r.take(4)
	}
	return what
}

// fits reports whether a value fits, whatever may be wrong with it.
func (r *run) fits(p *plan, n int32) bool { return r.first(p, n).keyword == 0 && !r.over }

// annotate notes which items or members of a value that fits a plan the plan and
// those that it is put together of have looked at (the annotations of
// unevaluatedItems and unevaluatedProperties).
func (r *run) annotate(p *plan, n int32, seen []bool) {
	if p == nil || p.never || !r.take(1+len(seen)) {
		return
	}
	switch r.values[n].kind {
	case object:
		r.annotateMembers(p, n, seen)
	case array:
		r.annotateItems(p, n, seen)
	}
	for _, list := range [][]*plan{p.refs, p.allOf} {
		for _, sub := range list {
			r.annotate(sub, n, seen)
		}
	}
	for _, list := range [][]*plan{p.anyOf, p.oneOf} {
		for _, sub := range list {
			if r.fits(sub, n) {
				r.annotate(sub, n, seen)
			}
		}
	}
	for _, d := range p.needs {
		if d.plan != nil && r.has(n, d.name) {
			r.annotate(d.plan, n, seen)
		}
	}
	switch {
	case p.when == nil:
	case r.fits(p.when, n):
		r.annotate(p.when, n, seen)
		r.annotate(p.then, n, seen)
	default:
		r.annotate(p.otherwise, n, seen)
	}
}

func (r *run) annotateMembers(p *plan, n int32, seen []bool) {
	all := p.src.AdditionalProperties != nil || p.otherMembers != nil
	i := 0
	for name := range r.members(n) {
		seen[i] = seen[i] || all || r.declared(p, name)
		i++
	}
}

func (r *run) annotateItems(p *plan, n int32, seen []bool) {
	all := p.items != nil || p.otherItems != nil
	i := 0
	for item := range r.items(n) {
		seen[i] = seen[i] || all || i < len(p.prefix) ||
			p.contains != nil && p.marksContains && r.fits(p.contains, item)
		i++
	}
}

// members gives the index of each name of an object; the value is the next.
func (r *run) members(n int32) func(yield func(name int32) bool) {
	return func(yield func(int32) bool) {
		end := r.values[n].next
		for name := n + 1; name < end; name = r.values[name+1].next {
			if !yield(name) {
				return
			}
		}
	}
}

// items gives the index of each item of an array.
func (r *run) items(n int32) func(yield func(item int32) bool) {
	return func(yield func(int32) bool) {
		end := r.values[n].next
		for item := n + 1; item < end; item = r.values[item].next {
			if !yield(item) {
				return
			}
		}
	}
}

// has reports whether an object has a member.
func (r *run) has(n int32, name string) bool { return r.find(n, name) != 0 }

// find returns the value of a member, or 0; nothing else than an object has any.
func (r *run) find(n int32, name string) int32 {
	if r.values[n].kind != object {
		return 0
	}
	r.take(1 + int(r.values[n].count)/4)
	for at := range r.members(n) {
		if string(r.plain(at)) == name {
			return at + 1
		}
	}
	return 0
}

// declared reports whether properties or patternProperties name a member.
func (r *run) declared(p *plan, name int32) bool {
	plain := r.plain(name)
	if m, ok := p.members[string(plain)]; ok && m.declared {
		return true
	}
	for _, m := range p.patterns {
		if !r.take(m.pattern.cost(len(plain))) {
			return false
		}
		if m.pattern.Match(plain) {
			return true
		}
	}
	return false
}
