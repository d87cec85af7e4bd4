package schema

import (
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// MaxText is the longest text that Validate's errors have, in bytes.
const MaxText = 500

// maxProblems is how many mistakes are told at once: enough to remedy them in one
// go, few enough to read.
const maxProblems = 3

var english = message.NewPrinter(language.English)

// describe tells a client what is wrong with its data.
func (r *run) describe(what *found) string {
	texts := make([]string, 0, maxProblems)
	for i := range what.list {
		texts = append(texts, r.told(&what.list[i]))
	}
	all := strings.Join(texts, "; ")
	if what.more > 0 {
		all += fmt.Sprintf("; and %d more", what.more)
	}
	return clip(all, MaxText)
}

// told says what is wrong and where. Of alternatives the client is told that
// none fits, and what is wrong with the one that was probably meant.
func (r *run) told(p *problem) string {
	switch p.keyword {
	case isAnyOf, isOneOf:
		text := r.at(p) + "fits none of the alternatives"
		leaf := p.cause
		for leaf != nil && leaf.cause != nil {
			leaf = leaf.cause
		}
		if leaf != nil && leaf.keyword != 0 {
			text += " (" + r.at(leaf) + r.sentence(leaf) + ")"
		}
		return text
	case isSeveral:
		return r.at(p) + "fits more than one of the alternatives"
	}
	return r.at(p) + r.sentence(p)
}

// at names the place as a JSON pointer (RFC 6901), nothing for the whole.
func (r *run) at(p *problem) string {
	tokens, _ := r.place(p.value)
	if len(tokens) == 0 {
		return ""
	}
	place := pointer(tokens)
	if len(place) > 120 { // how it ends says more than what is in between
		place = clip(place[:40], 40) + "…" + strings.ToValidUTF8(place[len(place)-70:], "")
	}
	return place + ": "
}

func (r *run) sentence(p *problem) string {
	text := sentence(r.asKind(p))
	if _, isName := r.place(p.value); isName {
		return fmt.Sprintf("the name %q %s", clip(string(r.plain(p.value)), 60), text)
	}
	return text
}

// asKind returns what the library would have said.
func (r *run) asKind(p *problem) jsonschema.ErrorKind {
	s, v := p.plan.src, &r.values[p.value]
	switch p.keyword {
	case isType:
		return &kind.Type{Got: kindNames[v.kind], Want: s.Types.ToStrings()}
	case isConst:
		return &kind.Const{Want: *s.Const}
	case isEnum:
		return &kind.Enum{Want: s.Enum.Values}
	case isFormat:
		return &kind.Format{Want: s.Format.Name}
	case isMinimum:
		return &kind.Minimum{Want: s.Minimum}
	case isMaximum:
		return &kind.Maximum{Want: s.Maximum}
	case isExclusiveMinimum:
		return &kind.ExclusiveMinimum{Want: s.ExclusiveMinimum}
	case isExclusiveMaximum:
		return &kind.ExclusiveMaximum{Want: s.ExclusiveMaximum}
	case isMultipleOf:
		return &kind.MultipleOf{Want: s.MultipleOf}
	case isMinLength:
		return &kind.MinLength{Got: int(p.a), Want: *s.MinLength}
	case isMaxLength:
		return &kind.MaxLength{Got: int(p.a), Want: *s.MaxLength}
	case isPattern:
		return &kind.Pattern{Want: s.Pattern.String()}
	}
	return r.asKindInside(p, s, int(v.count))
}

func (r *run) asKindInside(p *problem, s *jsonschema.Schema, count int) jsonschema.ErrorKind {
	switch p.keyword {
	case isMinItems:
		return &kind.MinItems{Got: count, Want: *s.MinItems}
	case isMaxItems:
		return &kind.MaxItems{Got: count, Want: *s.MaxItems}
	case isMinProperties:
		return &kind.MinProperties{Got: count, Want: *s.MinProperties}
	case isMaxProperties:
		return &kind.MaxProperties{Got: count, Want: *s.MaxProperties}
	case isUniqueItems:
		return &kind.UniqueItems{Duplicates: [2]int{int(p.a), int(p.b)}}
	case isContains:
		if s.MinContains == nil {
			return &kind.Contains{}
		}
		return &kind.MinContains{Got: make([]int, p.a), Want: *s.MinContains}
	case isMaxContains:
		return &kind.MaxContains{Got: make([]int, p.a), Want: *s.MaxContains}
	case isRequired:
		return &kind.Required{Missing: r.missing(p.value, s.Required)}
	case isDependent:
		d := p.plan.needs[p.a]
		return &kind.DependentRequired{Prop: d.name, Missing: r.missing(p.value, d.names)}
	case isClosed:
		return &kind.AdditionalProperties{Properties: r.strange(p)}
	case isNot:
		return &kind.Not{}
	}
	return &kind.FalseSchema{}
}

var kindNames = map[kinds]string{null: "null", boolean: "boolean", number: "number", text: "string", array: "array", object: "object"}

func (r *run) missing(n int32, names []string) (missing []string) {
	there := make(map[string]bool, r.values[n].count)
	for name := range r.members(n) {
		there[string(r.plain(name))] = true
	}
	for _, name := range names {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	return missing
}

func (r *run) strange(p *problem) (names []string) {
	for name := range r.members(p.value) {
		if !r.declared(p.plan, name) {
			names = append(names, string(r.plain(name)))
		}
	}
	return names
}

func pointer(tokens []string) string {
	var b strings.Builder
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for _, t := range tokens {
		b.WriteString("/" + escape.Replace(t))
	}
	return b.String()
}

// sentence says what is wrong in plain words. What the client sent is not
// repeated: it knows, and it may be long. Kinds that are not listed are rare
// and told in the library's words.
func sentence(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Required:
		return list(k.Missing) + are(k.Missing) + "missing"
	case *kind.AdditionalProperties:
		return list(k.Properties) + are(k.Properties) + "not expected here"
	case *kind.FalseSchema:
		return "is not expected here"
	case *kind.MinLength:
		return fmt.Sprintf("has %d characters, the least is %d", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has %d characters, the most is %d", k.Got, k.Want)
	case *kind.Contains:
		return "has no item of the kind that it needs"
	case *kind.MinContains:
		return fmt.Sprintf("has %d items of the kind that it needs, the least is %d", len(k.Got), k.Want)
	case *kind.MaxContains:
		return fmt.Sprintf("has %d items of a kind of which the most is %d", len(k.Got), k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %d items, the least is %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d items, the most is %d", k.Got, k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("has %d properties, the least is %d", k.Got, k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has %d properties, the most is %d", k.Got, k.Want)
	case *kind.Not:
		return "is of a kind that is ruled out"
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.MultipleOf:
		want, _ := k.Want.Float64()
		return fmt.Sprintf("must be a multiple of %v", want)
	case *kind.DependentRequired:
		return list(k.Missing) + are(k.Missing) + fmt.Sprintf("missing, since %q is there", clip(k.Prop, 60))
	case *kind.Pattern:
		return fmt.Sprintf("does not match the pattern %s", clip(k.Want, 150))
	case *kind.Format:
		return fmt.Sprintf("is not a valid %s", k.Want)
	case *kind.Minimum:
		want, _ := k.Want.Float64()
		return fmt.Sprintf("must be at least %v", want)
	case *kind.Maximum:
		want, _ := k.Want.Float64()
		return fmt.Sprintf("must be at most %v", want)
	case *kind.ExclusiveMinimum:
		want, _ := k.Want.Float64()
		return fmt.Sprintf("must be more than %v", want)
	case *kind.ExclusiveMaximum:
		want, _ := k.Want.Float64()
		return fmt.Sprintf("must be less than %v", want)
	}
	return clip(strings.TrimPrefix(k.LocalizedString(english), "value "), 200)
}

func list(names []string) string {
	quoted := make([]string, 0, 4)
	for i, name := range names {
		if i == 3 && len(names) > 4 {
			return strings.Join(quoted, ", ") + fmt.Sprintf(" and %d more", len(names)-i)
		}
		quoted = append(quoted, fmt.Sprintf("%q", clip(name, 60)))
	}
	return strings.Join(quoted, ", ")
}

func are(names []string) string {
	if len(names) == 1 {
		return " is "
	}
	return " are "
}

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return strings.ToValidUTF8(s, "�")
	}
	return strings.ToValidUTF8(s[:n-len(ellipsis)], "") + ellipsis
}
