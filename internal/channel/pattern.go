package channel

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ringdown/protocol"
)

// pattern is a channel name with parameters: "user:{user}:inbox". It is kept as
// alternating literals and parameters; a parameter matches one or more bytes
// that are not ':', as few as the literal after it allows.
type pattern struct {
	all      bool     // CatchAll
	literals []string // len(params)+1; the first and last may be empty
	params   []string
}

var paramName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func parsePattern(s string) (pattern, error) {
	if s == CatchAll {
		return pattern{all: true}, nil
	}
	var p pattern
	rest := s
	for {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(rest, '}')
		if end < open {
			return p, fmt.Errorf("a brace is not closed: write parameters as {name}")
		}
		name := rest[open+1 : end]
		if !paramName.MatchString(name) {
			return p, fmt.Errorf("parameter {%s} must be a lower-case letter followed by letters, digits or _", name)
		}
		if slices.Contains(p.params, name) {
			return p, fmt.Errorf("parameter {%s} stands there twice", name)
		}
		if len(p.params) > 0 && open == 0 {
			return p, fmt.Errorf("{%s} must be parted from the parameter before it, as in {a}:{b}", name)
		}
		p.literals = append(p.literals, rest[:open])
		p.params = append(p.params, name)
		rest = rest[end+1:]
	}
	if strings.IndexByte(rest, '}') >= 0 {
		return p, fmt.Errorf("a closing brace has no opening one")
	}
	p.literals = append(p.literals, rest)
	// A sample name tells whether what is not a parameter is allowed in a name.
	sample := strings.Join(p.literals, "x")
	if err := protocol.ValidChannel(sample); err != nil {
		return p, err
	}
	if protocol.ServerOwned(sample) {
		return p, fmt.Errorf("names beginning with $ belong to the server")
	}
	return p, nil
}

func (p *pattern) isLiteral() bool { return !p.all && len(p.params) == 0 }

// matches reports whether name fits.
func (p *pattern) matches(name string) bool {
	switch {
	case p.all:
		return true
	case p.isLiteral():
		return name == p.literals[0]
	}
	return p.match(name, nil)
}

// values returns what the parameters stand for in a name that fits, nil without any.
func (p *pattern) values(name string) map[string]string {
	if p.all || p.isLiteral() {
		return nil
	}
	params := make(map[string]string, len(p.params))
	p.match(name, params)
	return params
}

func (p *pattern) match(name string, into map[string]string) bool {
	rest, ok := strings.CutPrefix(name, p.literals[0])
	if !ok {
		return false
	}
	for i, param := range p.params {
		after := p.literals[i+1]
		n := len(rest) - len(after) // the last parameter takes all before the last literal
		if last := i == len(p.params)-1; !last && rest != "" {
			n = 1 + strings.Index(rest[1:], after) // a parameter is never empty
		}
		if n < 1 || !strings.HasPrefix(rest[n:], after) || strings.IndexByte(rest[:n], ':') >= 0 {
			return false
		}
		if into != nil {
			into[param] = rest[:n]
		}
		rest = rest[n+len(after):]
	}
	return rest == ""
}

// covers reports whether every name that q matches is matched by p too. It is
// exact for equal shapes and for a literal q, and says false when in doubt.
func (p *pattern) covers(q pattern) bool {
	if p.all {
		return true
	}
	if q.all {
		return false
	}
	if q.isLiteral() {
		return p.matches(q.literals[0])
	}
	return slices.Equal(p.literals, q.literals)
}
