package schema

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp/syntax"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Error is a schema that cannot be used, and what to do about it.
type Error struct {
	File    string // the file it stands in, if not the schema itself but one it refers to
	Pointer string // JSON pointer to the place in it; "" is the whole, or unknown
	What    string // what is wrong, one sentence without a full stop
	Remedy  string // what to do; may be empty
}

// Error returns the place, what is wrong and the remedy, in one or two lines.
func (e *Error) Error() string {
	text := e.What
	if place := e.File + strings.TrimSuffix("#"+e.Pointer, "#"); place != "" {
		text = fmt.Sprintf("at %s: %s", place, text)
	}
	if e.Remedy != "" {
		text += "\n" + e.Remedy
	}
	return text
}

// explain says in plain words why a schema does not compile.
func explain(name string, err error) *Error {
	var (
		remote  *remoteError
		missing *missingError
		load    *jsonschema.LoadURLError
		meta    *jsonschema.SchemaValidationError
		regex   *jsonschema.InvalidRegexError
		pointer *jsonschema.JSONPointerNotFoundError
		anchor  *jsonschema.AnchorNotFoundError
		draft   *jsonschema.UnsupportedDraftError
	)
	if errors.As(err, &load) {
		err = load.Err // it does not unwrap by itself
	}
	e := &Error{What: err.Error()}
	switch {
	case errors.As(err, &remote):
		e.What = remote.Error()
		e.Remedy = "save what it refers to beside this file and refer to that; a schema that names itself with $id at a website makes its references lead there"
	case errors.As(err, &missing):
		e.What = missing.Error()
	case errors.As(err, &meta):
		e.locate(name, meta.URL)
		e.fromMeta(meta.Err)
	case errors.As(err, &regex):
		e.locate(name, regex.URL)
		e.badPattern(regex.Regex, regex.Err)
	case errors.As(err, &pointer):
		e.locate(name, pointer.URL)
		e.What = "a $ref leads to " + e.place() + ", where there is nothing"
		e.Pointer, e.File = "", ""
	case errors.As(err, &anchor):
		_, fragment, _ := strings.Cut(anchor.Reference, "#")
		e.What = fmt.Sprintf("a $ref leads to the anchor %q, which the schema does not have", fragment)
	case errors.As(err, &draft):
		e.What = fmt.Sprintf("the $schema %s is not known", draft.URL)
		e.Remedy = "leave $schema out, or write https://json-schema.org/draft/2020-12/schema"
	}
	e.What = clip(e.What, MaxText)
	return e
}

// fromMeta fills in what the meta-schema found, at the place where it found it.
func (e *Error) fromMeta(err error) {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return
	}
	leaf := deepest(invalid)
	e.Pointer += pointer(leaf.InstanceLocation)
	if format, ok := leaf.ErrorKind.(*kind.Format); ok && format.Want == "regex" {
		e.badPattern(fmt.Sprint(format.Got), format.Err)
		return
	}
	subject := "it"
	if n := len(leaf.InstanceLocation); n > 0 {
		subject = fmt.Sprintf("%q", leaf.InstanceLocation[n-1])
	}
	e.What = fmt.Sprintf("this is not a valid schema: %s %s", subject, sentence(leaf.ErrorKind))
}

func (e *Error) badPattern(pattern string, err error) {
	var bad *syntax.Error
	if errors.As(err, &bad) {
		err = errors.New(string(bad.Code))
	}
	e.What = fmt.Sprintf("the regular expression %s cannot be used: %v", clip(pattern, 100), err)
	if strings.Contains(pattern, "(?") || bad != nil && bad.Code == syntax.ErrInvalidEscape {
		e.Remedy = "look-around and back references are not supported; see https://pkg.go.dev/regexp/syntax"
	}
}

// locate fills in File and Pointer from the library's address of a place.
func (e *Error) locate(name, location string) {
	file, fragment, _ := strings.Cut(location, "#")
	if file != address(name) {
		if u, err := url.Parse(file); err == nil && u.Scheme == "file" {
			file = u.Path
			if !strings.HasPrefix(name, "/") {
				file = strings.TrimPrefix(file, "/")
			}
		}
		e.File = path.Clean(file)
	}
	if text, err := url.PathUnescape(fragment); err == nil {
		fragment = text
	}
	e.Pointer = fragment
}

func (e *Error) place() string { return e.File + "#" + e.Pointer }

// deepest finds the leaf that is furthest inside the schema: the meta-schema
// says in many places that something is wrong, and there what.
func deepest(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	best := e
	for _, cause := range e.Causes {
		if leaf := deepest(cause); len(leaf.InstanceLocation) > len(best.InstanceLocation) || best == e {
			best = leaf
		}
	}
	return best
}
