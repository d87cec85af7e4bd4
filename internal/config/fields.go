package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fields reads the keys of one mapping. What is wrong is reported; reading goes
// on with the zero value, so that one run tells every problem.
type fields struct {
	*loader
	node *node
	of   *object
}

// fields checks that n is a mapping and that all its keys are known. A null,
// as of a key with nothing after it, counts as an empty mapping.
func (l *loader) fields(n *node, of *object) (fields, bool) {
	f := fields{l, n, of}
	switch n.kind {
	case mapping:
	case null:
		return f, true
	default:
		l.fail(n.place, "its keys are "+keyNames(of), "%s is a mapping, not %s", of.name, n.kind)
		return f, false
	}
	for _, p := range n.pairs {
		if of.key(p.key.text) == nil {
			l.unknown(p.key, of)
		}
	}
	return f, true
}

func keyNames(of *object) string {
	names := make([]string, len(of.keys))
	for i, k := range of.keys {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}

func (l *loader) unknown(k *node, of *object) {
	names := strings.Split(keyNames(of), ", ")
	name := clip(k.text)
	remedy := "the keys here are " + strings.Join(names, ", ")
	if why, ok := absent[k.text]; ok && of == fileKeys {
		l.fail(k.place, why, "the key %q is not part of this version", name)
		return
	}
	if now := limitNamed(k.text); of == limitKeys && now != "" {
		remedy = fmt.Sprintf("it is %s; ", now) + remedy
	} else if near := nearest(k.text, names); near != "" {
		remedy = fmt.Sprintf("did you mean %s?", near)
	} else if other := home(k.text); other != nil {
		remedy = fmt.Sprintf("%s belongs to %s; ", name, other.name) + remedy
	}
	l.fail(k.place, remedy, "%s has no key %q", of.name, name)
}

// clip keeps what is quoted in messages short.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// get returns the key and its value, nil if it is not there. A name that is not
// in the grammar is a mistake of this package.
func (f fields) get(name string) (*key, *node) {
	k := f.of.key(name)
	if k == nil {
		panic(fmt.Sprintf("config: %s has no key %q in the grammar", f.of.name, name))
	}
	n := f.node.child(name)
	if n != nil && n.kind == null && k.shape != aMapping && k.shape != aMappingByName {
		f.fail(n.place, "give it a value, or remove it", "%s has no value", name)
		return k, nil
	}
	if n != nil && k.later {
		f.warn(n.place, "", "%s.%s is not counted in this version, and has no effect", f.of.name, name)
	}
	return k, n
}

// text reads a text, "" if there is none.
func (f fields) text(name string) string {
	k, n := f.get(name)
	if n == nil || !f.isText(name, n) {
		return ""
	}
	if k.name != "about" && !f.noPlaceholder(name, n, k.shape == aSecret) {
		return ""
	}
	if k.words != nil && !slices.Contains(k.words, n.text) {
		remedy := ""
		if near := nearest(n.text, k.words); near != "" {
			remedy = fmt.Sprintf("did you mean %s?", near)
		}
		f.fail(n.place, remedy, "%s is one of %s, not %q", name, strings.Join(k.words, ", "), clip(n.text))
		return ""
	}
	return n.text
}

func (l *loader) isText(name string, n *node) bool {
	switch {
	case n.kind != text && n.kind > null && n.kind < text:
		l.fail(n.place, fmt.Sprintf("put it in quotes: '%s'", n.text), "%s is a text, not %s", name, n.kind)
		return false
	case n.kind != text:
		l.fail(n.place, "", "%s is a text, not %s", name, n.kind)
		return false
	case strings.TrimSpace(n.text) == "":
		l.fail(n.place, "give it a value, or remove it", "%s is empty", name)
		return false
	}
	return true
}

func (f fields) boolean(name string) bool {
	_, n := f.get(name)
	if n == nil {
		return false
	}
	if n.kind != boolean {
		remedy := ""
		switch strings.ToLower(n.text) {
		case "yes", "on", "1":
			remedy = "write true"
		case "no", "off", "0":
			remedy = "write false"
		}
		f.fail(n.place, remedy, "%s is true or false, not %s", name, said(n))
		return false
	}
	return n.text == "true" || strings.EqualFold(n.text, "true")
}

// said names a value for a message.
func said(n *node) string {
	if n.kind == text {
		return strconv.Quote(clip(n.text))
	}
	if n.kind == number {
		return clip(n.text)
	}
	return n.kind.String()
}

func (f fields) number(name string) int64 {
	k, n := f.get(name)
	if n == nil {
		return 0
	}
	v, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 10, 64)
	if n.kind != number || err != nil {
		remedy := "it is " + k.bounds()
		if err == nil {
			remedy = "write it without quotes"
		}
		f.fail(n.place, remedy, "%s is a whole number, not %s", name, said(n))
		return 0
	}
	return f.within(k, n, v)
}

func (f fields) size(name string) int64 {
	k, n := f.get(name)
	if n == nil {
		return 0
	}
	v, err := parseSize(n.text)
	if n.kind != number && n.kind != text || err != nil {
		f.fail(n.place, "write it in bytes or with a unit, as in 64KiB or 1MiB", "%s is a number of bytes, not %s", name, said(n))
		return 0
	}
	return f.within(k, n, v)
}

func (f fields) duration(name string) time.Duration {
	k, n := f.get(name)
	if n == nil {
		return 0
	}
	v, err := ParseDuration(n.text)
	if n.kind != number && n.kind != text || err != nil {
		remedy := "write a number and its unit, as in 30s, 5m, 24h or 7d"
		if n.kind == number {
			remedy = fmt.Sprintf("say the unit, as in %ss or %sh", n.text, n.text)
		}
		f.fail(n.place, remedy, "%s is a duration, not %s", name, said(n))
		return 0
	}
	return time.Duration(f.within(k, n, int64(v)))
}

func (f fields) within(k *key, n *node, v int64) int64 {
	if v < k.min || v > k.max {
		f.fail(n.place, "", "%s is %s, not %s", k.name, k.bounds(), clip(n.text))
		return 0
	}
	return v
}

// texts reads a list of texts; one text alone is a list of one.
func (f fields) texts(name string) []*node {
	_, n := f.get(name)
	if n == nil {
		return nil
	}
	items := n.items
	switch n.kind {
	case list:
	case text:
		items = []*node{n}
	default:
		f.fail(n.place, fmt.Sprintf("write it as in %s: [a, b]", name), "%s is a list, not %s", name, n.kind)
		return nil
	}
	good := make([]*node, 0, len(items))
	for _, item := range items {
		if f.isText("each of "+name, item) && (f.of.key(name).shape == aListOfSecrets || f.noPlaceholder("each of "+name, item, false)) {
			good = append(good, item)
		}
	}
	return good
}

// mapping reads a mapping; ok is false if the key is not there or no mapping.
func (f fields) mapping(name string) (inner fields, ok bool) {
	k, n := f.get(name)
	if n == nil {
		return fields{}, false
	}
	return f.loader.fields(n, k.of)
}
