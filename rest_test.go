package ringdown_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"ringdown"
)

const restConf = `
listen: 127.0.0.1:0
origins: [https://shop.example]
auth:
  anonymous: true
  jwt: {secret: env:SECRET, algorithm: HS256}
  keys: [env:KEY]
channels:
  - name: map:{name}
    state: {}
    allow: {subscribe: anyone, publish: anyone}
  - name: hall:{name}
    history: {messages: 100}
    presence: true
    allow: {subscribe: anyone, publish: anyone, presence: anyone}
  - name: '{name}'
    history: {messages: 100}
    allow: {subscribe: anyone, publish: anyone}
`

// exchange writes a request exactly as it is given and returns the answer: clients
// of Go would tidy the path up.
func exchange(t *testing.T, s *ringdown.Server, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var req strings.Builder
	fmt.Fprintf(&req, "%s %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nConnection: close\r\n", method, path, key)
	if body != "" {
		fmt.Fprintf(&req, "Content-Length: %d\r\n", len(body))
	}
	kind := "Content-Type: application/json"
	for _, h := range header {
		if h == "" {
			continue
		}
		if strings.HasPrefix(h, "Content-Type:") {
			kind = h
			continue
		}
		req.WriteString(h + "\r\n")
	}
	if body != "" && kind != "Content-Type:" {
		req.WriteString(kind + "\r\n")
	}
	if _, err := io.WriteString(c, req.String()+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// TestBytesOverREST: what is read is to the byte what was sent: a signature over
// data fits whatever way it came.
func TestBytesOverREST(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf)})
	said := `{"html":"<b>Tom & Jerry</b>","ls":"a` + "\u2028" + `b", "sp" : [ 1 , 1.0, 1e2 ],"esc":"\u00e9\/"}`
	exchange(t, s, "POST", "/v1/channels/hall:x/messages", `{"type":"e","data":`+said+`}`)
	exchange(t, s, "POST", "/v1/messages", `{"messages":[{"channel":"hall:y","type":"e","data":`+said+`}]}`)
	exchange(t, s, "PUT", "/v1/channels/map:x/state/a%26b", `{"data":`+said+`}`)
	p := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	p.send(`{"type":"subscribe","channel":"hall:x","id":1}`)
	p.read()
	p.send(`{"type":"presence","channel":"hall:x","id":2,"data":{"action":"enter","data":` + said + `}}`)
	if m := p.read(); m.Type != "ack" {
		t.Fatalf("entering: %+v", m)
	}
	for path, name := range map[string]string{"hall:x/messages": "", "hall:y/messages": "", "map:x/state": `"key":"a&b"`, "hall:x/presence": ""} {
		resp, text := exchange(t, s, "GET", "/v1/channels/"+path, "")
		if resp.StatusCode != 200 || !strings.Contains(text, `"data":`+said) || !strings.Contains(text, name) || !json.Valid([]byte(text)) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
}

// TestPathsOfREST: a channel's name is one segment, whatever is in it.
func TestPathsOfREST(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf)})
	const body = `{"type":"e","data":1}`
	for path, name := range map[string]string{
		".": ".", "..": "..", "%2E": ".", "%2e%2E": "..", "...": "...", "a%2Fb": "a/b", "a%2fb": "a/b", "a%2F%2Fb": "a//b", "a%2F..%2Fb": "a/../b", "hall%3A1": "hall:1",
	} {
		resp, text := exchange(t, s, "POST", "/v1/channels/"+path+"/messages", body)
		var got struct{ Channel string }
		if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != 201 || got.Channel != name {
			t.Errorf("%s is channel %s: %d %s", path, name, resp.StatusCode, text)
		}
		if resp, text := exchange(t, s, "GET", "/v1/channels/"+path+"/messages", ""); resp.StatusCode != 200 || !strings.Contains(text, `"channel":"`+name+`"`) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	for path, want := range map[string]string{
		"/v1/channels/log:a/b/messages":   "/v1/channels/log:a%2Fb/messages",
		"/v1/channels/a/b/c/state/k":      "/v1/channels/a%2Fb%2Fc/state/k",
		"/v1/channels/a//b/messages":      "/v1/channels/a%2F%2Fb/messages",
		"/v1/channels/a/b/presence":       "/v1/channels/a%2Fb/presence",
		"/v1/channels/a/../b/messages":    "/v1/channels/a%2F..%2Fb/messages",
		"/v1/channels/a":                  "/v1/channels/a/messages",
		"/v1/channels/../../livez":        "there is nothing at this address",
		"/v1//messages":                   "there is nothing at this address",
		"/v1/channels/a/messages/":        "there is nothing at this address",
		"/v1/./messages":                  "there is nothing at this address",
		"/v1/nothing/../channels/a/state": "there is nothing at this address",
	} {
		resp, text := exchange(t, s, "POST", path, body)
		if resp.StatusCode != 404 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %s", path, resp.StatusCode, text, want)
		}
	}
}

