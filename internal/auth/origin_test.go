package auth

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"

	"ringdown/protocol"
)

func request(host string, secure bool, origins ...string) *http.Request {
	r := &http.Request{Host: host, Header: http.Header{}}
	if len(origins) > 0 {
		r.Header["Origin"] = origins
	}
	if secure {
		r.TLS = &tls.ConnectionState{}
	}
	return r
}

// TestOriginMatrix is one list against everything that pretends to be on it.
func TestOriginMatrix(t *testing.T) {
	o, err := ParseOrigins([]string{
		"https://shop.example", "HTTPS://Admin.Shop.Example:8443", "http://localhost:3000", "http://[::1]:3000",
		"https://xn--mller-kva.example", "http://plain.example:80", "capacitor://localhost", "chrome-extension://abcdefgh",
	})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://shop.example":            true,
		"https://shop.example:443":        true,
		"HTTPS://SHOP.example":            true,
		"https://admin.shop.example:8443": true,
		"http://localhost:3000":           true,
		"http://[::1]:3000":               true,
		"http://[0:0:0:0:0:0:0:1]:3000":   true,
		"https://xn--mller-kva.example":   true,
		"https://XN--MLLER-KVA.example":   true,
		"http://plain.example":            true,
		"capacitor://localhost":           true,
		"chrome-extension://abcdefgh":     true,

		// Other names.
		"https://shop.example.evil":      false,
		"https://evilshop.example":       false,
		"https://evil.shop.example":      false,
		"https://shop.example.":          false,
		"https://shopxexample":           false,
		"https://shop.exampl":            false,
		"https://shop.example%2eevil":    false,
		"https://shop.example%00.evil":   false,
		"https://shop.example\x00":       false,
		"https://müller.example":         false,
		"https://s\u212Aop.example":      false,
		"https://\u017Fhop.example":      false,
		"https://shop\u3002example":      false,
		"https://xn--mller-kva.example.": false,
		"http://127.0.0.1:3000":          false,
		"http://[::1%25lo]:3000":         false,
		"http://[::2]:3000":              false,
		"http://[::1]3000":               false,

		// Other schemes and ports.
		"http://shop.example":              false,
		"wss://shop.example":               false,
		"https://shop.example:80":          false,
		"https://shop.example:8443":        false,
		"https://shop.example:0443":        false,
		"https://shop.example:":            false,
		"https://shop.example:0":           false,
		"https://shop.example:65979":       false, // 443 modulo 2^16
		"https://shop.example:+443":        false,
		"http://localhost":                 false,
		"http://localhost:30000":           false,
		"https://plain.example":            false,
		"http://plain.example:8080":        false,
		"https://admin.shop.example":       false,
		"capacitor://localhost:80":         false,
		"chrome-extension://abcdefgh/page": false,

		// What is no origin.
		"":                                 false,
		"null":                             false,
		"NULL":                             false,
		"*":                                false,
		"self":                             false,
		"shop.example":                     false,
		"//shop.example":                   false,
		"https:shop.example":               false,
		"https:/shop.example":              false,
		"https:///shop.example":            false,
		"://shop.example":                  false,
		"https://":                         false,
		"https://shop.example/":            false,
		"https://shop.example/path":        false,
		"https://shop.example?x":           false,
		"https://shop.example#x":           false,
		"https://shop.example\\@evil":      false,
		"https://user@shop.example":        false,
		"https://user:secret@shop.example": false,
		"https://evil@shop.example":        false,
		"https://shop.example@evil":        false,
		" https://shop.example":            false,
		"https://shop.example ":            false,
		"https://shop.example\thttps://a":  false,
		"https://shop.example, https://a":  false,
		"https://a https://shop.example":   false,
		"https://*.shop.example":           false,
		"https://shop.example:443:443":     false,
		"javascript://shop.example":        false,
		"https://https://shop.example":     false,
	} {
		if got := o.Allow(request("api.shop.example", true, origin)); got != want {
			t.Errorf("%q: %t", origin, got)
		}
	}
	if !o.Allow(request("api.shop.example", true)) {
		t.Error("a client without Origin, which is no browser, is refused")
	}
	if o.Allow(request("api.shop.example", true, "https://shop.example", "https://shop.example")) {
		t.Error("two origins are allowed")
	}
	if o.Allow(request("api.shop.example", true, "https://shop.example", "https://evil")) {
		t.Error("a second origin is overlooked")
	}
}

func TestOriginWords(t *testing.T) {
	for _, c := range []struct {
		list   string
		host   string
		secure bool
		origin string
		want   bool
	}{
		{"", "a.example", true, "https://a.example", false},
		{"*", "a.example", true, "https://evil", true},
		{"*", "a.example", true, "null", true},
		{"null", "a.example", true, "null", true},
		{"null", "a.example", true, "https://a.example", false},
		{"self", "a.example", true, "null", false},
		{"self", "a.example", true, "https://a.example", true},
		{"self", "a.example", true, "https://A.Example:443", true},
		{"self", "a.example:443", true, "https://a.example", true},
		{"self", "a.example", true, "http://a.example", false},
		{"self", "a.example", false, "https://a.example", true}, // behind a proxy that ends TLS
		{"self", "a.example:8000", false, "http://a.example:8000", true},
		{"self", "a.example:8000", false, "http://a.example", false},
		{"self", "localhost:8000", false, "http://127.0.0.1:8000", false},
		{"self", "[::1]:8000", false, "http://[::1]:8000", true},
		{"self", "a.example", true, "https://a.example.evil", false},
		{"self", "", false, "http://", false},
		{"self", "a.example/x", false, "http://a.example", false},
		{"self", "evil@a.example", false, "http://a.example", false},
		{"self https://b.example", "a.example", true, "https://b.example", true},
		{"self https://b.example", "a.example", true, "https://c.example", false},
	} {
		o, err := ParseOrigins(strings.Fields(c.list))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Allow(request(c.host, c.secure, c.origin)); got != c.want {
			t.Errorf("list %q, host %q, https %t, origin %q: %t", c.list, c.host, c.secure, c.origin, got)
		}
	}
	var zero Origins
	if zero.Allow(request("a.example", true, "https://a.example")) || !zero.Allow(request("a.example", true)) {
		t.Error("the zero value allows a page, or refuses a client that is no browser")
	}
}

