package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Who knows docker compose or Helm writes ${NAME} into a file that does not know
// it. Taken as it stands, the name would be the secret, which anybody can guess.
var (
	placeholder = regexp.MustCompile(`\$\{([^{}]*)\}|\$\([^()]*\)|\{\{.*\}\}|^\$(?:env:)?([A-Za-z_][A-Za-z0-9_]*)$|^%([A-Za-z_][A-Za-z0-9_]*)%$`)
	plainName   = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
)

// isPlaceholder says whether a text is, or holds, a variable of another program,
// and what the variable is called.
func isPlaceholder(s string) (name string, yes bool) {
	m := placeholder.FindStringSubmatch(s)
	if m == nil {
		return "", false
	}
	return plainName.FindString(strings.Join(m[1:], "")), true
}

// noPlaceholder refuses a text that holds a variable. Whether it is a secret or
// not decides what is said of env:.
func (l *loader) noPlaceholder(what string, n *node, secret bool) bool {
	name, yes := isPlaceholder(n.text)
	if !yes {
		return true
	}
	remedy := "write the value itself; only secrets come from elsewhere, with env:NAME or file:PATH"
	if secret {
		if name == "" {
			name = "NAME"
		}
		remedy = fmt.Sprintf("to take it from the environment variable, write env:%s", name)
	}
	l.fail(n.place, remedy, "%s holds %q, and this file knows no variables: it would be taken as it stands", what, clip(n.text))
	return false
}

// secret is value for what should not stand in the file itself. spaced says that
// blanks inside are as good as other characters, as they are in passwords.
func (l *loader) secret(what string, n *node, spaced bool) ([]byte, bool) {
	if !l.noPlaceholder(what, n, true) {
		return nil, false
	}
	v, ok := l.value(what, n)
	if !ok {
		return nil, false
	}
	if wrong := secretProblem(v, spaced); wrong != "" {
		source, remedy := "", "write the secret alone, or better env:NAME, and keep it out of the file"
		if from, name, ok := strings.Cut(n.text, ":"); ok && string(v) != n.text {
			source = " from " + from + ":" + name
			remedy = map[string]string{
				"env":  "put the secret alone into the variable; " + name + `="$(cat the-file)" drops a line break at the end`,
				"file": "put the secret alone into the file; a line break at its end is dropped by itself",
			}[from]
		}
		l.fail(n.place, remedy, "%s%s %s", what, source, wrong)
		return nil, false
	}
	if string(v) == n.text {
		l.warn(n.place, "write env:NAME or file:PATH, and keep it out of the file", "%s stands here in the clear", what)
	}
	return v, true
}

// secretProblem says what makes a secret another one than was meant, "" if
// nothing does. Bytes that are no text are a secret as they are.
func secretProblem(v []byte, spaced bool) string {
	if !utf8.Valid(v) || bytes.ContainsFunc(v, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) }) {
		return ""
	}
	switch trimmed := bytes.TrimSpace(v); {
	case len(trimmed) == 0:
		return "is nothing but blanks"
	case bytes.ContainsAny(v, "\r\n"):
		return "has a line break in it"
	case len(trimmed) != len(v):
		return "begins or ends with a blank"
	case !spaced && bytes.ContainsAny(v, " \t"):
		return "has a blank in it"
	}
	if _, yes := isPlaceholder(string(v)); yes {
		return "is a variable that nobody put a value in for"
	}
	return ""
}
