package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"ringdown/internal/auth"
)

func (f fields) auth() {
	c := f.conf
	c.Anonymous = f.opts.Dev
	a, ok := f.mapping("auth")
	if !ok {
		if !f.opts.Dev && !f.opts.Known && f.node.child("auth") == nil {
			f.warn(place{1, 1}, "say how tokens are verified with auth.jwt, or let everybody in with auth.anonymous", "auth is missing, so no client can connect")
		}
		return
	}
	c.Anonymous = a.boolean("anonymous") || c.Anonymous
	if _, n := a.get("jwt"); n != nil {
		entries := []*node{n}
		if n.kind == list {
			entries = n.items
		}
		for _, entry := range entries {
			if j, ok := f.loader.fields(entry, jwtKeys); ok {
				c.Auth.JWT = append(c.Auth.JWT, j.jwt())
			}
		}
	}
	for _, n := range a.texts("keys") {
		key, ok := f.secret("this key", n, false)
		if !ok {
			continue
		}
		if f.judged(n, auth.Options{Keys: []string{string(key)}}) {
			c.Auth.Keys = append(c.Auth.Keys, string(key))
		}
	}
	if !c.Anonymous && !f.opts.Known && len(c.Auth.JWT) == 0 && a.node.child("jwt") == nil {
		f.warn(f.node.child("auth").place, "say how tokens are verified with jwt, or let everybody in with anonymous", "auth has no jwt, so no client can connect")
	}
}

// judged lets the room that will use the options judge them.
func (l *loader) judged(n *node, o auth.Options) bool {
	_, err := auth.New(o)
	l.optionErrors(n, "", err)
	return err == nil
}

// optionErrors tells what auth says is wrong with the value at n. Each value is
// judged alone and has a line, so the place that auth gives it is left out.
func (l *loader) optionErrors(n *node, remedy string, err error) {
	if err == nil {
		return
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		if e, ok := errors.AsType[*auth.OptionError](err); ok {
			l.fail(n.place, cmp.Or(e.Remedy, remedy), "%s", e.What)
		} else {
			l.fail(n.place, remedy, "%s", err)
		}
	}
}

func (f fields) jwt() auth.JWT {
	j := auth.JWT{
		Algorithm: f.text("algorithm"),
		Audience:  f.text("audience"),
		Issuer:    f.text("issuer"),
		UserClaim: f.text("user_claim"),
		KeyID:     f.text("key_id"),
		Leeway:    f.duration("leeway"),
	}
	var given []string
	for _, name := range []string{"secret", "public_key", "jwks"} {
		if f.node.child(name) != nil {
			given = append(given, name)
		}
	}
	switch len(given) {
	case 0:
		f.fail(f.node.place, "give it one of secret (HS256), public_key (PEM) and jwks (an https URL)", "a jwt entry has nothing to verify tokens with")
		return j
	case 1:
	default:
		f.fail(f.node.child(given[1]).place, "keep one; to accept tokens of several issuers, make jwt a list with an entry for each",
			"%s and %s are both given, and a token could be verified with either", given[0], given[1])
		return j
	}
	_, n := f.get(given[0])
	if n == nil || !f.isText(given[0], n) {
		return j
	}
	switch given[0] {
	case "secret":
		secret, ok := f.secret("secret", n, false)
		if !ok {
			return j
		}
		j.Secret = secret
	case "public_key":
		pem, ok := f.value("public_key", n)
		if !ok {
			return j
		}
		if bytes.Contains(pem, []byte("PRIVATE KEY")) {
			f.fail(n.place, "give the public key; the private one belongs to who signs the tokens alone", "public_key is a private key")
			return j
		}
		j.PublicKey = pem
	case "jwks":
		address, ok := f.value("jwks", n)
		if !ok {
			return j
		}
		j.JWKS = string(address)
	}
	f.judged(n, auth.Options{JWT: []auth.JWT{j}})
	return j
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// value resolves env:NAME and file:PATH; other texts stand for themselves.
func (l *loader) value(what string, n *node) ([]byte, bool) {
	source, name, _ := strings.Cut(n.text, ":")
	switch source {
	case "env":
		if !envName.MatchString(name) {
			l.fail(n.place, "write it as in env:RINGDOWN_SECRET", "%q is not the name of an environment variable", clip(name))
			return nil, false
		}
		v, ok := l.opts.Env(name)
		if !ok || v == "" {
			state := "is not set"
			if ok {
				state = "is empty"
			}
			l.fail(n.place, fmt.Sprintf("set it before the start: export %s=…", name), "%s comes from the environment variable %s, which %s", what, name, state)
			return nil, false
		}
		return []byte(v), true
	case "file":
		content, err := l.readFile(name)
		if err != nil {
			remedy := ""
			if errors.Is(err, fs.ErrNotExist) {
				remedy = "paths are relative to the directory of this file"
			}
			l.fail(n.place, remedy, "%s comes from %s: %s", what, clip(name), fileProblem(err))
			return nil, false
		}
		if content = bytes.TrimRight(content, "\r\n"); len(content) == 0 {
			l.fail(n.place, "", "%s comes from %s, which is empty", what, clip(name))
			return nil, false
		}
		return content, true
	}
	return []byte(n.text), true
}

// maxFile is the largest file that a configuration may name, in bytes.
const maxFile = 1 << 20

// readFile reads a file that the configuration names and remembers it.
func (l *loader) readFile(name string) ([]byte, error) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.dir, path)
	}
	content, err := l.opts.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("it has %d bytes, the most is %d", len(content), maxFile)
	}
	l.files[path] = true
	return content, nil
}