// TestFieldsOfREST: a field that is not known is refused by its name, and what was
// meant is told.
func TestFieldsOfREST(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf)})
	const publish, batch, value = "POST /v1/channels/hall:x/messages", "POST /v1/messages", "PUT /v1/channels/map:x/state/k"
	for _, c := range []struct{ route, body, says, meant string }{
		{publish, `{"event":"e","data":1}`, `field \"event\"`, "type"},
		{publish, `{"type":"e","text":"hi"}`, `field \"text\"`, "data"},
		{publish, `{"type":"e","data":1,"text":"hi"}`, "goes inside data", "data"},
		{publish, `{"Type":"e","data":1}`, `field \"Type\"`, "type"},
		{publish, `{"type":"e","DATA":1}`, `field \"DATA\"`, "data"},
		{publish, `{"type":"e","dtaa":1}`, `field \"dtaa\"`, "data"},
		{publish, `{"type":"e","zebra":1}`, `field \"zebra\"`, ""},
		{publish, `{"type":"e","zebra ` + strings.Repeat("x", 1000) + `":1}`, `field \"zebra `, ""},
		{publish, `{"type":"e","channel":"hall:y"}`, `field \"channel\"`, ""},
		{publish, `[1]`, "must be an object", ""},
		{publish, `null`, "must be an object", ""},
		{publish, `{"type":null,"key":null,"data":1}`, "type may not be empty", ""},
		{publish, `{"type":["e"]}`, "field type must be a string", ""},
		{batch, `{"messages":[{"channel":"hall:x","type":"e"},{"channel":"hall:x","event":"e"}]}`, `messages[1] has a field \"event\"`, "type"},
		{batch, `{"messages":[{"channel":"hall:x","type":7}]}`, "messages[0].type must be a string", ""},
		{batch, `{"messages":[7]}`, "messages[0] must be an object", ""},
		{batch, `{"items":[]}`, `field \"items\"`, "messages"},
		{batch, `{"messages":{}}`, "messages must be a list", ""},
		{value, `{"value":1}`, `field \"value\"`, "data"},
		{value, `{"data":1,"key":"k"}`, `field \"key\"`, ""},
		{value, `{"type":"set"}`, "no data", ""},
		{"POST /v1/tickets", `{"user":"ann"}`, `field \"user\"`, ""},
	} {
		method, path, _ := strings.Cut(c.route, " ")
		header := []string(nil)
		if path == "/v1/tickets" {
			header = []string{"X: y"}
		}
		resp, text := exchange(t, s, method, path, c.body, header...)
		if path == "/v1/tickets" {
			// A key has no ticket; so a user asks.
			code, got := fetch(t, s, method, path, userToken(t, "ann", nil), c.body)
			resp.StatusCode, text = code, string(got)
		}
		var got struct {
			Code, Reason string
			DidYouMean   string `json:"did_you_mean"`
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != 400 || !strings.Contains(text, c.says) || got.DidYouMean != c.meant || len(text) > 600 {
			t.Errorf("%s %.60s: %d %s, want %s and %q", c.route, c.body, resp.StatusCode, text, c.says, c.meant)
		}
	}
	if _, text := exchange(t, s, "GET", "/v1/channels/hall:x/messages", ""); !strings.Contains(text, `"messages":[]`) {
		t.Errorf("something was published: %s", text)
	}
}

