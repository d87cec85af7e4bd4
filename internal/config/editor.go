package config

import (
	"encoding/json"
	"maps"
)

// JSONSchema returns the JSON Schema (draft 2020-12) of the configuration file,
// for editors that complete and check YAML by one.
func JSONSchema() []byte {
	schema := objectSchema(fileKeys)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Ringdown configuration"
	out, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // made of strings and numbers only
	}
	return append(out, '\n')
}

func objectSchema(o *object) map[string]any {
	properties := make(map[string]any, len(o.keys))
	for i := range o.keys {
		properties[o.keys[i].name] = keySchema(&o.keys[i])
	}
	schema := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	switch o {
	case channelKeys:
		schema["required"] = []string{"name"}
	case historyKeys:
		schema["anyOf"] = []any{map[string]any{"required": []string{"messages"}}, map[string]any{"required": []string{"bytes"}}}
	}
	return schema
}

// The texts that durations and sizes are written as.
const (
	durationPattern = `^([0-9.]+d|([0-9.]+(h|m|s|ms|us|µs|ns))+)$`
	sizePattern     = `^[0-9._]+ *([KkMmGgTt]i?)?[Bb]?$`
)

func keySchema(k *key) map[string]any {
	s := map[string]any{}
	switch k.shape {
	case aText, aSecret, aRule:
		s["type"] = "string"
		if k.words != nil {
			s["enum"] = k.words
		}
	case aBool:
		s["type"] = "boolean"
	case aNumber:
		s["type"], s["minimum"], s["maximum"] = "integer", k.min, k.max
	case aSize:
		s["type"], s["minimum"], s["maximum"], s["pattern"] = []string{"integer", "string"}, k.min, k.max, sizePattern
	case aDuration:
		s["type"], s["pattern"] = "string", durationPattern
	case aSchema:
		s["type"] = []string{"object", "boolean", "string"}
	case aMapping:
		s = objectSchema(k.of)
		s["type"] = []string{"object", "null"}
		if k.of == historyKeys {
			s["type"] = "object"
		}
	case aListOfTexts, aListOfSecrets:
		s["type"], s["items"] = []string{"array", "string"}, map[string]any{"type": "string"}
	case aListOfMappings:
		s["type"], s["items"] = "array", objectSchema(k.of)
	case aMappingOrList:
		one := objectSchema(k.of)
		s["anyOf"] = []any{one, map[string]any{"type": "array", "items": one}}
	case aMappingByName:
		inner := maps.Clone(objectSchema(k.of))
		inner["type"] = []string{"object", "null"}
		s["type"], s["minProperties"], s["additionalProperties"] = "object", 1, inner
	}
	s["description"] = describe(k)
	return s
}

// describe is what an editor shows beside a key.
func describe(k *key) string {
	text := k.about
	if b := k.bounds(); b != "" {
		text += " (" + b + ")"
	}
	if k.preset != "" {
		text += ". Default: " + k.preset
	}
	if k.later {
		text += ". Not counted in this version"
	}
	return text
}
