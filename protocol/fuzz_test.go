package protocol

import (
	"encoding/json"
	"testing"
)

// The cases of spec/ are the seeds of the fuzz targets.
func addSpec(f *testing.F, file string) {
	f.Helper()
	var spec specFile
	readSpec(f, file, &spec)
	for _, c := range append(spec.Cases, spec.Refused...) {
		f.Add(c.wire(nil))
	}
}

func FuzzDecodeJSON(f *testing.F) {
	addSpec(f, "json.json")
	f.Add(AppendJSON(nil, full()))
	f.Fuzz(func(t *testing.T, p []byte) {
		checkDecode(t, DecodeJSON, AppendJSON, p)
		var m Message
		if DecodeJSON(p, &m) != nil {
			return
		}
		// What encoding/json reads is the same, where it looks at names exactly.
		var all map[string]json.RawMessage
		if err := json.Unmarshal(p, &all); err != nil {
			t.Fatalf("%q: accepted, but encoding/json says %v", p, err)
		}
		var typ, channel string
		if json.Unmarshal(all["type"], &typ) != nil || typ != m.Type {
			t.Fatalf("%q: type %q, by encoding/json %q", p, m.Type, typ)
		}
		if all["channel"] != nil && (json.Unmarshal(all["channel"], &channel) != nil || channel != m.Channel) {
			t.Fatalf("%q: channel %q, by encoding/json %q", p, m.Channel, channel)
		}
		if data, ok := all["data"]; ok && string(data) != string(m.Data) {
			t.Fatalf("%q: data %q, by encoding/json %q", p, m.Data, data)
		}
	})
}

func FuzzDecodeBinary(f *testing.F) {
	addSpec(f, "binary.json")
	m := full()
	m.Data, m.Binary = []byte("\x00\npayload"), true
	f.Add(AppendBinary(nil, m))
	f.Fuzz(func(t *testing.T, p []byte) { checkDecode(t, DecodeBinary, AppendBinary, p) })
}

func FuzzDecodeProtobuf(f *testing.F) {
	addSpec(f, "protobuf.json")
	f.Add(AppendProtobuf(nil, full()))
	d := envelope(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		checkDecode(t, DecodeProtobuf, AppendProtobuf, p)
		checkOfficial(t, d, p)
	})
}

func FuzzValidJSON(f *testing.F) {
	for _, s := range jsonTexts {
		f.Add([]byte(s))
	}
	f.Add([]byte(members(70)))
	f.Fuzz(func(t *testing.T, p []byte) {
		checkAgainstStandard(t, p)
		if ValidJSON(p) != nil {
			return
		}
		// Names come once at every depth: nothing is lost when it is read.
		var v any
		if err := json.Unmarshal(p, &v); err == nil && countNames(v) != countColons(p) {
			t.Fatalf("%q: %d names are left of %d", p, countNames(v), countColons(p))
		}
	})
}

// countNames counts the members of all objects in v.
func countNames(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n += countNames(e)
		}
	case []any:
		for _, e := range v {
			n += countNames(e)
		}
	}
	return n
}

// countColons counts the colons of valid JSON that are not in strings.
func countColons(p []byte) (n int) {
	inside := false
	for i := 0; i < len(p); i++ {
		switch {
		case inside && p[i] == '\\':
			i++
		case p[i] == '"':
			inside = !inside
		case !inside && p[i] == ':':
			n++
		}
	}
	return n
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "größe 日本 😀", "\"\\/\n\x00\x7f", "\xff\xc0\xaf\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(p, &back); err != nil || back != string([]rune(s)) || ValidJSON(p) != nil {
			t.Fatalf("%q is written as %s, and read as %q, error %v", s, p, back, err)
		}
	})
}
