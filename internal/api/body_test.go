package api

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"ringdown/protocol"
)

func TestPerhaps(t *testing.T) {
	for name, want := range map[string]string{
		"event": "type", "TYPE": "type", "tpye": "type", "typ": "type", "types": "type", "typo": "type", "ty": "",
		"text": "data", "dat": "data", "dataa": "data", "date": "data", "atad": "", "keys": "key", "dedup": "dedupe",
		"Idempotency_Key": "", "idempotency_key": "dedupe", "": "", "topic": "",
	} {
		if got := suggest(name, publicationFields); got != want {
			t.Errorf("%q is taken for %q, want %q", name, got, want)
		}
	}
}

func TestForm(t *testing.T) {
	for accept, want := range map[string]string{
		"": asText, "*/*": asText, "text/*": asText, "nonsense;;": asText, "text/html;q=0": asText, "text/html;q=x": asText,
		"text/html": asHTML, "application/json;q=0.9, text/html;q=0.8": asJSON, "text/plain, text/html;q=0.5": asText,
		"application/problem+json": asJSON, "TEXT/HTML": asHTML,
	} {
		r := httptest.NewRequest("GET", "/v1/errors", nil)
		r.Header.Set("Accept", accept)
		if got := form(r); got != want {
			t.Errorf("%q gets %s, want %s", accept, got, want)
		}
	}
}

// FuzzBatch: whatever the body is, it is refused with an error for its sender that
// is not long, or what came of it are its fields to the byte.
func FuzzBatch(f *testing.F) {
	for _, s := range []string{`{"messages":[{"channel":"c","type":"e","data":{"a" : 1}}]}`, `{"messages":[{"data64":"AA==","Type":1}]}`, `{"messages":null}`, `[]`, `{"m":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if protocol.ValidJSON([]byte(s)) != nil {
			t.Skip()
		}
		items, err := parseBatch([]byte(s))
		if err != nil {
			if e := protocol.AsError(err); e.Code != protocol.CodeBadRequest || len(e.Message) > 400 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		for _, it := range items {
			if !it.Binary && it.Data != nil && (!json.Valid(it.Data) || !strings.Contains(s, string(it.Data))) {
				t.Fatalf("%q: data became %q", s, it.Data)
			}
		}
	})
}

// FuzzPath: what is said of a path that leads nowhere is not long.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/v1/channels/a/b/messages", "/v1/channels//", "/v1/channels/a/state/b/c", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if e := nothingAt(s); e.Code != protocol.CodeNotFound || len(e.Message) > 3500 {
			t.Fatalf("%q: %v", s, e)
		}
	})
}
