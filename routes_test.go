package ringdown_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"ringdown"
)

// rest is a client of the REST API that holds every answer against the OpenAPI
// document the server itself serves.
type rest struct {
	t    *testing.T
	base string
	doc  *jsonschema.Compiler
	all  map[string]any
	seen map[string]bool // operations that were tried
}

func newRest(t *testing.T, s *ringdown.Server) *rest {
	t.Helper()
	r := &rest{t: t, base: "http://" + s.Addr().String(), seen: map[string]bool{}}
	code, text := fetch(t, s, "GET", "/v1/openapi.json", key, "")
	if code != 200 {
		t.Fatalf("the document: %d %s", code, text)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.all = doc.(map[string]any)
	r.doc = jsonschema.NewCompiler()
	if err := r.doc.AddResource("mem:///openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return r
}

// call makes a request; path is as the document writes it, with the values of
// its parameters behind it.
func (r *rest) call(method, path, credential, body string, header ...string) (int, map[string]any) {
	r.t.Helper()
	pattern, query, _ := strings.Cut(path, "?")
	concrete := pattern
	for i := 0; i+1 < len(header); i += 2 {
		concrete = strings.Replace(concrete, header[i], url.PathEscape(header[i+1]), 1)
	}
	req, err := http.NewRequest(method, r.base+concrete+"?"+query, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if !strings.HasPrefix(header[i], "{") {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	r.seen[method+" "+pattern] = true
	if typ := resp.Header.Get("Content-Type"); len(text) == 0 || strings.HasPrefix(typ, "text/plain") || strings.HasPrefix(typ, "text/javascript") {
		return resp.StatusCode, nil
	}
	r.check(method, pattern, resp, text)
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		r.t.Fatalf("%s %s: %s", method, path, text)
	}
	return resp.StatusCode, v
}

// check validates an answer by the schema that the document gives for it.
func (r *rest) check(method, pattern string, resp *http.Response, text []byte) {
	r.t.Helper()
	ref := "mem:///openapi.json#/components/schemas/Problem"
	if resp.StatusCode < 300 {
		escape := strings.NewReplacer("~", "~0", "/", "~1").Replace(pattern)
		ref = fmt.Sprintf("mem:///openapi.json#/paths/%s/%s/responses/%d/content/application~1json/schema", escape, strings.ToLower(method), resp.StatusCode)
	} else if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("%s %s: an error of type %q", method, pattern, got)
	}
	schema, err := r.doc.Compile(ref)
	if err != nil {
		r.t.Errorf("%s %s answers %d, which the document does not describe: %v", method, pattern, resp.StatusCode, err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		r.t.Errorf("%s %s: %v", method, pattern, err)
		return
	}
	if err := schema.Validate(v); err != nil {
		r.t.Errorf("%s %s: %s\n%v", method, pattern, text, err)
	}
}

const key = "a-key-of-sixteen-bytes-or-more"

// TestREST tries every operation of the document, and what it refuses.
func TestREST(t *testing.T) {
	s := start(t, ringdown.Options{})
	r := newRest(t, s)
	const messages = "/v1/channels/{channel}/messages"

	code, got := r.call("POST", messages, key, `{"type":"e","data":{"a":1}}`, "{channel}", "lab:x", "Idempotency-Key", "k1")
	if code != 201 || got["offset"] != 1.0 || got["channel"] != "lab:x" {
		t.Fatalf("publish: %d %v", code, got)
	}
	if code, again := r.call("POST", messages, key, `{"type":"e","data":{"a":1}}`, "{channel}", "lab:x", "Idempotency-Key", "k1"); code != 201 || again["offset"] != 1.0 || again["duplicate"] != true {
		t.Errorf("repeated: %d %v", code, again)
	}
	testIdempotency(t, r)
	for _, c := range []struct {
		channel, credential, body string
		status                    int
		code                      string
	}{
		{"lab:x", "", `{"type":"e"}`, 401, "unauthorized"},
		{"lab:x", "not-a-key", `{"type":"e"}`, 401, "unauthorized"},
		{"nowhere", key, `{"type":"e"}`, 404, "not_found"},
		{"lab:\r\n", key, `{"type":"e"}`, 400, "bad_request"},
		{"lab:*", key, `{"type":"e"}`, 400, "bad_request"},
		{"lab:é", key, `{"type":"e"}`, 400, "bad_request"},
		{"lab:\x00", key, `{"type":"e"}`, 400, "bad_request"},
		{"$sys", key, `{"type":"e"}`, 403, "forbidden"},
		{"lab:x", key, `{"type":"subscribe"}`, 400, "bad_request"},
		{"lab:x", key, `{"type":"e","data":{"a":1,"a":2}}`, 400, "bad_request"},
		{"lab:x", key, `{"type":"e","data":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`, 400, "bad_request"},
		{"lab:x", key, `{"type":"e","data":"` + strings.Repeat("x", 65_536) + `"}`, 413, "too_large"},
		{"lab:x", key, strings.Repeat("\n", 8<<20), 413, "too_large"},
		{"lab:x", key, `{"type":"e","data64":"!"}`, 400, "bad_request"},
		{"lab:x", key, `{"type":7}`, 400, "bad_request"},
		{"orders", key, `{"type":"order-created","data":{}}`, 422, "invalid_data"},
	} {
		code, got := r.call("POST", messages, c.credential, c.body, "{channel}", c.channel)
		if got["code"] != c.code || code != c.status {
			t.Errorf("%q %.40s: %d %v, want %d %s", c.channel, c.body, code, got, c.status, c.code)
		}
	}

	code, got = r.call("POST", "/v1/messages", key, `{"messages":[{"channel":"lab:x","type":"e"},{"channel":"nowhere","type":"e"},{"channel":"lab:y","type":"e","data64":"AAE="}]}`)
	results, _ := got["results"].([]any)
	if code != 200 || len(results) != 3 || results[0].(map[string]any)["offset"] != 2.0 || results[1].(map[string]any)["error"] == nil || results[2].(map[string]any)["offset"] != 1.0 {
		t.Errorf("batch: %d %v", code, got)
	}
	for n, want := range map[int]int{0: 400, 1000: 200, 1001: 400} {
		list := strings.TrimSuffix(strings.Repeat(`{"channel":"lab:z","type":"e"},`, n), ",")
		if code, _ := r.call("POST", "/v1/messages", key, `{"messages":[`+list+`]}`); code != want {
			t.Errorf("a batch of %d: %d", n, code)
		}
	}

	testKept(t, r)

	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	for _, name := range []string{"lab:a", "lab:b", "orders"} {
		p.send(`{"type":"subscribe","channel":"` + name + `","id":1}`)
		p.read()
	}
	code, got = r.call("GET", "/v1/channels?prefix=lab:&limit=1", key, "")
	if list, _ := got["channels"].([]any); code != 200 || len(list) != 1 || got["cursor"] != "lab:a" {
		t.Errorf("channels: %d %v", code, got)
	}
	if _, got = r.call("GET", "/v1/channels?prefix=lab:&cursor=lab:a", key, ""); len(got["channels"].([]any)) != 1 || got["cursor"] != nil {
		t.Errorf("the next page: %v", got)
	}
	_, got = r.call("GET", "/v1/connections", key, "")
	list := got["connections"].([]any)
	if len(list) != 1 {
		t.Fatalf("connections: %v", got)
	}
	id := list[0].(map[string]any)["connection"].(string)
	if code, got := r.call("GET", "/v1/connections/{connection}", key, "", "{connection}", id); code != 200 || len(got["subscriptions"].([]any)) != 3 {
		t.Errorf("connection: %d %v", code, got)
	}
	if code, _ := r.call("DELETE", "/v1/connections/{connection}", key, "", "{connection}", id); code != 204 {
		t.Errorf("disconnect: %d", code)
	}
	if _, _, err := p.conn.Read(t.Context()); websocket.CloseStatus(err) != 4005 {
		t.Errorf("the connection ended with %v", err)
	}
	if code, got := r.call("DELETE", "/v1/users/{user}/connections", key, "", "{user}", "ann"); code != 200 || got["disconnected"] != 0.0 {
		t.Errorf("disconnect a user: %d %v", code, got)
	}
	for _, path := range []string{"/v1/channels", "/v1/connections"} {
		if code, _ := r.call("GET", path, "", ""); code != 401 {
			t.Errorf("%s without a key: %d", path, code)
		}
		if code, _ := r.call("GET", path+"?limit=0", key, ""); code != 400 {
			t.Errorf("%s?limit=0: %d", path, code)
		}
		if code, _ := r.call("PUT", path, key, ""); code != 405 {
			t.Errorf("PUT %s: %d", path, code)
		}
	}
	for _, accept := range []string{"", "application/json"} {
		for _, path := range []string{"/", "/v1/errors", "/v1/errors/{code}"} {
			if code, _ := r.call("GET", path, "", "", "{code}", "conflict", "Accept", accept); code != 200 {
				t.Errorf("GET %s: %d", path, code)
			}
		}
	}
	for _, c := range []struct {
		path, file string
		status     int
	}{{"/v1/client.js", "", 200}, {"/v1/client/{file}", "0.1.0.js", 200}, {"/v1/client/{file}", "0.1.0.js.map", 200}, {"/v1/client/{file}", "0.0.9.js", 404}} {
		if code, got := r.call("GET", c.path, "", "", "{file}", c.file); code != c.status {
			t.Errorf("%s %s: %d %v", c.path, c.file, code, got)
		}
	}
	if code, got := r.call("GET", "/v1/errors/{code}", "", "", "{code}", "nothing"); code != 404 || !strings.Contains(got["detail"].(string), "backend_failed") {
		t.Errorf("the page of a code that is none: %d %v", code, got)
	}
	for path, credential := range map[string]string{"/v1/openapi.json": key, "/v1/asyncapi.json": key, "/livez": "", "/readyz": "", "/metrics": key} {
		if code, _ := r.call("GET", path, credential, ""); code != 200 {
			t.Errorf("GET %s: %d", path, code)
		}
	}
	presenceOverREST(t, s, r)
	tryStreams(r, s)
	for path, item := range r.all["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if !r.seen[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s is in the document and was not tried", method, path)
			}
		}
	}
}

