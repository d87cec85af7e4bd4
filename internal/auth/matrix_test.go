package auth

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringdown/protocol"
)

// fort is a verifier with a key of every kind and one key set, whose source
// answers once and fails the test when it is asked again.
type fort struct {
	*Verifier
	hs, rs, es, ed JWT // to sign with
	set            JWT // signs with the key of the set, kid "set-1"
	rsPublic       []byte
	log            bytes.Buffer
}

func newFort(t testing.TB) *fort {
	f := &fort{}
	o := Options{Logger: slog.New(slog.NewTextHandler(&f.log, nil))}
	add := func(algorithm, kid string) (private JWT) {
		private, public := keysFor(t, algorithm)
		private.KeyID, public.KeyID = kid, kid
		o.JWT = append(o.JWT, public)
		if algorithm == "RS256" {
			f.rsPublic = public.PublicKey
		}
		return private
	}
	f.hs, f.rs, f.es, f.ed = add("HS256", "hs-1"), add("RS256", "rs-1"), add("ES256", ""), add("EdDSA", "")
	f.set, _ = keysFor(t, "ES256")
	f.set.KeyID = "set-1"
	body := jwks(jwk(t, "set-1", f.set))
	var asked atomic.Int32
	o.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if asked.Add(1) > 1 {
			t.Error("a token made a request go out")
		}
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})}
	o.JWT = append(o.JWT, JWT{JWKS: "https://id.example/jwks.json"})
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Verifier = v
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Stop(t.Context()) })
	if _, err := v.Token(t.Context(), sign(t, f.set, ann())); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMatrix is what is tried on token verifiers, and none of it gets in, takes
