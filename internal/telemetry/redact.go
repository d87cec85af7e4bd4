package telemetry

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// hidden stands in the place of what is left out.
const hidden = "[redacted]"

// secrets are the words that make an attribute's value a secret: alone, or as
// the first or last part of a name, as in api_key and token_of_user.
var secrets = []string{"token", "tokens", "ticket", "key", "keys", "secret", "password", "cookie", "cookies", "authorization", "bearer", "jwt", "apikey"}

// harmless names begin or end like a secret and are none.
var harmless = []string{"key_id"}

// hide is a slog ReplaceAttr function. It also gives the two types that carry
// secrets under names of their own a form in which these can be found.
func hide(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindBool, slog.KindDuration, slog.KindTime:
		return a // how many keys there are is no secret
	}
	if secretName(a.Key) {
		a.Value = slog.StringValue(hidden)
		return a
	}
	switch v := a.Value.Any().(type) {
	case *url.URL:
		a.Value = slog.StringValue(v.Redacted())
	case http.Header:
		shown := make(map[string][]string, len(v))
		for name, values := range v {
			if secretName(name) {
				values = []string{hidden}
			}
			shown[name] = values
		}
		a.Value = slog.AnyValue(shown)
	}
	return a
}

func secretName(name string) bool {
	name = strings.ToLower(name)
	if slices.Contains(harmless, name) {
		return false
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' || r == ' ' })
	return len(parts) > 0 && (slices.Contains(secrets, parts[0]) || slices.Contains(secrets, parts[len(parts)-1]))
}

// pattern finds secrets by their form, wherever they stand: in an error's text,
// in a struct, in a message.
type pattern struct {
	hints []string // one of these is in every line that find matches, in lower case
	find  *regexp.Regexp
	put   string
}

// patterns match no quote and no backslash but whole ones of JSON, so that a line
// of JSON stays one.
var patterns = []pattern{
	// The query of a URL, whole: nobody knows which names have secrets.
	{[]string{"://"}, regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s"'\\?<>]*\?)[^\s"'\\<>]+`), "${1}" + hidden},
	// A parameter, where only a path was logged.
	{[]string{"?", "&"}, regexp.MustCompile(`(?i)([?&](?:token|ticket|access_token|api_key|key|secret|cursor)=)[^\s"'\\&]+`), "${1}" + hidden},
	// A JSON Web Token or something encrypted like one; eyJ is `{"`. Its e is not
	// the end of an escaped control character: those are matched before, and stay.
	{[]string{"eyj"}, regexp.MustCompile(`(\\u00[01]e)|eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*`), "${1}" + hidden},
	// What comes after a scheme of Authorization, and the subprotocol item.
	{[]string{"bearer", "basic"}, regexp.MustCompile(`(?i)\b(bearer[ .]|basic )[A-Za-z0-9._~+/=-]{8,}`), "${1}" + hidden},
	// A member of a JSON object, which may stand escaped in a string.
	{secrets, regexp.MustCompile(`(?i)((\\*")(?:token|ticket|secret|password|cookie|authorization)\\*":\s*)\\*"[^"\\]*\\*"`), "${1}${2}" + hidden + "${2}"},
	// The body of a private key in PEM, with its line breaks escaped or not.
	{[]string{"private key"}, regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:[A-Za-z0-9+/=\s]|\\n|\\r)+`), "${1}" + hidden},
}

func (x *pattern) hinted(lower []byte) bool {
	for _, h := range x.hints {
		if bytes.Contains(lower, []byte(h)) {
			return true
		}
	}
	return false
}

// redactor takes secrets out of lines on their way. A handler writes each line
// with one Write.
type redactor struct{ w io.Writer }

// Write returns the length of p when all that is left of it was written.
func (r *redactor) Write(p []byte) (int, error) {
	line, lower := p, bytes.ToLower(p)
	for i := range patterns {
		if x := &patterns[i]; x.hinted(lower) {
			line = x.find.ReplaceAll(line, []byte(x.put))
		}
	}
	if _, err := r.w.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}
