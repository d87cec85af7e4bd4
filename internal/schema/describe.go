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

// maxProblems is how many mistakes are told at once: enough to mend them in one
// go, few enough to read.
const maxProblems = 3

var english = message.NewPrinter(language.English)

// describe tells a client what is wrong with its data.
func describe(e *jsonschema.ValidationError) string {
	var all problems
	all.collect(e)
	text := strings.Join(all.texts, "; ")
	if all.more > 0 {
		text += fmt.Sprintf("; and %d more", all.more)
	}
	return clip(text, MaxText)
}

type problems struct {
	texts []string
	more  int
}

func (p *problems) add(text string) {
	if len(p.texts) == maxProblems {
		p.more++
		return
	}
	p.texts = append(p.texts, text)
}

// collect goes to the leaves, which say what is wrong; the branches above them
// only say that something is. Alternatives are the exception: the client is told
// that none of them fits, since which of them was meant is not known.
func (p *problems) collect(e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf:
		p.add(at(e) + "fits none of the alternatives" + firstCause(e))
		return
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			p.add(at(e) + "fits none of the alternatives" + firstCause(e))
			return
		}
		p.add(at(e) + "fits more than one of the alternatives")
		return
	}
	if len(e.Causes) == 0 {
		p.add(at(e) + sentence(e.ErrorKind))
		return
	}
	for _, cause := range e.Causes {
		p.collect(cause)
	}
}

func firstCause(e *jsonschema.ValidationError) string {
	leaf := e
	for len(leaf.Causes) > 0 {
		leaf = leaf.Causes[0]
	}
	if leaf == e {
		return ""
	}
	return fmt.Sprintf(" (%s%s)", at(leaf), sentence(leaf.ErrorKind))
}

// at names the place as a JSON pointer (RFC 6901), nothing for the whole.
func at(e *jsonschema.ValidationError) string {
	if len(e.InstanceLocation) == 0 {
		return ""
	}
	return clip(pointer(e.InstanceLocation), 120) + ": "
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
