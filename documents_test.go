package ringdown_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"ringdown"
)

// TestPages: what answers at the address itself, and the page of each code, in the
// form that is asked for, with nothing on it that would need another request.
func TestPages(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf)})
	const browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, c := range []struct {
		path, accept, kind string
		status             int
		says               string
	}{
		{"/", browser, "text/html; charset=utf-8", 200, "This is a Ringdown server"},
		{"/", "", "text/plain; charset=utf-8", 200, "/v1/openapi.json"},
		{"/", "Accept: application/json", "application/json", 200, `"server": "ringdown `},
		{"/v1/errors", browser, "text/html; charset=utf-8", 200, `href="../v1/errors/forbidden"`},
		{"/v1/errors", "Accept: */*", "text/plain; charset=utf-8", 200, "forbidden        403"},
		{"/v1/errors/forbidden", browser, "text/html; charset=utf-8", 200, "<h1><code>forbidden</code>Not allowed</h1>"},
		{"/v1/errors/forbidden", "Accept: text/plain", "text/plain; charset=utf-8", 200, "Try again? Final"},
		{"/v1/errors/forbidden", "Accept: text/html;q=0.1, application/json", "application/json", 200, `"code": "forbidden"`},
		{"/v1/errors/forbidden", "Accept: application/problem+json", "application/json", 200, `"code": "forbidden"`},
		{"/v1/errors/%3Cb%3E", browser, "text/html; charset=utf-8", 404, "There is no code <code>&lt;b&gt;</code>"},
		{"/v1/errors/%3Cb%3E", "", "application/problem+json", 404, "the codes are bad_request, "},
	} {
		resp, text := exchange(t, s, "GET", c.path, "", c.accept)
		if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != c.kind || !strings.Contains(text, c.says) {
			t.Errorf("%s %s: %d %s %.300s", c.path, c.accept, resp.StatusCode, resp.Header.Get("Content-Type"), text)
		}
		if html := c.kind == "text/html; charset=utf-8"; html && (!strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") || strings.Contains(text, "ZgotmplZ")) {
			t.Errorf("%s: %v", c.path, resp.Header)
		}
	}
}

// TestDocuments: who may read what the server tells about itself is declared.
func TestDocuments(t *testing.T) {
	const hidden = "claims.plan == 'secret-plan'"
	conf := strings.Replace(restConf, "state: {}\n    allow: {subscribe: anyone, publish: anyone}", `state: {}
    allow: {subscribe: "`+hidden+`", publish: anyone}`, 1)
	for _, c := range []struct {
		name           string
		o              ringdown.Options
		nobody, server int // what they are answered
	}{
		{"by default", ringdown.Options{Config: []byte(conf)}, 401, 200},
		{"key", ringdown.Options{Config: []byte(conf + "documents: key\n")}, 401, 200},
		{"public", ringdown.Options{Config: []byte(conf + "documents: public\n")}, 200, 200},
		{"dev", ringdown.Options{Dev: true, Listen: "127.0.0.1:0"}, 200, 0},
		{"metrics apart", ringdown.Options{Config: []byte(conf + "metrics: {listen: '127.0.0.1:0'}\n")}, 401, 200},
	} {
		s := start(t, c.o)
		for _, path := range []string{"/v1/openapi.json", "/v1/asyncapi.json", "/metrics"} {
			nobody, server := c.nobody, c.server
			if path == "/metrics" && s.MetricsAddr() != nil {
				nobody, server = 404, 404
			}
			code, text := fetch(t, s, "GET", path, "", "")
			if code != nobody {
				t.Errorf("%s: %s without a credential: %d", c.name, path, code)
			}
			if strings.Contains(string(text), "secret-plan") {
				t.Errorf("%s: %s tells the text of a rule", c.name, path)
			}
			if server == 0 {
				continue
			}
			if code, _ := fetch(t, s, "GET", path, key, ""); code != server {
				t.Errorf("%s: %s with a key: %d", c.name, path, code)
			}
			if user, _ := fetch(t, s, "GET", path, userToken(t, "ann", nil), ""); nobody == 401 && user != 403 {
				t.Errorf("%s: %s with a user's token: %d", c.name, path, user)
			}
		}
		if a := s.MetricsAddr(); a != nil {
			for path, want := range map[string]int{"/metrics": 200, "/livez": 404, "/v1/openapi.json": 404} {
				resp, err := http.Get("http://" + a.String() + path)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != want || want == 200 && !strings.Contains(string(text), "ringdown_connections") {
					t.Errorf("%s at the metrics' own address: %d", path, resp.StatusCode)
				}
			}
			http.DefaultClient.CloseIdleConnections()
		}
	}
}

// TestEmbeddingPage: the Go code of docs/embedding.md is that of the examples, which
// are run.
func TestEmbeddingPage(t *testing.T) {
	plain := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
		return strings.Join(lines, "\n")
	}
	examples := plain("example_test.go")
	blocks := strings.Split(plain("docs/embedding.md"), "```go\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("the page has no code")
	}
	for _, b := range blocks {
		code, _, _ := strings.Cut(b, "```")
		if !strings.Contains(examples, code) {
			t.Errorf("no example has\n%s", code)
		}
	}
}

// TestClientModule is what a page without a build imports, from any origin.
func TestClientModule(t *testing.T) {
	s := start(t, ringdown.Options{})
	get := func(path string, header ...string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	newest := get("/v1/client.js", "Origin", "https://anywhere.example", "Accept-Encoding", "identity")
	text, err := io.ReadAll(newest.Body)
	if err != nil || newest.StatusCode != 200 || !bytes.Contains(text, []byte("Ringdown")) || newest.Header.Get("Cache-Control") != "no-cache" ||
		newest.Header.Get("Access-Control-Allow-Origin") != "*" || newest.Header.Get("SourceMap") != "/v1/client/0.1.0.js.map" {
		t.Errorf("%d %v, %d bytes", newest.StatusCode, newest.Header, len(text))
	}
	if again := get("/v1/client.js", "If-None-Match", newest.Header.Get("ETag"), "Accept-Encoding", "identity"); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: %d", again.StatusCode)
	}
	for path, typ := range map[string]string{"/v1/client/0.1.0.js": "text/javascript; charset=utf-8", "/v1/client/0.1.0.js.map": "application/json"} {
		resp := get(path, "Accept-Encoding", "gzip")
		body := io.Reader(resp.Body)
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(resp.Body); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(body)
		if err != nil || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || resp.Header.Get("Content-Type") != typ {
			t.Errorf("%s: %v %v", path, resp.Header, err)
		}
		if typ != "application/json" && !bytes.Equal(got, text) {
			t.Errorf("%s is another module than the newest", path)
		}
	}
}
