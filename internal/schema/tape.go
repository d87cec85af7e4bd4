package schema

import (
	"encoding/json"
	"errors"
	"sort"
	"strconv"
	"strings"

	"ringdown/protocol"
)

// kinds is a set of the kinds of JSON values.
type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	number
	integer // only in sets: a number without a fraction
	text
	array
	object

	anyKind = null | boolean | number | text | array | object
)

// tape is a JSON value laid out flat: each value is followed by what is in it,
// for an object name, value, name, value. Nothing is decoded before it is
// asked for.
type tape struct {
	src     []byte
	values  []value
	decoded map[int32][]byte // the texts with escapes that were asked for
}

// value is one value, or the name of a member.
type value struct {
	kind       kinds
	escaped    bool  // of a text: it has escape sequences
	start, end int32 // in src; of a text with its quotes
	next       int32 // the index of what comes after it and all that is in it
	count      int32 // items of an array, members of an object
}

var errCutOff = errors.New("it is not valid JSON")

// read lays out src, which protocol.ValidJSON has validated or would let pass;
// anything else gives an error or a tape of no meaning, and no panic.
func (t *tape) read(src []byte) error {
	t.src, t.values = src, t.values[:0]
	if _, ok := t.value(t.space(0), 0); !ok {
		return errCutOff
	}
	return nil
}

func (t *tape) space(i int) int {
	for i < len(t.src) && (t.src[i] == ' ' || t.src[i] == '\n' || t.src[i] == '\t' || t.src[i] == '\r') {
		i++
	}
	return i
}

// value lays out the value at i and returns the index after it.
func (t *tape) value(i, depth int) (next int, ok bool) {
	if i >= len(t.src) || depth > protocol.MaxDepth {
		return i, false
	}
	switch c := t.src[i]; c {
	case '{', '[':
		return t.container(i, depth)
	case '"':
		return t.text(i)
	case 't', 'f', 'n':
		word, kind := "null", null
		switch c {
		case 't':
			word, kind = "true", boolean
		case 'f':
			word, kind = "false", boolean
		}
		end := min(i+len(word), len(t.src))
		t.add(kind, i, end)
		return end, true
	}
	end := i
	for end < len(t.src) && (t.src[end]-'0' <= 9 || strings.IndexByte("+-.eE", t.src[end]) >= 0) {
		end++
	}
	t.add(number, i, end)
	return end, end > i
}

func (t *tape) add(k kinds, start, end int) {
	t.values = append(t.values, value{kind: k, start: int32(start), end: int32(end), next: int32(len(t.values) + 1)})
}

func (t *tape) text(i int) (next int, ok bool) {
	escaped := false
	for end := i + 1; end < len(t.src); end++ {
		switch t.src[end] {
		case '\\':
			escaped = true
			end++
		case '"':
			t.add(text, i, end+1)
			t.values[len(t.values)-1].escaped = escaped
			return end + 1, true
		}
	}
	return i, false
}

// container lays out an array or an object.
func (t *tape) container(i, depth int) (next int, ok bool) {
	kind, closing := array, byte(']')
	if t.src[i] == '{' {
		kind, closing = object, '}'
	}
	self := len(t.values)
	t.add(kind, i, i)
	for i = t.space(i + 1); i < len(t.src); i = t.space(i) {
		switch t.src[i] {
		case closing:
			t.values[self].end, t.values[self].next = int32(i+1), int32(len(t.values))
			return i + 1, true
		case ',':
			i = t.space(i + 1)
		}
		if kind == object {
			if i >= len(t.src) || t.src[i] != '"' {
				return i, false
			}
			if i, ok = t.text(i); !ok {
				return i, false
			}
			if i = t.space(i); i >= len(t.src) || t.src[i] != ':' {
				return i, false
			}
			i = t.space(i + 1)
		}
		if i, ok = t.value(i, depth+1); !ok {
			return i, false
		}
		t.values[self].count++
	}
	return i, false
}

// raw returns a value as it was written.
func (t *tape) raw(n int32) []byte {
	v := &t.values[n]
	return t.src[v.start:v.end]
}

// plain returns the text of a string, decoded.
func (t *tape) plain(n int32) []byte {
	raw := t.raw(n)
	if !t.values[n].escaped {
		return raw[1 : len(raw)-1]
	}
	if s, ok := t.decoded[n]; ok {
		return s
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	if t.decoded == nil {
		t.decoded = make(map[int32][]byte)
	}
	t.decoded[n] = []byte(s)
	return t.decoded[n]
}

// canonical appends the form that equal values have in common: names in order,
// numbers by their value, escapes only where they must be.
func (t *tape) canonical(dst []byte, n int32) []byte {
	v := &t.values[n]
	switch v.kind {
	case number:
		return appendNumber(dst, t.raw(n))
	case text:
		if v.escaped {
			return appendText(dst, t.plain(n))
		}
	case array:
		dst = append(dst, '[')
		for item := n + 1; item < v.next; item = t.values[item].next {
			dst = append(t.canonical(dst, item), ',')
		}
		return append(dst, ']')
	case object:
		members := make([]string, 0, v.count)
		for name := n + 1; name < v.next; name = t.values[name+1].next {
			member := append(t.canonical(nil, name), ':')
			members = append(members, string(t.canonical(member, name+1)))
		}
		sort.Strings(members)
		return append(append(append(dst, '{'), strings.Join(members, ",")...), '}')
	}
	return append(dst, t.raw(n)...)
}

// appendText writes a string with no more escapes than JSON demands, so that it
// comes out as who wrote it without any.
func appendText(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// place leads to a value: the names and numbers of a JSON pointer, and whether
// the value is itself the name of a member; the place is that of its object then.
func (t *tape) place(target int32) (tokens []string, isName bool) {
	for n := int32(0); n != target; {
		inObject := t.values[n].kind == object
		for i, child := 0, n+1; ; i++ {
			if inObject && child == target {
				return tokens, true
			}
			token := strconv.Itoa(i)
			if inObject {
				token = string(t.plain(child))
				child++
			}
			if target < t.values[child].next {
				tokens, n = append(tokens, token), child
				break
			}
			child = t.values[child].next
		}
	}
	return tokens, false
}