// testIdempotency: a key that is used for something else is refused, also when it
// is a long one.
func testIdempotency(t *testing.T, r *rest) {
	const messages = "/v1/channels/{channel}/messages"
	for _, k := range []string{"short", strings.Repeat("k", 65), strings.Repeat("k", 255)} {
		for _, c := range []struct {
			body string
			want int
		}{{`{"type":"e","data":1}`, 201}, {`{"type":"e","data":1}`, 201}, {`{"type":"e","data":2}`, 422}, {`{"type":"f","data":1}`, 422}} {
			code, got := r.call("POST", messages, key, c.body, "{channel}", "lab:keys", "Idempotency-Key", k)
			if code != c.want || code == 422 && got["code"] != "invalid_data" {
				t.Errorf("key of %d bytes, %s: %d %v", len(k), c.body, code, got)
			}
		}
	}
	code, got := r.call("GET", messages, key, "", "{channel}", "lab:keys")
	if list, _ := got["messages"].([]any); code != 200 || len(list) != 3 {
		t.Errorf("three keys were used, and kept is %v", got)
	}
	for _, h := range []string{strings.Repeat("k", 256), "other"} {
		if code, _ := r.call("POST", messages, key, `{"type":"e","data":1,"dedupe":"one"}`, "{channel}", "lab:keys", "Idempotency-Key", h); code != 400 {
			t.Errorf("a key of %d bytes beside another in the body: %d", len(h), code)
		}
	}
	if code, _ := r.call("POST", messages, key, `{"type":"e","data":1}`, "{channel}", "lab:keys", "Idempotency-Key", strings.Repeat("k", 256)); code != 400 {
		t.Errorf("a key of 256 bytes: %d", code)
	}
}

// TestOriginsOfREST: pages of other origins are refused before anything is done.
func TestOriginsOfREST(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(conf + "origins: [https://shop.example]\n")})
	r := newRest(t, s)
	for origin, want := range map[string]int{"https://shop.example": 200, "https://shop.example.evil": 403, "https://evil.example": 403, "null": 403, "http://shop.example": 403} {
		if code, _ := r.call("GET", "/v1/connections", key, "", "Origin", origin); code != want {
			t.Errorf("%s: %d", origin, code)
		}
	}
}
