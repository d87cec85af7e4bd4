package schema

import "unicode/utf8"

// keyword says what a value did not fit.
type keyword uint8

const (
	_ keyword = iota
	isFalse
	isType
	isConst
	isEnum
	isFormat
	isMinimum
	isMaximum
	isExclusiveMinimum
	isExclusiveMaximum
	isMultipleOf
	isMinLength
	isMaxLength
	isPattern
	isMinItems
	isMaxItems
	isUniqueItems
	isContains
	isMaxContains
	isMinProperties
	isMaxProperties
	isRequired
	isClosed
	isDependent
	isNot
	isAnyOf
	isOneOf
	isSeveral
)

// stepsOf puts the keywords of a plan in the order in which they are validated:
// what is cheap and rules out much comes first.
func stepsOf(p *plan) (steps []step) {
	s := p.src
	add := func(is bool, of kinds, validate func(*run, *plan, int32, *found) bool) {
		if is {
			steps = append(steps, step{of: of, validate: validate})
		}
	}
	only := func(is bool, of kinds, validate func(*run, *plan, int32, *found) bool) {
		if is {
			steps = append(steps, step{of: of, final: true, validate: validate})
		}
	}
	only(p.want != 0, anyKind, (*run).kind)
	only(p.equal != nil, anyKind, (*run).equals)
	add(s.MinLength != nil || s.MaxLength != nil, text, (*run).length)
	only(s.Format != nil, anyKind, (*run).format)
	add(p.minimum[0] != nil || p.minimum[1] != nil || p.maximum[0] != nil || p.maximum[1] != nil, number, (*run).bounds)
	add(p.multiple != nil, number, (*run).multiples)
	add(s.MinItems != nil || s.MaxItems != nil, array, (*run).itemCount)
	add(s.MinProperties != nil || s.MaxProperties != nil, object, (*run).memberCount)
	add(len(s.Required) > 0, object, (*run).required)
	add(p.closed, object, (*run).noOtherMembers)
	add(len(p.tells) > 0, object, (*run).discriminators)
	add(s.Pattern != nil, text, (*run).matches)
	add(len(p.needs) > 0, object, (*run).dependents)
	add(p.names != nil, object, (*run).propertyNames)
	add(len(s.Properties)+len(p.patterns) > 0 || p.additional != nil, object, (*run).eachMember)
	add(len(p.prefix) > 0 || p.items != nil, array, (*run).eachItem)
	add(s.UniqueItems, array, (*run).unique)
	add(len(p.refs) > 0 || len(p.allOf) > 0, anyKind, (*run).allOf)
	add(p.when != nil, anyKind, (*run).conditional)
	add(len(p.anyOf) > 0, anyKind, (*run).anyOf)
	add(len(p.oneOf) > 0, anyKind, (*run).oneOf)
	add(p.not != nil, anyKind, (*run).not)
	add(p.contains != nil, array, (*run).contains)
	add(p.otherMembers != nil, object, (*run).unevaluated)
	add(p.otherItems != nil, array, (*run).unevaluated)
	return steps
}

func (r *run) kind(p *plan, n int32, out *found) bool {
	k := r.values[n].kind
	if p.want&k != 0 || k == number && p.want&integer != 0 && whole(r.raw(n)) {
		return true
	}
	return out.add(problem{keyword: isType, plan: p, value: n})
}

func (r *run) equals(p *plan, n int32, out *found) bool {
	v := &r.values[n]
	fits := p.equalTo&v.kind != 0
	if fits {
		if !r.take(int(v.end-v.start) / 4) {
			return false
		}
		if v.kind == text && !v.escaped {
			fits = p.equal[string(r.raw(n))]
		} else {
			r.scratch = r.canonical(r.scratch[:0], n)
			fits = p.equal[string(r.scratch)]
		}
	}
	switch {
	case fits:
		return true
	case p.src.Enum != nil:
		return out.add(problem{keyword: isEnum, plan: p, value: n})
	}
	return out.add(problem{keyword: isConst, plan: p, value: n})
}

// format is asked of texts; the library's functions let other kinds pass, and
// so does this.
func (r *run) format(p *plan, n int32, out *found) bool {
	if r.values[n].kind != text {
		return true
	}
	s := r.plain(n)
	steps := 4 + len(s)/2
	if p.src.Format.Name == "regex" {
		steps = 100 * len(s) // it is compiled
	}
	if !r.take(steps) {
		return false
	}
	if p.src.Format.Validate(string(s)) != nil {
		return out.add(problem{keyword: isFormat, plan: p, value: n})
	}
	return true
}

