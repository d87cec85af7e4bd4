package schema

// What is in objects and arrays.

func (r *run) memberCount(p *plan, n int32, out *found) bool {
	count := int(r.values[n].count)
	if least := p.src.MinProperties; least != nil && count < *least {
		return out.add(problem{keyword: isMinProperties, plan: p, value: n})
	}
	if most := p.src.MaxProperties; most != nil && count > *most {
		return out.add(problem{keyword: isMaxProperties, plan: p, value: n})
	}
	return true
}

func (r *run) required(p *plan, n int32, out *found) bool {
	if !r.take(int(r.values[n].count)) {
		return false
	}
	there := 0
	for name := range r.members(n) {
		if p.members[string(r.plain(name))].required {
			there++
		}
	}
	if there < p.mustHave {
		return out.add(problem{keyword: isRequired, plan: p, value: n})
	}
	return true
}

// noOtherMembers validates an object that takes no members but the declared.
func (r *run) noOtherMembers(p *plan, n int32, out *found) bool {
	if !r.take(int(r.values[n].count)) {
		return false
	}
	for name := range r.members(n) {
		if !r.declared(p, name) {
			return !r.over && out.add(problem{keyword: isClosed, plan: p, value: n})
		}
	}
	return true
}

// discriminators validates the members that say what an object is, before all other
// members: so the wrong ones of several alternatives end early.
func (r *run) discriminators(p *plan, n int32, out *found) bool {
	if out.most > 1 {
		return true // all members are validated in their turn
	}
	for _, name := range p.tells {
		if at := r.find(n, name); at != 0 && !r.validate(p.members[name].plan, at, out) {
			return false
		}
	}
	return true
}

func (r *run) dependents(p *plan, n int32, out *found) bool {
	fits := true
	for i, d := range p.needs {
		if !r.has(n, d.name) {
			continue
		}
		if d.plan != nil && !r.validate(d.plan, n, out) {
			fits = false
		}
		for _, needed := range d.names {
			if !r.has(n, needed) {
				fits = out.add(problem{keyword: isDependent, plan: p, value: n, a: int32(i)})
				break
			}
		}
		if !fits && out.enough() || r.over {
			return false
		}
	}
	return fits
}

func (r *run) propertyNames(p *plan, n int32, out *found) bool {
	fits := true
	for name := range r.members(n) {
		if !r.validate(p.names, name, out) {
			fits = false
			if out.enough() || r.over {
				return false
			}
		}
	}
	return fits
}

func (r *run) eachMember(p *plan, n int32, out *found) bool {
	fits := true
	for name := range r.members(n) {
		if !r.member(p, name, out) {
			fits = false
			if out.enough() {
				return false
			}
		}
		if r.over {
			return false
		}
	}
	return fits
}

func (r *run) member(p *plan, name int32, out *found) bool {
	if !r.take(1) {
		return false
	}
	plain := r.plain(name)
	m := p.members[string(plain)]
	fits, known := r.validate(m.plan, name+1, out), m.declared
	for _, m := range p.patterns {
		if !r.take(m.pattern.cost(len(plain))) {
			return false
		}
		if m.pattern.Match(plain) {
			known = true
			fits = r.validate(m.plan, name+1, out) && fits
		}
	}
	if !known && p.additional != nil {
		fits = r.validate(p.additional, name+1, out) && fits
	}
	return fits
}

func (r *run) itemCount(p *plan, n int32, out *found) bool {
	count := int(r.values[n].count)
	if least := p.src.MinItems; least != nil && count < *least {
		return out.add(problem{keyword: isMinItems, plan: p, value: n})
	}
	if most := p.src.MaxItems; most != nil && count > *most {
		return out.add(problem{keyword: isMaxItems, plan: p, value: n})
	}
	return true
}

func (r *run) eachItem(p *plan, n int32, out *found) bool {
	fits, i := true, 0
	for item := range r.items(n) {
		of := p.items
		if i < len(p.prefix) {
			of = p.prefix[i]
		}
		i++
		if !r.validate(of, item, out) {
			fits = false
			if out.enough() || r.over {
				return false
			}
		}
	}
	return fits
}

func (r *run) unique(p *plan, n int32, out *found) bool {
	v := &r.values[n]
	if v.count < 2 {
		return true
	}
	if !r.take(int(v.end-v.start)/4 + 4*int(v.count)) {
		return false
	}
	seen := make(map[string]int32, v.count)
	i := int32(0)
	for item := range r.items(n) {
		r.scratch = r.canonical(r.scratch[:0], item)
		if before, ok := seen[string(r.scratch)]; ok {
			return out.add(problem{keyword: isUniqueItems, plan: p, value: n, a: before, b: i})
		}
		seen[string(r.scratch)] = i
		i++
	}
	return true
}

// contains validates contains, with its least and its most.
func (r *run) contains(p *plan, n int32, out *found) bool {
	least, most := 1, -1
	if p.src.MinContains != nil {
		least = *p.src.MinContains
	}
	if p.src.MaxContains != nil {
		most = *p.src.MaxContains
	}
	count := 0
	for item := range r.items(n) {
		if count >= least && most < 0 {
			return true
		}
		if r.fits(p.contains, item) {
			count++
		}
		if r.over {
			return false
		}
	}
	if count < least {
		return out.add(problem{keyword: isContains, plan: p, value: n, a: int32(count)})
	}
	if most >= 0 && count > most {
		return out.add(problem{keyword: isMaxContains, plan: p, value: n, a: int32(count)})
	}
	return true
}

// unevaluated validates what no other keyword has looked at. It is the last step, and
// has a meaning only for a value that fits all other keywords.
func (r *run) unevaluated(p *plan, n int32, out *found) bool {
	if len(out.list) > 0 {
		return true // what is wrong has been found
	}
	seen := make([]bool, r.values[n].count)
	others := *p
	others.otherItems, others.otherMembers = nil, nil
	r.annotate(&others, n, seen)
	fits, i := true, 0
	check := func(of *plan, at int32) bool {
		if !seen[i] && !r.validate(of, at, out) {
			fits = false
		}
		i++
		return (fits || !out.enough()) && !r.over
	}
	if r.values[n].kind == array {
		for item := range r.items(n) {
			if !check(p.otherItems, item) {
				break
			}
		}
		return fits
	}
	for name := range r.members(n) {
		if !check(p.otherMembers, name+1) {
			break
		}
	}
	return fits
}
