package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ringdown/internal/auth"
	"ringdown/internal/channel"
	"ringdown/internal/rule"
	"ringdown/internal/schema"
	"ringdown/protocol"
)

func explainTable(t testing.TB) *channel.Table {
	t.Helper()
	compiled := func(src string) channel.Rule {
		r, err := rule.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	shape, err := schema.Compile("message", []byte(`{"type":"object","required":["text"]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	table, err := channel.NewTable([]*channel.Declaration{
		{Name: "chat:{room}", Line: 3, Events: map[string]*channel.Event{"message": {Name: "message", Schema: shape}},
			Allow: channel.Allow{Subscribe: compiled("params.room in claims.rooms"), Publish: compiled("'writer' in claims.roles"), Lines: [4]int{5, 6}}},
		{Name: "closed", Line: 9, Presence: true, Allow: channel.Allow{Subscribe: channel.None, Presence: channel.SignedIn, Lines: [4]int{10, 0, 11}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func callerWith(t testing.TB, payload string) *Caller {
	t.Helper()
	if payload == "" {
		return &Caller{}
	}
	who, err := auth.Assume(json.RawMessage(payload), "")
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(who.Claims, &claims); err != nil {
		t.Fatal(err)
	}
	return &Caller{User: who.User, Caps: who.Caps, Claims: func() map[string]any { return claims }}
}

// TestExplain: what decided is told, and Permit decides the same.
func TestExplain(t *testing.T) {
	table := explainTable(t)
	for _, c := range []struct {
		claims  string
		op      channel.Op
		channel string
		event   string
		data    string
		want    string
	}{
		{`{"sub":"ann","rooms":["1"],"secret":"x"}`, channel.OpSubscribe, "chat:1", "", "", `yes chat:{room}.allow.subscribe:5 params.room="1" claims.rooms=["1"]`},
		{`{"sub":"ann","rooms":["2"]}`, channel.OpSubscribe, "chat:1", "", "", `no chat:{room}.allow.subscribe:5 params.room="1" claims.rooms=["2"] forbidden`},
		{`{"sub":"ann"}`, channel.OpSubscribe, "chat:1", "", "", `no chat:{room}.allow.subscribe:5 params.room="1" claims.rooms? forbidden`},
		{`{"sub":"ann","rooms":["1"]}`, channel.OpHistory, "chat:1", "", "", `yes chat:{room}.allow.subscribe:5 params.room="1" claims.rooms=["1"]`},
		{`{"sub":"ann","roles":["writer"]}`, channel.OpPublish, "chat:1", "message", `{"text":"hi"}`, `yes chat:{room}.allow.publish:6 claims.roles=["writer"]`},
		{`{"sub":"ann","roles":["writer"]}`, channel.OpPublish, "chat:1", "message", `{}`, `no chat:{room}.allow.publish:6 claims.roles=["writer"] invalid_data`},
		{`{"sub":"ann","roles":["writer"]}`, channel.OpPublish, "chat:1", "massage", `{}`, `no chat:{room}.allow.publish:6 claims.roles=["writer"] invalid_data`},
		{`{"sub":"ann","ringdown":{"chat:*":["subscribe"],"chat:1":["-publish"]}}`, channel.OpSubscribe, "chat:1", "", "", `yes token claims.ringdown["chat:*"]=["subscribe"] claims.ringdown["chat:1"]=["-publish"]`},
		{`{"sub":"ann","roles":["writer"],"ringdown":{"chat:1":["-publish"]}}`, channel.OpPublish, "chat:1", "message", `{}`, `no token claims.ringdown["chat:1"]=["-publish"] forbidden`},
		{`{"sub":"ann","ringdown":{"*":["subscribe"]}}`, channel.OpSubscribe, "closed", "", "", `no closed.allow.subscribe:10 forbidden`},
		{"", channel.OpPresence, "closed", "", "", `no closed.allow.presence:11 user="" forbidden`},
		{"", channel.OpPresence, "chat:1", "", "", `no chat:{room}.allow.presence:3 bad_request`},
		{"", channel.OpPublish, "closed", "e", "1", `no closed.allow.publish:9 forbidden`},
		{"", channel.OpSubscribe, "nowhere", "", "", `no not_found`},
		{"", channel.OpSubscribe, "$own", "", "", `no forbidden`},
		{"", channel.OpSubscribe, "a b", "", "", `no bad_request`},
	} {
		a := Action{Op: c.op}
		if c.event != "" {
			a.Message = &protocol.Message{Type: c.event, Data: []byte(c.data)}
		}
		who := callerWith(t, c.claims)
		d := Explain(table, who, a, c.channel)
		if got := shown(d); got != c.want {
			t.Errorf("%s %s %s:\n got %s\nwant %s", c.claims, c.op, c.channel, got, c.want)
		}
		declaration, ok := table.Match(c.channel)
		if !ok || d.Err != nil && d.Err.Code != protocol.CodeForbidden {
			continue
		}
		err := who.Permit(Target{declaration}, c.channel, c.op, c.event)
		if (err == nil) != d.Allowed {
			t.Errorf("%s %s %s: Permit says %v", c.claims, c.op, c.channel, err)
		}
	}
}

func shown(d Decision) string {
	s := "no"
	if d.Allowed {
		s = "yes"
	}
	switch {
	case d.ByToken:
		s += " token"
	case d.Rule != "":
		s += fmt.Sprintf(" %s:%d", d.Rule, d.Line)
	}
	for _, v := range d.Values {
		if v.Missing {
			s += " " + v.Name + "?"
			continue
		}
		text, _ := json.Marshal(v.Value)
		s += fmt.Sprintf(" %s=%s", v.Name, text)
	}
	if d.Err != nil {
		s += " " + string(d.Err.Code)
	}
	return s
}

// TestRefusalTellsTheNameAlone: neither the rule's text nor what it saw reaches
// the client; the log has the cause.
func TestRefusalTellsTheNameAlone(t *testing.T) {
	table := explainTable(t)
	d, _ := table.Match("chat:1")
	for _, claims := range []string{`{"sub":"ann","rooms":["secret-room"]}`, `{"sub":"ann"}`} {
		who := callerWith(t, claims)
		err := who.Permit(Target{d}, "chat:1", channel.OpSubscribe, "")
		e := protocol.AsError(err)
		if e.Code != protocol.CodeForbidden || e.Rule != "chat:{room}.allow.subscribe" || strings.Contains(e.Message, "claims") || strings.Contains(e.Message, "rooms") {
			t.Errorf("%s: %+v", claims, e)
		}
		var u *undecided
		if errors.As(err, &u) != !strings.Contains(claims, "rooms") {
			t.Errorf("%s: %v", claims, err)
		}
	}
}

// TestPermitAllocatesNothing: it is asked for every message.
func TestPermitAllocatesNothing(t *testing.T) {
	d := &channel.Declaration{Name: "a", Allow: channel.Allow{Publish: channel.SignedIn}}
	if _, err := channel.NewTable([]*channel.Declaration{d}); err != nil {
		t.Fatal(err)
	}
	r := &Caller{User: "ann"}
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Permit(Target{d}, "a", channel.OpPublish, "e"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestScopesDoNotMeet: no user's dedupe key can be written so that it is another's.
func TestScopesDoNotMeet(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []*Caller{{User: "a"}, {User: "a b"}, {Server: true}, {Instance: "a"}, {Connection: func() string { return "a" }}} {
		for _, key := range []string{"b c", "c"} {
			scoped, err := c.dedupe(key)
			if err != nil || seen[scoped] {
				t.Errorf("%q, %v", scoped, err)
			}
			seen[scoped] = true
		}
	}
}
