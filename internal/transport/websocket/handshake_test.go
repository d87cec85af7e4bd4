package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/internal/auth"
	"ringdown/internal/refusal"
	"ringdown/protocol"
)

// gate is a handler in front of which handshakes are tried, beside a page that
// nothing behind a failed handshake may reach.
type gate struct {
	addr    string
	reached atomic.Int64 // requests for the page
	handler *Handler
}

func newGate(t *testing.T, o Options) *gate {
	t.Helper()
	e := startEngine(t, "")
	g := &gate{handler: NewApp(e, o, func() App { return &echo{max: 1000} })}
	mux := http.NewServeMux()
	mux.Handle("/v1/ws", g.handler)
	mux.HandleFunc("/smuggled", func(http.ResponseWriter, *http.Request) { g.reached.Add(1) })
	srv := httptest.NewUnstartedServer(mux)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	g.addr = srv.Listener.Addr().String()
	return g
}

// try writes raw bytes and returns the response, its body, and whether the
// server closed the connection behind it.
func (g *gate) try(t *testing.T, raw string) (resp *http.Response, body []byte, closed bool) {
	t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err = http.ReadResponse(r, &http.Request{Method: strings.Fields(raw + " x")[0]})
	if err != nil {
		return nil, nil, true
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, nil, false
	}
	body, _ = io.ReadAll(resp.Body)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = r.ReadByte()
	return resp, body, err != nil && !isTimeout(err)
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// request spells a handshake out, with some lines changed: "Name: value"
// replaces the line of that name, "-Name" leaves it out, "+Name: value" adds one.
func request(first string, changes ...string) string {
	lines := []string{"Host: shop.example", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	body := ""
	for _, ch := range changes {
		if rest, ok := strings.CutPrefix(ch, "body="); ok {
			body = rest
			continue
		}
		if rest, ok := strings.CutPrefix(ch, "+"); ok {
			lines = append(lines, rest)
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(ch, "-"), ":")
		for i, l := range lines {
			if have, _, _ := strings.Cut(l, ":"); strings.EqualFold(have, name) {
				lines[i] = ch
			}
		}
	}
	var b strings.Builder
	b.WriteString(first + "\r\n")
	for _, l := range lines {
		if !strings.HasPrefix(l, "-") {
			b.WriteString(l + "\r\n")
		}
	}
	return b.String() + "\r\n" + body
}

// TestMalformedHandshakes (B10): none becomes a tunnel, each is answered with a
// 4xx and the end of the connection, and what comes behind it is not a request.
func TestMalformedHandshakes(t *testing.T) {
	g := newGate(t, Options{Compression: true})
	const get = "GET /v1/ws HTTP/1.1"
	const behind = "GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n"
	cases := map[string]string{
		"POST":                        request("POST /v1/ws HTTP/1.1", "+Content-Length: 0"),
		"PUT":                         request("PUT /v1/ws HTTP/1.1", "+Content-Length: 0"),
		"HEAD":                        request("HEAD /v1/ws HTTP/1.1"),
		"OPTIONS":                     request("OPTIONS /v1/ws HTTP/1.1"),
		"CONNECT":                     request("CONNECT /v1/ws HTTP/1.1"),
		"get in lower case":           request("get /v1/ws HTTP/1.1"),
		"HTTP/1.0":                    request("GET /v1/ws HTTP/1.0"),
		"HTTP/2.0 in the first line":  request("GET /v1/ws HTTP/2.0"),
		"HTTP/3.0 in the first line":  request("GET /v1/ws HTTP/3.0"),
		"no version in the line":      request("GET /v1/ws"),
		"no Host":                     request(get, "-Host"),
		"two Hosts":                   request(get, "+Host: other.example"),
		"no Upgrade":                  request(get, "-Upgrade"),
		"empty Upgrade":               request(get, "Upgrade:"),
		"h2c":                         request(get, "Upgrade: h2c", "+HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Connection: Upgrade, HTTP2-Settings"),
		"websocket and h2c":           request(get, "Upgrade: websocket, h2c"),
		"h2c and websocket":           request(get, "Upgrade: h2c, websocket"),
		"two Upgrades":                request(get, "+Upgrade: websocket"),
		"TLS upgrade":                 request(get, "Upgrade: TLS/1.2"),
		"websocket with a version":    request(get, "Upgrade: websocket/13"),
		"websockets":                  request(get, "Upgrade: websockets"),
		"no Connection":               request(get, "-Connection"),
		"keep-alive only":             request(get, "Connection: keep-alive"),
		"Connection: close":           request(get, "Connection: close"),
		"upgrade as part of a word":   request(get, "Connection: no-upgrade"),
		"no version":                  request(get, "-Sec-WebSocket-Version"),
		"version 8":                   request(get, "Sec-WebSocket-Version: 8"),
		"version 0":                   request(get, "Sec-WebSocket-Version: 0"),
		"version 14":                  request(get, "Sec-WebSocket-Version: 14"),
		"version 013":                 request(get, "Sec-WebSocket-Version: 013"),
		"version 13, 8":               request(get, "Sec-WebSocket-Version: 13, 8"),
		"version not a number":        request(get, "Sec-WebSocket-Version: x"),
		"two versions":                request(get, "+Sec-WebSocket-Version: 13"),
		"no key":                      request(get, "-Sec-WebSocket-Key"),
		"empty key":                   request(get, "Sec-WebSocket-Key:"),
		"key of 15 bytes":             request(get, "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1"),
		"key of 17 bytes":             request(get, "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Njc="),
		"key without padding":         request(get, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"),
		"key of the wrong alphabet":   request(get, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_-=="),
		"key that is no base64":       request(get, "Sec-WebSocket-Key: this is no base64 text!!"),
		"two keys":                    request(get, "+Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
		"two keys in one line":        request(get, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
		"folded key":                  request(get, "Sec-WebSocket-Key: dGhlIHNhbXBs\r\n ZSBub25jZQ=="),
		"folded Upgrade":              request(get, "Upgrade: web\r\n socket"),
		"a body":                      request(get, "+Content-Length: 4", "body=body"),
		"a body that does not come":   request(get, "+Content-Length: 4000"),
		"a chunked body":              request(get, "+Transfer-Encoding: chunked", "body=4\r\nbody\r\n0\r\n\r\n"),
		"an empty chunked body":       request(get, "+Transfer-Encoding: chunked", "body=0\r\n\r\n"),
		"both ways to end a body":     request(get, "+Transfer-Encoding: chunked", "+Content-Length: 4", "body=0\r\n\r\n"),
		"an unknown coding":           request(get, "+Transfer-Encoding: gzip"),
		"two lengths":                 request(get, "+Content-Length: 0", "+Content-Length: 5"),
		"a negative length":           request(get, "+Content-Length: -1"),
		"a space before the colon":    request(get, "-Upgrade", "+Upgrade : websocket"),
		"a line without a colon":      request(get, "+nonsense"),
		"NUL in a value":              request(get, "+X-Odd: a\x00b"),
		"a name that is no token":     request(get, "+X(odd): a"),
		"a foreign origin":            request(get, "+Origin: https://evil.example"),
		"two origins":                 request(get, "+Origin: https://a.example", "+Origin: https://b.example"),
		"an origin that is none":      request(get, "+Origin: shop.example"),
		"only unknown subprotocols":   request(get, "+Sec-WebSocket-Protocol: graphql-ws, soap"),
		"a subprotocol in upper case": request(get, "+Sec-WebSocket-Protocol: RINGDOWN.V1.JSON"),
	}
	for name, raw := range cases {
		resp, body, closed := g.try(t, raw+behind)
		switch {
		case resp == nil:
			t.Errorf("%s: no answer at all", name)
		case resp.StatusCode < 400 || resp.StatusCode > 505 || resp.StatusCode == 500:
			t.Errorf("%s: answered with %d", name, resp.StatusCode)
		case !closed:
			t.Errorf("%s: %d, and the connection stays open", name, resp.StatusCode)
		case resp.Header.Get("Content-Type") == "application/problem+json" && resp.Request.Method != "HEAD":
			var p struct {
				Status int
				Code   protocol.Code
				Detail string
			}
			if err := json.Unmarshal(body, &p); err != nil || p.Status != resp.StatusCode || p.Code == "" || p.Detail == "" {
				t.Errorf("%s: problem %s (%v)", name, body, err)
			}
		}
		if resp != nil && strings.Contains(name, "version") && resp.Request.Method == "GET" && resp.StatusCode == http.StatusUpgradeRequired &&
			resp.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%s: 426 without the version that is spoken", name)
		}
	}
	if n := g.reached.Load(); n != 0 {
		t.Errorf("%d requests were smuggled behind failed handshakes", n)
	}
	t.Logf("%d malformed handshakes refused", len(cases))
}

// What is well formed, however odd, is let in.
func TestOddHandshakes(t *testing.T) {
	origins, err := auth.ParseOrigins([]string{"https://shop.example", "self"})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, Options{Compression: true, Origins: origins})
	const get = "GET /v1/ws HTTP/1.1"
	for name, raw := range map[string]string{
		"plain":                   request(get),
		"upper and lower case":    request(get, "Upgrade: WebSocket", "Connection: keep-alive, uPGRADE"),
		"two Connection lines":    request(get, "Connection: keep-alive", "+Connection: upgrade"),
		"spaces around values":    request(get, "Upgrade:   websocket  ", "Sec-WebSocket-Version:  13 "),
		"a length of 0":           request(get, "+Content-Length: 0"),
		"an origin on the list":   request(get, "+Origin: https://shop.example"),
		"an origin in upper case": request(get, "+Origin: HTTPS://SHOP.EXAMPLE:443"),
		"its own origin":          request(get, "+Origin: http://shop.example"),
		"a query":                 request("GET /v1/ws?a=b&a=c&%00 HTTP/1.1"),
		"a whole URL":             request("GET http://shop.example/v1/ws HTTP/1.1"),
	} {
		resp, body, _ := g.try(t, raw)
		if resp == nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%s: %v %s", name, resp, body)
			continue
		}
		if got := resp.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("%s: accept %q", name, got) // the value of RFC 6455 §1.3
		}
	}
}

func TestSubprotocols(t *testing.T) {
	g := newGate(t, Options{})
	for offer, want := range map[string]string{
		"":                                      "",
		"ringdown.v1.json":                      "ringdown.v1.json",
		"ringdown.v1.protobuf":                  "ringdown.v1.protobuf",
		"soap, ringdown.v1.protobuf":            "ringdown.v1.protobuf",
		"ringdown.v1.protobuf,ringdown.v1.json": "ringdown.v1.protobuf",
		"ringdown.v1.json, bearer.secret":       "ringdown.v1.json",
		"bearer.secret, ringdown.v1.json":       "ringdown.v1.json",
	} {
		line := "+Sec-WebSocket-Protocol: " + offer
		if offer == "" {
			line = "+X-Nothing: 1"
		}
		resp, body, _ := g.try(t, request("GET /v1/ws HTTP/1.1", line))
		if resp == nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%q: %v %s", offer, resp, body)
			continue
		}
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != want {
			t.Errorf("%q is answered with %q, want %q", offer, got, want)
		}
		for _, values := range resp.Header {
			if strings.Contains(strings.Join(values, ""), "secret") {
				t.Errorf("%q: the token is echoed", offer)
			}
		}
	}
}

// What is offered and not spoken is answered with what is; a token alone with the
// line to write, since a browser says no more than that it failed.
func TestSubprotocolRefused(t *testing.T) {
	g := newGate(t, Options{})
	for offer, want := range map[string]string{
		"bearer.secret":           `new WebSocket(url, ['ringdown.v1.json', 'bearer.' + token])`,
		"bearer.ringdown.v1.json": `new WebSocket(url, ['ringdown.v1.json', 'bearer.' + token])`,
		"ringdown":                `\"ringdown\" is not spoken here: there are ringdown.v1.json and ringdown.v1.protobuf`,
		"ringdown.v1":             `\"ringdown.v1\" is not spoken here: there are ringdown.v1.json and ringdown.v1.protobuf`,
		"soap, bearer.secret":     `\"soap\" is not spoken here: there are ringdown.v1.json and ringdown.v1.protobuf`,
	} {
		resp, body, closed := g.try(t, request("GET /v1/ws HTTP/1.1", "+Sec-WebSocket-Protocol: "+offer))
		if resp.StatusCode != http.StatusBadRequest || !closed || !strings.Contains(string(body), want) || strings.Contains(string(body), "secret") {
			t.Errorf("%q: %d %s", offer, resp.StatusCode, body)
		}
	}
}

// A refused handshake is noted with what refused, like any other refusal.
func TestRefusalsNoted(t *testing.T) {
	g := newGate(t, Options{})
	var log bytes.Buffer
	g.handler.door.refusals = refusal.NewRecorder(slog.New(slog.NewTextHandler(&log, nil)))
	for _, raw := range []string{
		request("GET /v1/ws HTTP/1.1", "+Origin: https://evil.example"),
		request("GET /v1/ws HTTP/1.1", "+Sec-WebSocket-Protocol: bearer.secret"),
		request("GET /v1/ws HTTP/1.1", "-Sec-WebSocket-Key"),
	} {
		g.try(t, raw)
	}
	counts := g.handler.door.refusals.Counts()
	for _, k := range []refusal.Key{
		{Door: refusal.WebSocket, Code: protocol.CodeForbidden, Name: "origin"},
		{Door: refusal.WebSocket, Code: protocol.CodeBadRequest, Name: "subprotocol"},
		{Door: refusal.WebSocket, Code: protocol.CodeBadRequest, Name: "handshake"},
	} {
		if counts[k] != 1 {
			t.Errorf("%+v: %d times in %v", k, counts[k], counts)
		}
	}
	if s := log.String(); !strings.Contains(s, "https://evil.example") || !strings.Contains(s, "address=127.0.0.1") || strings.Contains(s, "secret") {
		t.Error(s)
	}
}

// TestOrigins (C01) as far as it is this room's: the list is asked, and a page
// that is not on it is told how to get there.
func TestOriginRefused(t *testing.T) {
	g := newGate(t, Options{})
	resp, body, closed := g.try(t, request("GET /v1/ws HTTP/1.1", "+Origin: https://shop.example"))
	if resp.StatusCode != http.StatusForbidden || !closed || !strings.Contains(string(body), `"forbidden"`) || !strings.Contains(string(body), "https://shop.example") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	origins, err := auth.ParseOrigins([]string{"https://shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	g.handler.Reload(Options{Origins: origins})
	if resp, body, _ = g.try(t, request("GET /v1/ws HTTP/1.1", "+Origin: https://shop.example")); resp.StatusCode != 101 {
		t.Errorf("after the reload: %d %s", resp.StatusCode, body)
	}
}

// A page cannot read why its handshake failed, so a plain GET is answered as it was.
func TestPlainGetSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name   string
		room   error
		fields []string
		status int
	}{
		{"nothing is wrong", nil, nil, http.StatusUpgradeRequired},
		{"origin", nil, []string{"+Origin: https://evil.example"}, http.StatusForbidden},
		{"full", &protocol.Error{Code: protocol.CodeUnavailable, Message: "full", Retryable: true, RetryAfter: time.Second}, nil, http.StatusServiceUnavailable},
	} {
		g := newGate(t, Options{})
		g.handler.door.room = func() error { return c.room }
		resp, body, _ := g.try(t, request("GET /v1/ws HTTP/1.1", append(c.fields, "-Upgrade", "-Connection")...))
		if resp.StatusCode != c.status || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v %s", c.name, resp.StatusCode, resp.Header, body)
		}
	}
}