// TestBodiesOfREST: what other clients send in the way of bodies is taken, or it is
// said what is wrong with it.
func TestBodiesOfREST(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf)})
	const body = `{"type":"e","data":1}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, body)
	_ = z.Close()
	for _, c := range []struct {
		what, body, header string
		status             int
		says               string
	}{
		{"plain", body, "", 201, ""},
		{"charset", body, `Content-Type: Application/JSON; charset="UTF-8"`, 201, ""},
		{"identity", body, "Content-Encoding: identity", 201, ""},
		{"another charset", body, "Content-Type: application/json; charset=iso-8859-1", 400, "UTF-8"},
		{"no type", body, "Content-Type:", 400, "Content-Type: application/json"},
		{"text", body, "Content-Type: text/plain", 400, "Content-Type: application/json"},
		{"a form", body, "Content-Type: application/x-www-form-urlencoded", 400, "Content-Type: application/json"},
		{"packed", packed.String(), "Content-Encoding: gzip", 415, "Content-Encoding: gzip"},
		{"a mark", "\xEF\xBB\xBF" + body, "", 400, "byte order mark"},
		{"UTF-16", "\xFF\xFE{\x00", "", 400, "byte order mark"},
		{"nothing", " ", "", 400, "empty"},
		{"two values", body + body, "", 400, "more after the end"},
		{"latin1", "{\"type\":\"e\",\"data\":\"\xe9\"}", "", 400, "UTF-8"},
	} {
		resp, text := exchange(t, s, "POST", "/v1/channels/hall:x/messages", c.body, c.header)
		if resp.StatusCode != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", c.what, resp.StatusCode, text)
		}
		if c.status == 415 && resp.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("%s: what is accepted is not said", c.what)
		}
	}
}

// TestMethodsOfREST: a method that a path does not have is answered with those that
// it has.
func TestMethodsOfREST(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf)})
	for path, want := range map[string][2]string{
		"/v1/channels/hall:x/messages": {"POST, GET, OPTIONS", "PUT is not done here; POST and GET are"},
		"/v1/messages":                 {"POST, OPTIONS", "PUT is not done here; POST is"},
		"/livez":                       {"GET, OPTIONS", "PUT is not done here; GET is"},
	} {
		resp, text := exchange(t, s, "PUT", path, "{}")
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != want[0] || !strings.Contains(text, want[1]) {
			t.Errorf("%s: %d %q %s", path, resp.StatusCode, resp.Header.Get("Allow"), text)
		}
	}
}

// TestOrderOfBatch: a batch is on its way all at once, and each channel still has
// its messages in the order of the batch, as the answers have it.
func TestOrderOfBatch(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(restConf), StoreDir: t.TempDir()})
	var body strings.Builder
	const channels, each = 7, 14
	for i := range channels * each {
		fmt.Fprintf(&body, `,{"channel":"hall:%d","type":"e","data":%d}`, i%channels, i)
	}
	resp, text := exchange(t, s, "POST", "/v1/messages", `{"messages":[`+body.String()[1:]+`,{"channel":"$no","type":"e"}]}`)
	var got struct {
		Results []struct {
			Channel string
			Offset  int
			Error   *struct{ Code string }
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != 200 || len(got.Results) != channels*each+1 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	for i, r := range got.Results[:channels*each] {
		if r.Channel != fmt.Sprint("hall:", i%channels) || r.Offset != i/channels+1 {
			t.Fatalf("the answer to %d is %+v", i, r)
		}
	}
	if last := got.Results[channels*each]; last.Error == nil || last.Error.Code != "forbidden" {
		t.Errorf("the last was refused: %+v", last)
	}
}

// TestRefusalsOfREST: what is refused has its line and its count.
func TestRefusalsOfREST(t *testing.T) {
	log := &logged{}
	s := start(t, ringdown.Options{Config: []byte(restConf), Logger: slog.New(slog.NewTextHandler(log, nil))})
	exchange(t, s, "PUT", "/v1/messages", "{}")
	exchange(t, s, "POST", "/v1/messages", `{"messages":[{"channel":"$sys","type":"e"}]}`)
	fetch(t, s, "GET", "/v1/connections", userToken(t, "ann", nil), "")
	fetch(t, s, "GET", "/v1/connections", "", "")
	_, metrics := exchange(t, s, "GET", "/metrics", "")
	for _, want := range []string{
		`ringdown_refusals_total{code="bad_request",door="rest",reason="method"} 1`,
		`ringdown_refusals_total{code="forbidden",door="rest",reason="server_key"} 1`,
		`ringdown_refusals_total{code="unauthorized",door="rest",reason="credential"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("%s is not counted", want)
		}
	}
	for _, want := range []string{`action="PUT /v1/messages"`, `channel=$sys`, "user=ann", "address=127.0.0.1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log:\n%s", want, log)
		}
	}
}

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
