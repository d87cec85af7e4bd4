package rule

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ringdown/internal/channel"
)

func mustCompile(t testing.TB, src string) channel.Rule {
	t.Helper()
	r, err := Compile(src)
	if err != nil {
		t.Fatalf("Compile(%q): %v", src, err)
	}
	return r
}

func claims(text string) func() map[string]any {
	return func() map[string]any {
		if text == "" {
			return nil
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			panic(err)
		}
		return m
	}
}

func TestWords(t *testing.T) {
	for src, want := range map[string]channel.Rule{
		"anyone": channel.Anyone, "signed_in": channel.SignedIn, "none": channel.None, "  none\n": channel.None,
	} {
		if got := mustCompile(t, src); got != want {
			t.Errorf("Compile(%q) = %v, want %v", src, got, want)
		}
	}
}

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		rule, claims string
		want         bool
		refused      string // part of the error
	}{
		{rule: "user == params.user", want: true},
		{rule: "user != params.user"},
		{rule: "channel == 'chat:7' && event == 'message' && connection == 'c1'", want: true},
		{rule: "signed_in && anyone && !none", want: true},
		{rule: "channel.startsWith('chat:')", want: true},
		{rule: "channel.matches('^chat:[0-9]+$')", want: true},
		{rule: "user in ['bob', 'ann']", want: true},
		{rule: "size(user) == 3", want: true},
		{rule: "'ANN'.lowerAscii() == user", want: true},

		{rule: "claims.rooms.exists(r, r == params.room)", claims: `{"rooms":["1","7"]}`, want: true},
		{rule: "claims.rooms.exists(r, r == params.room)", claims: `{"rooms":[1,null,{"a":1},"7"]}`, want: true},
		{rule: "claims.rooms.exists(r, r == params.room)", claims: `{"rooms":[]}`},
		{rule: "claims.rooms.exists(r, r == params.room)", claims: `{}`, refused: `it needs "rooms"`},
		{rule: "claims.rooms.exists(r, r == params.room)", claims: ``, refused: `it needs "rooms"`},
		{rule: "claims.rooms.exists(r, r == params.room)", claims: `{"rooms":7}`, refused: "not of the kind"},
		{rule: "claims.rooms.exists(r, r == params.room)", claims: `{"rooms":"7"}`, refused: "not of the kind"},
		{rule: "params.room in claims.rooms", claims: `{"rooms":["7"]}`, want: true},
		{rule: "params.room in claims.rooms", claims: `{"rooms":"7"}`, refused: "not of the kind"},
		{rule: `"driver" in claims.roles`, claims: `{"roles":["driver"]}`, want: true},
		{rule: "has(claims.rooms) && params.room in claims.rooms", claims: `{}`},
		{rule: "claims.level >= 3", claims: `{"level":3}`, want: true},
		{rule: "claims.level == 3", claims: `{"level":3}`, want: true},
		{rule: "claims.level > 2.5", claims: `{"level":3}`, want: true},
		{rule: "claims.level > 2", claims: `{"level":"3"}`, refused: "not of the kind"},
		{rule: "claims.admin", claims: `{"admin":true}`, want: true},
		{rule: "claims.admin", claims: `{"admin":"true"}`, refused: "neither as true nor as false"},
		{rule: "claims.admin", claims: `{"admin":null}`, refused: "neither as true nor as false"},
		{rule: "claims.org.id == 'x'", claims: `{"org":{}}`, refused: `it needs "id"`},
		{rule: "claims.org.id == 'x'", claims: `{"org":null}`, refused: `it needs "id"`},
		{rule: "claims['my-claim'] == 'x'", claims: `{"my-claim":"x"}`, want: true},
		{rule: "claims.scope.split(' ').exists(s, s == 'chat')", claims: `{"scope":"openid chat"}`, want: true},
		{rule: "claims.scope.split(' ').exists(s, s == 'chat')", claims: `{"scope":"openid nochat"}`},
		{rule: "claims.scope.split(' ').exists(s, s == 'chat')", claims: `{"scope":["chat"]}`, refused: "not of the kind"},
		{rule: "claims.scope.split(claims.by).size() == 1", claims: `{"scope":"a","by":3}`, refused: "not of the kind"},
		{rule: "claims.name.lowerAscii() == 'äx'", claims: `{"name":"äX"}`, want: true},
		{rule: "claims.name.lowerAscii() == 'x'", claims: `{"name":3}`, refused: "not of the kind"},
		{rule: "claims.a / claims.b == 1", claims: `{"a":1,"b":"x"}`, refused: "not of the kind"},
		{rule: "int(claims.a) / int(claims.b) == 1", claims: `{"a":1,"b":0}`, refused: "divi"},
		// What decides first wins: a claim that is missing in the other half does not matter.
		{rule: "claims.admin || user == params.user", claims: `{}`, want: true},
		{rule: "claims.admin && none", claims: `{}`},
		{rule: "params.nope == 'x'", refused: `it needs "nope"`},
	} {
		r := mustCompile(t, c.rule)
		got, err := r.Allow(&channel.Request{
			User: "ann", Claims: claims(c.claims), Channel: "chat:7", Event: "message", Connection: "c1",
			Params: map[string]string{"user": "ann", "room": "7"},
		})
		if got != c.want {
			t.Errorf("%s with %s: %v, want %v (%v)", c.rule, c.claims, got, c.want, err)
		}
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s with %s: unexpected error %v", c.rule, c.claims, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s with %s: error %v, want %q in it", c.rule, c.claims, err, c.refused)
		}
		if r.String() != c.rule {
			t.Errorf("String() = %q, want the rule as written: %q", r.String(), c.rule)
		}
	}
}

