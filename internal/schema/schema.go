// Package schema checks the data of events against JSON Schema, draft 2020-12
// unless a schema names another with $schema. Formats are asserted. Nothing is
// ever fetched over the network.
//
// Schemas are the operator's and trusted; the data comes from clients and is
// not. So validation has a budget of steps, and what cannot be bounded by it is
// refused when a schema is compiled. The library reads and compiles schemas; the
// validation is done here, since the library's has no end to its work: it looks at
// a value once for each way that alternatives lead to it, and writes down all
// that is wrong with each. Here it ends with the first mistake, a verdict about
// a schema that contains itself is remembered, and text is made of a few
// mistakes at the end.
//
// Numbers are compared exactly, so this relies on the protocol to have refused
// those with many digits or huge exponents.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"ringdown/internal/channel"
	"ringdown/protocol"
)

// MaxSource is the largest schema that is accepted, in bytes.
const MaxSource = 1 << 20

// Loader returns the content of a file that a schema refers to. The name is the
// reference resolved against the name of the schema it stands in: slashes,
// without dot segments, relative if that name was.
type Loader func(name string) ([]byte, error)

// Compile returns the validator for the schema src. name is the slash-separated
// path of the file it stands in, against which its references are resolved;
// what they lead to is read by load, which may be nil if there is to be none.
// The error is an *Error. The validator is safe for concurrent use.
func Compile(name string, src []byte, load Loader) (channel.Validator, error) {
	base := address(name)
	doc, err := decode(src)
	if err != nil {
		return nil, &Error{What: err.Error()}
	}
	switch doc.(type) {
	case map[string]any, bool:
	default:
		return nil, &Error{What: "a schema is an object, or true or false", Remedy: "write it as in {type: object, required: [id]}"}
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseRegexpEngine(compilePattern)
	loader := &files{relative: !strings.HasPrefix(name, "/"), load: load}
	c.UseLoader(loader)
	if err := c.AddResource(base, doc); err != nil {
		return nil, &Error{What: err.Error()}
	}
	compiled, err := c.Compile(base)
	if err != nil {
		return nil, explain(name, err)
	}
	p := planner{name: name, plans: make(map[*jsonschema.Schema]*plan), anchors: make(map[string]int)}
	for _, doc := range append(loader.loaded, doc) {
		countAnchors(doc, p.anchors)
	}
	whole := p.plan(compiled)
	if p.bounded(); p.err != nil {
		return nil, p.err
	}
	return &validator{whole}, nil
}

// address makes a URL of a file name, so that references can be resolved.
func address(name string) string {
	u := url.URL{Scheme: "file", Path: path.Join("/", name)}
	return u.String()
}

// files resolves the references of schemas.
type files struct {
	relative bool
	load     Loader
	loaded   []any
}

// Load implements jsonschema.URLLoader.
func (f *files) Load(address string) (any, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "file" {
		return nil, &remoteError{address}
	}
	if f.load == nil {
		return nil, errors.New("references to other files are not possible here")
	}
	name := u.Path
	if f.relative {
		name = strings.TrimPrefix(name, "/")
	}
	src, err := f.load(name)
	if err != nil {
		return nil, &missingError{name, err}
	}
	doc, err := decode(src)
	if err != nil {
		return nil, &missingError{name, err}
	}
	f.loaded = append(f.loaded, doc)
	return doc, nil
}

type remoteError struct{ url string }

func (e *remoteError) Error() string {
	return fmt.Sprintf("the schema refers to %s, and schemas are never fetched over the network", e.url)
}

type missingError struct {
	name string
	err  error
}

func (e *missingError) Error() string {
	if errors.Is(e.err, fs.ErrNotExist) {
		return fmt.Sprintf("the schema refers to the file %s, which does not exist", e.name)
	}
	return fmt.Sprintf("the schema refers to the file %s: %v", e.name, e.err)
}

func (e *missingError) Unwrap() error { return e.err }

// decode reads a schema strictly: a key that stands twice is an error, not a
// choice of the decoder.
func decode(src []byte) (any, error) {
	if len(src) > MaxSource {
		return nil, fmt.Errorf("the schema has %d bytes, the most is %d", len(src), MaxSource)
	}
	if err := protocol.ValidJSON(bytes.TrimSpace(src)); err != nil {
		return nil, fmt.Errorf("it is not valid JSON: %s", protocol.AsError(err).Message)
	}
	return exact(src)
}

// exact decodes JSON without rounding numbers.
func exact(src []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// validator is one compiled schema. It is immutable.
type validator struct{ plan *plan }

// Validate implements channel.Validator. The error's text is for the client: at
// most MaxText bytes that say what is wrong, and where, of the first few
// mistakes.
func (v *validator) Validate(data []byte, b *channel.Budget) error {
	r := newRun(b)
	defer r.release()
	if !r.take(1 + len(data)/bytesPerStep) {
		return channel.ErrBudget
	}
	if err := r.read(data); err != nil {
		return err
	}
	what := r.first(v.plan, 0)
	switch {
	case r.over:
		return channel.ErrBudget
	case what.keyword == 0:
		return nil
	}
	return errors.New(r.mistakes(v.plan, what))
}

// bytesPerStep is how much of a value is read in about the time of one step.
const bytesPerStep = 8

// mistakes goes over data that does not fit once more, to tell more than the
// first thing that is wrong, as far as the budget goes.
func (r *run) mistakes(p *plan, first problem) string {
	all := found{most: maxProblems}
	r.steps(p, 0, &all)
	if len(all.list) == 0 {
		all.list = []problem{first}
	}
	r.over, r.budget = false, nil // to look at the places again; they are few
	return r.describe(&all)
}
