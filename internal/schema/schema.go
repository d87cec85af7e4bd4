// Package schema checks the data of events against JSON Schema, draft 2020-12
// unless a schema names another with $schema. Formats are asserted. Nothing is
// ever fetched over the network.
//
// Schemas are the operator's and trusted; the data comes from clients and is
// not. Numbers are compared exactly, as fractions of big integers, so this relies
// on the protocol to have refused those with many digits or huge exponents; what
// goes back to a client is cut off here.
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

// Loader returns the content of a file that a schema refers to. The path is the
// reference resolved against the name of the schema it stands in: slashes,
// without dot segments, relative if that name was.
type Loader func(path string) ([]byte, error)

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
		return nil, &Error{What: "a schema is an object, or true or false", Mend: "write it as in {type: object, required: [id]}"}
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(&files{relative: !strings.HasPrefix(name, "/"), load: load})
	if err := c.AddResource(base, doc); err != nil {
		return nil, &Error{What: err.Error()}
	}
	compiled, err := c.Compile(base)
	if err != nil {
		return nil, explain(name, err)
	}
	return &validator{compiled}, nil
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
type validator struct{ schema *jsonschema.Schema }

// Validate implements channel.Validator. The error's text is for the client: at
// most MaxText bytes that say what is wrong, and where, of the first few
// mistakes.
func (v *validator) Validate(data []byte) error {
	value, err := exact(data)
	if err != nil {
		return err
	}
	err = v.schema.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return errors.New(clip(err.Error(), MaxText))
	}
	return errors.New(describe(invalid))
}
