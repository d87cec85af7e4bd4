package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// nodeOf returns the value of a JSON text, as it would be if it stood in the file.
func nodeOf(src []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return valueNode(v), nil
}

func valueNode(v any) *node {
	n := &node{inset: -1}
	switch v := v.(type) {
	case bool:
		n.kind, n.text = boolean, strconv.FormatBool(v)
	case json.Number:
		n.kind, n.text = number, v.String()
	case string:
		n.kind, n.text = text, v
	case []any:
		n.kind = list
		for _, item := range v {
			n.items = append(n.items, valueNode(item))
		}
	case map[string]any:
		n.kind = mapping
		for _, name := range slices.Sorted(maps.Keys(v)) {
			n.pairs = append(n.pairs, pair{valueNode(name), valueNode(v[name])})
		}
	}
	return n
}