// A server that is full says so before the upgrade, and when to come back.
func TestNotAdmitted(t *testing.T) {
	g := newGate(t, Options{})
	g.handler.door.admit = func(context.Context) (func(), error) {
		return nil, &protocol.Error{Code: protocol.CodeUnavailable, Message: "full", Retryable: true, RetryAfter: 1500 * time.Millisecond}
	}
	resp, body, closed := g.try(t, request("GET /v1/ws HTTP/1.1"))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "2" || !closed || !strings.Contains(string(body), `"unavailable"`) {
		t.Errorf("%d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
}

// What cannot be taken over is told so: HTTP/2, and a writer without a socket.
func TestNothingToTakeOver(t *testing.T) {
	g := newGate(t, Options{})
	srv := httptest.NewUnstartedServer(g.handler)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	req, err := http.NewRequest(http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("over %s: %d", resp.Proto, resp.StatusCode)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request("GET /v1/ws HTTP/1.1"))))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"internal"`) {
		t.Errorf("without a socket: %d %s", w.Code, w.Body)
	}
}

// Bytes that came with the handshake are the first frames.
func TestFramesBehindTheHandshake(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		h := serve(t, engine, lax, 1000)
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		frames := string(masked(0x81, []byte("early"))) + string(masked(0x81, []byte("bird")))
		if _, err := io.WriteString(c, request("GET /v1/ws HTTP/1.1")+frames); err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, conn: c.(*net.TCPConn), r: bufio.NewReader(c)}
		if _, err := http.ReadResponse(p.r, nil); err != nil {
			t.Fatal(err)
		}
		p.expect(0x81, "early")
		p.expect(0x81, "bird")
	})
}