// time, or makes the server call somebody.
func TestMatrix(t *testing.T) {
	f := newFort(t)
	v := f.Verifier
	good := fmt.Sprintf(`{"sub":"ann","exp":%d}`, inAnHour())
	hs := func(header, payload string) string { return forge(t, "HS256", f.hs, header, payload) }
	payload := func(format string, args ...any) string {
		return hs(`{"alg":"HS256"}`, fmt.Sprintf(format, args...))
	}
	kid := func(kid string) string {
		return forge(t, "ES256", f.set, fmt.Sprintf(`{"alg":"ES256","kid":%q}`, kid), good)
	}
	valid := sign(t, f.hs, ann())
	parts := strings.Split(valid, ".")
	soon := inAnHour()

	for name, token := range map[string]string{
		// The algorithm is the key's.
		"none":                          encode(`{"alg":"none"}`) + "." + encode(good) + ".",
		"None":                          encode(`{"alg":"None"}`) + "." + encode(good) + ".",
		"nOnE with a signature":         hs(`{"alg":"nOnE"}`, good),
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"RS to HS with the public key":  forgeSecret(t, f.rsPublic, `{"alg":"HS256"}`, good),
		"the same, with its kid":        forgeSecret(t, f.rsPublic, `{"alg":"HS256","kid":"rs-1"}`, good),
		"the same, claiming RS":         forgeSecret(t, f.rsPublic, `{"alg":"RS256","kid":"rs-1"}`, good),
		"HS with an empty secret":       forgeSecret(t, nil, `{"alg":"HS256"}`, good),
		"HS under the kid of an RS key": hs(`{"alg":"HS256","kid":"rs-1"}`, good),
		"HS under the kid of a set key": hs(`{"alg":"HS256","kid":"set-1"}`, good),
		"RS under the kid of a set key": forge(t, "RS256", f.rs, `{"alg":"RS256","kid":"set-1"}`, good),
		"HS512":                         hs(`{"alg":"HS512"}`, good),
		"PS256":                         forge(t, "RS256", f.rs, `{"alg":"PS256"}`, good),
		"ES256 claimed by HS":           hs(`{"alg":"ES256"}`, good),
		"lower case alg":                hs(`{"alg":"hs256"}`, good),
		"no alg":                        hs(`{"typ":"JWT"}`, good),
		"Alg":                           hs(`{"Alg":"HS256"}`, good),
		"alg is a number":               hs(`{"alg":256}`, good),
		"alg is null":                   hs(`{"alg":null}`, good),
		"alg twice":                     hs(`{"alg":"none","alg":"HS256"}`, good),
		"alg twice, escaped":            hs(`{"alg":"none","\u0061lg":"HS256"}`, good),
		"crit":                          hs(`{"alg":"HS256","crit":["exp"]}`, good),
		"b64 false":                     hs(`{"alg":"HS256","b64":false,"crit":["b64"]}`, good),

		// kid is a name and nothing else.
		"kid ../":            kid("../../../../dev/null"),
		"kid SQL":            kid("' OR '1'='1"),
		"kid URL":            kid("https://evil.example/key"),
		"kid with NUL":       forge(t, "ES256", f.set, `{"alg":"ES256","kid":"a\u0000b"}`, good),
		"kid empty":          kid(""),
		"kid is a number":    hs(`{"alg":"HS256","kid":1}`, good),
		"kid is null":        hs(`{"alg":"HS256","kid":null}`, good),
		"kid is an object":   hs(`{"alg":"HS256","kid":{"a":1}}`, good),
		"kid of 1 MB":        kid(strings.Repeat("k", 1<<20)),
		"unknown kid and HS": hs(`{"alg":"HS256","kid":"other"}`, good),

		// Keys that a token brings along.
		"jku":               forge(t, "ES256", mustKey(t), `{"alg":"ES256","kid":"evil","jku":"https://evil.example/jwks.json"}`, good),
		"jku, no kid":       forge(t, "ES256", mustKey(t), `{"alg":"ES256","jku":"https://evil.example/jwks.json"}`, good),
		"x5u":               forge(t, "ES256", mustKey(t), `{"alg":"ES256","x5u":"https://evil.example/cert.pem"}`, good),
		"jwk":               selfSigned(t, good),
		"x5c":               forge(t, "ES256", mustKey(t), `{"alg":"ES256","x5c":["MIIB"]}`, good),
		"iss is an address": forge(t, "ES256", mustKey(t), `{"alg":"ES256","kid":"evil"}`, `{"sub":"ann","iss":"http://127.0.0.1:1/","exp":9999999999}`),

		// Size and shape.
		"empty":               "",
		"a dot":               ".",
		"two dots":            "..",
		"10^6 dots":           strings.Repeat(".", 1_000_000),
		"8192 dots":           strings.Repeat(".", protocol.MaxToken),
		"1 MB":                strings.Repeat("a", 1<<20),
		"one byte too long":   valid + strings.Repeat("A", protocol.MaxToken+1-len(valid)),
		"one part":            parts[0],
		"two parts":           parts[0] + "." + parts[1],
		"four parts":          valid + "." + parts[2],
		"JWE":                 encode(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d",
		"JWE, direct":         encode(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`) + "..aXY.Y3Q.dGFn",
		"enc in three parts":  hs(`{"alg":"HS256","enc":"A256GCM"}`, good),
		"JSON serialization":  `{"payload":"` + parts[1] + `","signatures":[{"protected":"` + parts[0] + `","signature":"` + parts[2] + `"}]}`,
		"padding":             parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"line break":          valid + "\n",
		"line break inside":   parts[0] + "." + parts[1][:9] + "\r\n" + parts[1][9:] + "." + parts[2],
		"space before":        " " + valid,
		"NUL":                 valid + "\x00",
		"Bearer":              "Bearer " + valid,
		"stray bits":          parts[0] + "." + parts[1] + "." + parts[2][:42] + next(parts[2][42]),
		"standard base64":     parts[0] + "." + parts[1] + "." + strings.Repeat("+/", 21) + "+",
		"header is no JSON":   hs(`alg=HS256`, good),
		"header is an array":  hs(`["HS256"]`, good),
		"header is null":      hs(`null`, good),
		"header is deep":      hs(`{"alg":"HS256","a":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)+`}`, good),
		"header and more":     hs(`{"alg":"HS256"}{}`, good),
		"header of bad UTF-8": hs("{\"alg\":\"HS256\",\"a\":\"\xff\"}", good),
		"changed payload":     parts[0] + "." + encode(strings.Replace(good, "ann", "bob", 1)) + "." + parts[2],
		"changed header":      encode(`{"alg":"HS256","typ":"JWT","a":1}`) + "." + parts[1] + "." + parts[2],
		"foreign key":         forgeSecret(t, []byte(NewSecret()), `{"alg":"HS256"}`, good),
		"short signature":     parts[0] + "." + parts[1] + "." + parts[2][:40],

		// Claims.
		"no exp":               payload(`{"sub":"ann"}`),
		"exp null":             payload(`{"sub":"ann","exp":null}`),
		"exp is text":          payload(`{"sub":"ann","exp":"%d"}`, soon),
		"exp in milliseconds":  payload(`{"sub":"ann","exp":%d}`, soon*1000),
		"exp 1e10":             payload(`{"sub":"ann","exp":1e10}`),
		"exp 1e400":            payload(`{"sub":"ann","exp":1e400}`),
		"exp beyond int64":     payload(`{"sub":"ann","exp":9223372036854775808}`),
		"exp negative":         payload(`{"sub":"ann","exp":-1}`),
		"exp -0.5":             payload(`{"sub":"ann","exp":-0.5}`),
		"exp true":             payload(`{"sub":"ann","exp":true}`),
		"exp a list":           payload(`{"sub":"ann","exp":[%d]}`, soon),
		"EXP":                  payload(`{"sub":"ann","EXP":%d}`, soon),
		"float exp, past":      payload(`{"sub":"ann","exp":%d.5}`, time.Now().Unix()-60),
		"exp past":             payload(`{"sub":"ann","exp":%d}`, time.Now().Unix()-60),
		"nbf ahead":            payload(`{"sub":"ann","exp":%d,"nbf":%d}`, soon, time.Now().Unix()+120),
		"nbf is text":          payload(`{"sub":"ann","exp":%d,"nbf":"0"}`, soon),
		"iat ahead":            payload(`{"sub":"ann","exp":%d,"iat":%d}`, soon, time.Now().Unix()+120),
		"exp twice":            payload(`{"sub":"ann","exp":1,"exp":%d}`, soon),
		"exp twice, escaped":   payload(`{"sub":"ann","\u0065xp":1,"exp":%d}`, soon),
		"sub twice":            payload(`{"sub":"ann","sub":"root","exp":%d}`, soon),
		"twice, deep":          payload(`{"sub":"ann","exp":%d,"a":{"b":1,"b":2}}`, soon),
		"no sub":               payload(`{"exp":%d}`, soon),
		"SUB":                  payload(`{"SUB":"ann","exp":%d}`, soon),
		"sub empty":            payload(`{"sub":"","exp":%d}`, soon),
		"sub null":             payload(`{"sub":null,"exp":%d}`, soon),
		"sub a list":           payload(`{"sub":["ann"],"exp":%d}`, soon),
		"sub 1.5":              payload(`{"sub":1.5,"exp":%d}`, soon),
		"sub -1":               payload(`{"sub":-1,"exp":%d}`, soon),
		"sub 2^53":             payload(`{"sub":9007199254740992,"exp":%d}`, soon),
		"sub with line break":  payload(`{"sub":"a\nb","exp":%d}`, soon),
		"sub too long":         payload(`{"sub":"%s","exp":%d}`, strings.Repeat("a", protocol.MaxUser+1), soon),
		"payload is a list":    payload(`[{"sub":"ann","exp":%d}]`, soon),
		"payload is null":      payload(`null`),
		"payload is empty":     payload(``),
		"payload and more":     payload(`{"sub":"ann","exp":%d} x`, soon),
		"payload deep":         payload(`{"sub":"ann","exp":%d,"a":%s1%s}`, soon, strings.Repeat("[", 2000), strings.Repeat("]", 2000)),
		"payload of bad UTF-8": payload("{\"sub\":\"ann\",\"exp\":%d,\"a\":\"\xc0\"}", soon),
		"nested token":         payload(`"%s"`, valid),
		"capabilities wrong":   payload(`{"sub":"ann","exp":%d,"ringdown":["publish"]}`, soon),
	} {
		who, err := v.Token(t.Context(), token)
		if err == nil {
			t.Fatalf("%s: %+v came in", name, who)
		}
		// A source with other keys can be asked again in a minute, so that a token
		// which names one is put off.
		asks := strings.HasPrefix(name, "kid") || name == "jku" || name == "iss is an address"
		if c := code(t, err); c != protocol.CodeUnauthorized && (c != protocol.CodeUnavailable || !asks) {
			t.Errorf("%s: refused with %v", name, err)
		}
		quotesNothing(t, name, err.Error(), token)
		if d := quickest(t, v, token); d > time.Millisecond*slowdown {
			t.Errorf("%s: refusing took %v", name, d)
		}
	}
	if _, err := v.Token(t.Context(), valid); err != nil {
		t.Errorf("the good token is not good any more: %v", err)
	}
	quotesNothing(t, "log", f.log.String(), valid)
	if strings.Contains(f.log.String(), string(f.hs.Secret)) || strings.Contains(f.log.String(), "/jwks.json") {
		t.Errorf("the log holds too much: %s", &f.log)
	}
}

// quickest refuses a token until it took less than a millisecond, or often
// enough: other work on the machine delays a few tries, and never all.
func quickest(t testing.TB, v *Verifier, token string) time.Duration {
	best := time.Hour
	for try := 0; try < 100 && best > time.Millisecond; try++ {
		begin := time.Now()
		_, _ = v.Token(t.Context(), token)
		best = min(best, time.Since(begin))
	}
	return best
}

func mustKey(t testing.TB) JWT {
	k, _ := keysFor(t, "ES256")
	return k
}

// selfSigned is a token that brings the key it is signed with.
func selfSigned(t testing.TB, payload string) string {
	k := mustKey(t)
	return forge(t, "ES256", k, `{"alg":"ES256","jwk":`+jwk(t, "", k)+`}`, payload)
}

// next returns the base64url digit after c, which differs in the last bit only.
func next(c byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(digits[(strings.IndexByte(digits, c)+1)%64])
}

// quotesNothing checks that text holds no piece of the token.
func quotesNothing(t testing.TB, name, text, token string) {
	t.Helper()
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= 12 && strings.Contains(text, part[:12]) {
			t.Errorf("%s: a piece of the token is in %q", name, text)
		}
		if p, err := strict.DecodeString(part); err == nil && len(p) >= 12 && bytes.ContainsAny(p, "{}") && strings.Contains(text, string(p[:12])) {
			t.Errorf("%s: a piece of the decoded token is in %q", name, text)
		}
	}
	for _, piece := range []string{"evil.example", "' OR", "dev/null"} {
		if strings.Contains(text, piece) {
			t.Errorf("%s: %q is in %q", name, piece, text)
		}
	}
}
