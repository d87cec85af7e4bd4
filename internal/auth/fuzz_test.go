package auth

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"ringdown/protocol"
)

// FuzzToken gives the verifier anything. Nothing may panic or come in that was
// not signed here, and no error may say what was sent.
func FuzzToken(f *testing.F) {
	k := JWT{Secret: []byte("0123456789abcdef0123456789abcdef")}
	other := mustKey(f)
	v := verifier(f, k)
	good := sign(f, k, map[string]any{"sub": "ann", "exp": 9999999999, "ringdown": map[string]any{"a:*": []string{"publish"}}})
	f.Add(good, false)
	f.Add(sign(f, other, map[string]any{"sub": "ann", "exp": 9999999999}), false)
	f.Add("a.b.c.d.e", false)
	f.Add("...", false)
	f.Add(`{"sub":"ann","exp":9999999999}`, true)
	f.Add(`{"sub":1,"exp":1.5,"nbf":1e3,"aud":["a"],"iss":null,"ringdown":{"*":["-publish"]}}`, true)
	f.Add(`{"exp":99999999999999999999,"exp":1}`, true)
	f.Fuzz(func(t *testing.T, s string, asPayload bool) {
		token := s
		if asPayload { // signed, so that what comes after the signature is reached
			token = forge(t, "HS256", k, `{"alg":"HS256"}`, s)
		}
		who, err := v.Token(t.Context(), token)
		if err != nil {
			if code(t, err) != protocol.CodeUnauthorized {
				t.Errorf("%v", err)
			}
			if len(s) > 20 && strings.Contains(err.Error(), s) {
				t.Errorf("the error says what was sent: %v", err)
			}
			return
		}
		if !asPayload && token != good {
			t.Errorf("%q came in", token)
		}
		if protocol.ValidUser(who.User) != nil || who.Expires.IsZero() || protocol.ValidJSON(who.Claims) != nil {
			t.Errorf("identity %+v", who)
		}
		for _, c := range who.Caps {
			if granted, denied := who.Caps.Decide("publish", c.pattern); granted && denied {
				t.Errorf("%+v grants and denies", c)
			}
		}
	})
}

// FuzzParseSet gives the reader of key sets anything.
func FuzzParseSet(f *testing.F) {
	for _, algorithm := range []string{"ES256", "RS256", "EdDSA"} {
		k, _ := keysFor(f, algorithm)
		f.Add(jwks(jwk(f, "1", k)))
	}
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"},null,1]}`)
	f.Fuzz(func(t *testing.T, s string) {
		keys, _, err := parseSet([]byte(s))
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if algorithm, err := publicAlgorithm(k.public); err != nil || methods[algorithm] != k.method || algorithm == "HS256" {
				t.Errorf("a key for %s: %v", k.method.Alg(), err)
			}
			k.verify(&token{signed: "a.b", signature: []byte(s)})
		}
	})
}

// FuzzOrigins holds canonical against what net/url takes for an origin.
func FuzzOrigins(f *testing.F) {
	for _, s := range []string{
		"https://shop.example", "HTTP://A:80", "http://[::1]:3000", "https://a:443", "null", "*", "https://a/", "https://u@a", "https://\u212A", "http://a:0443", "x-y.z+1://a_b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, bad := canonical(s)
		if bad != nil {
			if bad.What == "" || bad.Remedy == "" {
				t.Errorf("%q is refused without a word", s)
			}
			return
		}
		if again, bad := canonical(c); bad != nil || again != c {
			t.Errorf("%q became %q, which becomes %q, %v", s, c, again, bad)
		}
		u, err := url.Parse(c)
		if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Host == "" || !strings.EqualFold(c, u.Scheme+"://"+u.Host) {
			t.Errorf("%q became %q, which is no origin: %v", s, c, err)
		}
		o, err := ParseOrigins([]string{s})
		if err != nil {
			t.Fatal(err)
		}
		if !o.Allow(request("", false, s)) || !o.Allow(request("", false, c)) || o.Allow(request("", false, c+".evil")) || o.Allow(request("", false, fmt.Sprint("x", c))) {
			t.Errorf("a list of %q does not allow exactly that", s)
		}
	})
}