func (r *run) bounds(p *plan, n int32, out *found) bool {
	fits := true
	within := func(b *bound, k keyword, ok func(order int) bool) {
		if b == nil {
			return
		}
		r.take(1)
		if !ok(b.compare(r.raw(n))) {
			fits = out.add(problem{keyword: k, plan: p, value: n})
		}
	}
	within(p.minimum[0], isMinimum, func(order int) bool { return order >= 0 })
	within(p.maximum[0], isMaximum, func(order int) bool { return order <= 0 })
	within(p.minimum[1], isExclusiveMinimum, func(order int) bool { return order > 0 })
	within(p.maximum[1], isExclusiveMaximum, func(order int) bool { return order < 0 })
	return fits
}

func (r *run) multiples(p *plan, n int32, out *found) bool {
	ok, steps := p.multiple.divides(r.raw(n))
	r.take(steps)
	if !ok {
		return out.add(problem{keyword: isMultipleOf, plan: p, value: n})
	}
	return true
}

func (r *run) length(p *plan, n int32, out *found) bool {
	s := r.plain(n)
	if !r.take(len(s) / 32) {
		return false
	}
	length := utf8.RuneCount(s)
	if least := p.src.MinLength; least != nil && length < *least {
		return out.add(problem{keyword: isMinLength, plan: p, value: n, a: int32(length)})
	}
	if most := p.src.MaxLength; most != nil && length > *most {
		return out.add(problem{keyword: isMaxLength, plan: p, value: n, a: int32(length)})
	}
	return true
}

func (r *run) matches(p *plan, n int32, out *found) bool {
	re := p.src.Pattern.(*pattern)
	s := r.plain(n)
	if !r.take(re.cost(len(s))) {
		return false
	}
	if !re.Match(s) {
		return out.add(problem{keyword: isPattern, plan: p, value: n})
	}
	return true
}

// allOf validates by the schemas that all have to hold: references and allOf.
func (r *run) allOf(p *plan, n int32, out *found) bool {
	fits := true
	for _, list := range [...][]*plan{p.refs, p.allOf} {
		for _, sub := range list {
			if !r.validate(sub, n, out) {
				fits = false
				if out.enough() || r.over {
					return false
				}
			}
		}
	}
	return fits
}

func (r *run) conditional(p *plan, n int32, out *found) bool {
	if r.fits(p.when, n) {
		return r.validate(p.then, n, out)
	}
	return r.validate(p.otherwise, n, out)
}

func (r *run) anyOf(p *plan, n int32, out *found) bool {
	var cause problem
	for _, sub := range p.anyOf {
		what := r.first(sub, n)
		if r.over {
			return false
		}
		if what.keyword == 0 {
			return true
		}
		cause = r.nearer(cause, what)
	}
	return out.add(problem{keyword: isAnyOf, plan: p, value: n, cause: &cause})
}

func (r *run) oneOf(p *plan, n int32, out *found) bool {
	var cause problem
	fitting := int32(-1)
	for i, sub := range p.oneOf {
		what := r.first(sub, n)
		switch {
		case r.over:
			return false
		case what.keyword != 0:
			cause = r.nearer(cause, what)
		case fitting >= 0:
			return out.add(problem{keyword: isSeveral, plan: p, value: n, a: fitting, b: int32(i)})
		default:
			fitting = int32(i)
		}
	}
	if fitting < 0 {
		return out.add(problem{keyword: isOneOf, plan: p, value: n, cause: &cause})
	}
	return true
}

// nearer returns the problem of the alternative that was probably meant: the one
// that fits furthest into the data. A value that names what it is and has a
// mistake further in is told of its mistake then, and not that it is no other.
func (r *run) nearer(a, b problem) problem {
	if a.keyword == 0 || !r.tells(b) && r.tells(a) || r.tells(a) == r.tells(b) && b.deepest() > a.deepest() {
		return b
	}
	return a
}

// tells reports whether a problem is that a value is another alternative.
func (r *run) tells(p problem) bool { return p.keyword == isConst || p.keyword == isEnum }

// deepest returns the index of the value that is wrong, inside alternatives of
// that of the value further in.
func (p problem) deepest() int32 {
	if p.cause != nil {
		return max(p.value, p.cause.deepest())
	}
	return p.value
}

func (r *run) not(p *plan, n int32, out *found) bool {
	if r.fits(p.not, n) {
		return out.add(problem{keyword: isNot, plan: p, value: n})
	}
	return !r.over
}