func TestBadOrigins(t *testing.T) {
	for entry, remedy := range map[string]string{
		"https://shop.example/":       "leave the slash out",
		"https://shop.example/app":    "leave out all that comes after",
		"https://shop.example?a=b":    "leave out all that comes after",
		"shop.example":                "as a browser does",
		"localhost:3000":              "as a browser does",
		"//shop.example":              "as a browser does",
		"https://*.shop.example":      `"*" alone`,
		"https://shop.*":              `"*" alone`,
		"https://shop.example:*":      `"*" alone`,
		"**":                          "as a browser does",
		"https://user@shop.example":   "as a browser does",
		"https://":                    "as a browser does",
		"1https://a":                  "as a browser does",
		"https://müller.example":      "punycode",
		"https://\u212Aelvin.example": "punycode",
		"https://shop.example:0":      "1 to 65535",
		"https://shop.example:":       "1 to 65535",
		"https://shop.example:99999":  "1 to 65535",
		"https://shop.example:http":   "1 to 65535",
		"https://shop example":        "as a browser does",
		"https://[::1":                "[::1]:3000",
		"https://[127.0.0.1]":         "[::1]:3000",
		"https://[::1]x":              "[::1]:3000",
		"":                            "as a browser does",
		"Self":                        "as a browser does",
	} {
		_, err := ParseOrigins([]string{"https://good.example", entry})
		e, ok := errors.AsType[*OptionError](err)
		if !ok || e.Path != "origins[1]" || !strings.Contains(e.Remedy, remedy) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	_, err := ParseOrigins([]string{"a", "https://good.example", "b"})
	if err == nil || !strings.Contains(err.Error(), "origins[0]") || !strings.Contains(err.Error(), "origins[2]") {
		t.Errorf("not every problem is told: %v", err)
	}
}

func TestRequestToken(t *testing.T) {
	for _, c := range []struct {
		query, authorization, protocol string
		want                           string
	}{
		{"", "", "", ""},
		{"token=q", "", "", "q"},
		{"a=b&token=q&token=r", "", "", "q"},
		{"token=a%2Eb", "", "", "a.b"},
		{"token=", "", "", ""},
		{"token", "", "", ""},
		{"Token=q", "", "", ""},
		{"", "Bearer h", "", "h"},
		{"", "bEARER  h ", "", "h"},
		{"", "Basic h", "", ""},
		{"", "Bearer", "", ""},
		{"", "Bearer ", "", ""},
		{"", "h", "", ""},
		{"", "", "bearer.p", "p"},
		{"", "", "ringdown.v1.json, bearer.p", "p"},
		{"", "", "ringdown.v1.json,bearer.a.b.c ,x", "a.b.c"},
		{"", "", "Bearer.p", ""},
		{"", "", "bearer.", ""},
		{"", "", "bearer", ""},
		{"token=q", "Bearer h", "bearer.p", "q"},
		{"token=", "Bearer h", "bearer.p", "h"},
		{"x=%zz&token=q", "", "", "q"},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://a.example/v1/ws?"+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		if c.protocol != "" {
			r.Header.Set("Sec-WebSocket-Protocol", c.protocol)
		}
		got, found := RequestToken(r)
		if got != c.want || found != (c.want != "") {
			t.Errorf("%+v: %q, %t", c, got, found)
		}
	}
	r := &http.Request{URL: mustURL(t, "http://a.example"), Header: http.Header{"Sec-Websocket-Protocol": {"ringdown.v1.json", "bearer.p"}}}
	if got, _ := RequestToken(r); got != "p" {
		t.Errorf("in the second of two header lines: %q", got)
	}
}

// A page is told which origin it has: it is often not the one that its author
// thinks of.
func TestOriginRefused(t *testing.T) {
	for _, c := range []struct {
		came []string
		says string
	}{
		{[]string{"http://localhost:5173"}, `the origin "http://localhost:5173" is not allowed`},
		{[]string{"https://a.example", "https://b.example"}, `"https://a.example, https://b.example"`},
		{[]string{strings.Repeat("x", 5000)}, strings.Repeat("x", 100) + "…"},
	} {
		err := OriginRefused(&http.Request{Header: http.Header{"Origin": c.came}})
		if err.Code != protocol.CodeForbidden || err.Reason != "origin" || !strings.Contains(err.Message, c.says) || len(err.Message) > 400 {
			t.Errorf("%.50q: %v", c.came, err)
		}
	}
}
