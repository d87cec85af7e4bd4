package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func TestAudienceAndIssuer(t *testing.T) {
	k, _ := keysFor(t, "HS256")
	k.Audience, k.Issuer = "shop", "https://id.example"
	v := verifier(t, k)
	const iss = `"iss":"https://id.example"`
	for claims, want := range map[string]error{
		`"aud":"shop",` + iss:                            nil,
		`"aud":["shop"],` + iss:                          nil,
		`"aud":["chat","shop"],` + iss:                   nil,
		`"\u0061ud":"shop",` + iss:                       nil,
		iss:                                              errAudience,
		`"aud":"",` + iss:                                errAudience,
		`"aud":[],` + iss:                                errAudience,
		`"aud":[""],` + iss:                              errAudience,
		`"aud":"chat",` + iss:                            errAudience,
		`"aud":"SHOP",` + iss:                            errAudience,
		`"aud":"shop ",` + iss:                           errAudience,
		`"aud":"shop.example",` + iss:                    errAudience,
		`"aud":["chat","shops"],` + iss:                  errAudience,
		`"AUD":"shop",` + iss:                            errAudience,
		`"aud":null,` + iss:                              errAudForm,
		`"aud":1,` + iss:                                 errAudForm,
		`"aud":[["shop"]],` + iss:                        errAudForm,
		`"aud":["shop",null],` + iss:                     errAudForm,
		`"aud":["shop",1],` + iss:                        errAudForm,
		`"aud":{"shop":true},` + iss:                     errAudForm,
		`"a":1`:                                          errIssuer,
		`"aud":"shop"`:                                   errIssuer,
		`"aud":"shop","iss":""`:                          errIssuer,
		`"aud":"shop","iss":"https://id.example/"`:       errIssuer,
		`"aud":"shop","iss":"https://id.example.evil"`:   errIssuer,
		`"aud":"shop","iss":"HTTPS://id.example"`:        errIssuer,
		`"aud":"shop","iss":["https://id.example"]`:      errIssuerForm,
		`"aud":"shop","iss":null`:                        errIssuerForm,
		`"aud":"shop","ISS":"https://id.example","a":[]`: errIssuer,
	} {
		token := forge(t, "HS256", k, `{"alg":"HS256"}`, fmt.Sprintf(`{"sub":"ann","exp":%d,%s}`, inAnHour(), claims))
		if _, err := v.Token(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", claims, err, want)
		}
	}
}

// TestMissingAudience has no issuer to check, so that the audience is to blame.
func TestMissingAudience(t *testing.T) {
	k, _ := keysFor(t, "HS256")
	signer := k
	k.Audience = "shop"
	if _, err := verifier(t, k).Token(t.Context(), sign(t, signer, ann())); !errors.Is(err, errAudience) {
		t.Error(err)
	}
}

func TestUserClaim(t *testing.T) {
	k, _ := keysFor(t, "HS256")
	for _, c := range []struct{ claim, payload, want string }{
		{"", `"sub":"ann"`, "ann"},
		{"", `"sub":"Ann Müller"`, "Ann Müller"},
		{"", `"sub":42`, "42"},
		{"", `"sub":9007199254740991`, "9007199254740991"},
		{"", `"sub":"4\u0032"`, "42"},
		{"email", `"sub":"ann","email":"ann@shop.example"`, "ann@shop.example"},
		{"https://shop.example/id", `"https://shop.example/id":7`, "7"},
		{"email", `"sub":"ann"`, ""},
		{"", `"sub":1e3`, ""},
		{"", `"sub":true`, ""},
	} {
		k.UserClaim = c.claim
		who, err := verifier(t, k).Token(t.Context(), forge(t, "HS256", k, `{"alg":"HS256"}`, fmt.Sprintf(`{"exp":%d,%s}`, inAnHour(), c.payload)))
		switch {
		case (err == nil) != (c.want != ""):
			t.Errorf("%s: %v", c.payload, err)
		case err == nil && who.User != c.want:
			t.Errorf("%s: user %q, want %q", c.payload, who.User, c.want)
		}
	}
}

func TestIdentityHoldsThePayload(t *testing.T) {
	k, public := keysFor(t, "EdDSA")
	payload := fmt.Sprintf(`{ "sub":"ann", "exp":%d, "rooms":["a","b"], "big":12345678901234567890, "ringdown":{"chat:*":["publish"]} }`, inAnHour())
	who, err := verifier(t, public).Token(t.Context(), forge(t, "EdDSA", k, `{"alg":"EdDSA"}`, payload))
	if err != nil {
		t.Fatal(err)
	}
	if string(who.Claims) != payload || !json.Valid(who.Claims) {
		t.Errorf("claims are %s", who.Claims)
	}
	if granted, _ := who.Caps.Decide("publish", "chat:1"); !granted {
		t.Error("the capability is not there")
	}
}

func TestCapabilities(t *testing.T) {
	caps, err := parseCapabilities(json.RawMessage(`{
		"chat:*": ["subscribe", "publish", "history"],
		"chat:secret:*": ["-subscribe", "-history"],
		"chat:secret:plan": ["subscribe"],
		"news": ["subscribe", "presence", "-publish"],
		"*": ["history"],
		"$sys": ["subscribe"]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		op, channel     string
		granted, denied bool
	}{
		{"subscribe", "chat:1", true, false},
		{"publish", "chat:1", true, false},
		{"presence", "chat:1", false, false},
		{"subscribe", "chat:", true, false},
		{"subscribe", "chat", false, false},
		{"history", "chat", true, false},
		{"subscribe", "chatter:1", false, false},
		{"subscribe", "chat:secret:plan", false, true}, // deny wins, however exact the grant
		{"history", "chat:secret:plan", false, true},
		{"publish", "chat:secret:plan", true, false},
		{"publish", "news", false, true},
		{"presence", "news", true, false},
		{"subscribe", "news:1", false, false},
		{"history", "$sys", false, false},
		{"subscribe", "$sys", false, false},
		{"", "news", false, false},
		{"-publish", "news", false, false},
	} {
		if granted, denied := caps.Decide(c.op, c.channel); granted != c.granted || denied != c.denied {
			t.Errorf("%s on %s: granted %t, denied %t", c.op, c.channel, granted, denied)
		}
	}
	if granted, denied := (Capabilities)(nil).Decide("subscribe", "chat:1"); granted || denied {
		t.Error("no capabilities decide something")
	}
	empty, err := parseCapabilities(json.RawMessage(`{}`))
	if err != nil || empty == nil || !reflect.DeepEqual(empty, Capabilities{}) {
		t.Errorf("an empty claim is %v, %v", empty, err)
	}
}

func TestBadCapabilities(t *testing.T) {
	for _, text := range []string{
		`null`, `[]`, `"chat"`, `1`, `true`,
		`{"chat":"publish"}`, `{"chat":{"publish":true}}`, `{"chat":[1]}`,
		`{"chat":["publsh"]}`, `{"chat":["-"]}`, `{"chat":["--publish"]}`, `{"chat":[""]}`, `{"chat":["*"]}`, `{"chat":["Publish"]}`,
		`{"":["publish"]}`, `{"c*t":["publish"]}`, `{"**":["publish"]}`, `{"*:chat":["publish"]}`,
	} {
		if c, err := parseCapabilities(json.RawMessage(text)); err == nil {
			t.Errorf("%s became %v", text, c)
		} else {
			code(t, err)
		}
	}
}