func TestNothingKnown(t *testing.T) {
	// A request without claims function and params, as of a client without a token.
	for rule, want := range map[string]bool{
		"user == ''": true, "signed_in": false, "!signed_in && true": true, "size(claims) == 0 && size(params) == 0": true,
	} {
		got, err := mustCompile(t, rule).Allow(&channel.Request{})
		if got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", rule, got, err, want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct{ rule, what, remedy string }{
		{"", "the rule is empty", "signed_in"},
		{"anyon", "there is no variable anyon", "did you mean anyone?"},
		{"signedin", "there is no variable signedin", "did you mean signed_in?"},
		{"claim.x", "there is no variable claim", "did you mean claims?"},
		{"usr == 'x'", "there is no variable usr", "did you mean user?"},
		{"roles.exists(r, r == 'x')", "there is no variable roles", "there are user, claims, params, channel, event, connection"},
		{"driver in claims.roles", "there is no variable driver", "as in 'driver'"},
		{"user = 'a'", "a character here", "write =="},
		{"user === 'a'", "a character here", "write =="},
		{"user <> 'a'", "cannot be read", "write !="},
		{"user == params.user and anyone", "", "write &&"},
		{"user == params.user or anyone", "", "write ||"},
		{"not (user == 'x')", "", "write !"},
		{"user == ", "ends too early", "not closed"},
		{"'driver in claims.roles", "a quote is not closed", ""},
		{"user", "comes out as a string", "compare it"},
		{"size(user)", "comes out as an int", "compare it"},
		{"user == 3", "== does not work on string and int", "text stands in quotes"},
		{"user.startsWith(1)", "startsWith does not work on string and int", ""},
		{"user.foo", "does not support field selection", ""},
		{"now() > 3", "there is no function now", "there are has, exists"},
		{"claims.roles contains 'x'", "contains does not stand between two values", "write 'x' in claims.roles; of a text, claims.roles.contains('x')"},
		{"signed_in && claims.roles not contains \"x\"", "contains does not stand", `write !("x" in claims.roles)`},
		{"claims.roles includes params.room", "includes does not stand", "write params.room in claims.roles"},
		{"claims.roles has 'x'", "has does not stand", "write 'x' in claims.roles"},
		{"user startsWith 'a'", "startsWith does not stand", "write user.startsWith('a')"},
		{"user like 'a%'", "like does not stand", "with a regular expression"},
		{"user == $ADMIN", "no variables of the environment", "in quotes"},
		{"user == ${ADMIN} || anyone", "no variables of the environment", "in quotes"},
		{"claims.rooms.exist(r, r == 'x')", "there is no function exist", "did you mean exists?"},
		{"claims.rooms.exists(user == 'x')", "exists needs a name and a condition", "exists(r, "},
		{"user.matches(claims.pattern)", "must stand in the rule", "startsWith"},
		{"user.matches('[')", "missing closing ]", ""},
		{"user.matches('(a{999}){2}')", "repeat count", ""},
		{"user.matches('a{999}b{999}c{999}')", "too large", ""},
		{"timestamp('x') == timestamp('y')", "timestamp", ""},
		{strings.Repeat("(", 200), "recursion limit", ""},
		{"user == '" + strings.Repeat("a", MaxSource) + "'", "the most is 4096", ""},
	} {
		r, err := Compile(c.rule)
		e, ok := err.(*Error)
		if !ok {
			t.Errorf("Compile(%q) = %v, %v, want an *Error", c.rule, r, err)
			continue
		}
		if !strings.Contains(e.What, c.what) || !strings.Contains(e.Remedy, c.remedy) {
			t.Errorf("Compile(%q): %q, remedy %q; want %q, remedy %q", c.rule, e.What, e.Remedy, c.what, c.remedy)
		}
	}
}

func TestErrorPointsAtThePlace(t *testing.T) {
	_, err := Compile("user == 'é' &&\n\tparam.user")
	want := "there is no variable param\n     param.user\n     ^\ndid you mean params?"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestParams(t *testing.T) {
	for rule, want := range map[string]string{
		"anyone":                                 "[]",
		"user == 'x'":                            "[]",
		"user == params.user":                    "[{user 1 9}]",
		"params.a == params['b'] || 'x' == user": "[{a 1 1} {b 1 13}]",
		"has(params.c)":                          "[]",
		"user ==\n params.d":                     "[{d 2 2}]",
		"claims.x.exists(p, p == params.e)":      "[{e 1 25}]",
		"params[user] == 'x'":                    "[]",
	} {
		if got := fmt.Sprint(Params(mustCompile(t, rule))); got != want {
			t.Errorf("Params(%s) = %s, want %s", rule, got, want)
		}
	}
}

// TestFullToken: the fullest token that is accepted can be looked through.
func TestFullToken(t *testing.T) {
	rooms := make([]any, 2000)
	for i := range rooms {
		rooms[i] = "r"
	}
	rooms[len(rooms)-1] = "7"
	full := func() map[string]any { return map[string]any{"rooms": rooms} }
	for _, rule := range []string{"claims.rooms.exists(r, r == params.room)", "params.room in claims.rooms"} {
		ok, err := mustCompile(t, rule).Allow(&channel.Request{Claims: full, Params: map[string]string{"room": "7"}})
		if !ok || err != nil {
			t.Errorf("%s: %v, %v", rule, ok, err)
		}
	}
}

// TestHostileClaims: what a token holds cannot make a decision dear, even with
// claims far larger than a token and a careless rule.
func TestHostileClaims(t *testing.T) {
	list := make([]any, 4000)
	for i := range list {
		list[i] = "room"
	}
	hostile := map[string]any{"a": list, "b": list, "nested": []any{list, list}, "text": strings.Repeat("a ", 4000)}
	for _, rule := range []string{
		"claims.a.exists(x, claims.b.exists(y, x + y == 'nope'))",
		"claims.a.exists(x, 'zz' in claims.b)",
		"claims.a.exists(x, claims.a == claims.b && x == 'y')",
		"claims.a.exists(x, claims.nested == [claims.a, claims.b] && x == 'y')",
		"claims.a.exists(x, claims != claims && x == 'y')",
		"claims.a.exists(x, claims.a + claims.b == [x])",
		"claims.a.exists(x, claims.text + claims.text == 'x')",
		"claims.a.exists(x, claims.text.matches('a*b'))",
		"claims.a.exists(x, claims.text.contains('aa'))",
		"claims.a.exists(x, claims.text.split(' ').size() == 1)",
		"claims.a.exists(x, claims.text.lowerAscii() == 'x')",
		"claims.a.map(x, claims.b) == []",
	} {
		r := mustCompile(t, rule)
		start := time.Now()
		ok, err := r.Allow(&channel.Request{Claims: func() map[string]any { return hostile }})
		if ok || err == nil || !strings.Contains(err.Error(), "too much to look through") {
			t.Errorf("%s: %v, %v", rule, ok, err)
		}
		// Some 10 ms; the bound is for busy machines. Without the limit these take seconds to hours.
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s took %v", rule, took)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	r := mustCompile(t, "claims.rooms.exists(r, r == params.room) || user.matches('^a.*z$')")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := i%2 == 0
			room := map[bool]string{true: "7", false: "8"}[want]
			for range 200 {
				got, err := r.Allow(&channel.Request{User: "ann", Claims: claims(`{"rooms":["7"]}`), Params: map[string]string{"room": room}})
				if got != want || err != nil {
					t.Errorf("room %s: %v, %v", room, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzRule(f *testing.F) {
	for _, src := range []string{
		"anyone", "user == params.user", "claims.rooms.exists(r, r == params.room)", `"driver" in claims.roles`,
		"has(claims.a) ? claims.a > 3 : signed_in", "claims.scope.split(' ').all(s, s.matches('^[a-z]+$'))",
		"[1, 2].map(x, x * 2).filter(y, y > 2) == [4]", "user = 'a'", "{'a': 1}.a == 1", "!(", "b'x' == b\"\\x00\"",
	} {
		f.Add(src, `{"rooms":["7"],"roles":["driver"],"a":4,"scope":"x y"}`)
	}
	f.Fuzz(func(t *testing.T, src, token string) {
		r, err := Compile(src)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		var decoded map[string]any
		if json.Unmarshal([]byte(token), &decoded) != nil {
			return
		}
		ok, err := r.Allow(&channel.Request{User: "ann", Claims: func() map[string]any { return decoded }, Params: map[string]string{"room": "7"}})
		if ok && err != nil {
			t.Errorf("allowed and failed: %v", err)
		}
		Params(r)
	})
}

func BenchmarkAllow(b *testing.B) {
	for _, src := range []string{"signed_in", "user == params.user", "claims.rooms.exists(r, r == params.room)"} {
		b.Run(src, func(b *testing.B) {
			r := mustCompile(b, src)
			decoded := claims(`{"rooms":["1","2","7"]}`)()
			req := &channel.Request{User: "7", Claims: func() map[string]any { return decoded }, Params: map[string]string{"user": "7", "room": "7"}}
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := r.Allow(req); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
