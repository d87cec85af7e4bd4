package ringdown_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ringdown"
	"ringdown/internal/auth"
	"ringdown/protocol"
)

func tokenFor(t *testing.T, user string) string {
	t.Helper()
	token, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"}, map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// attend connects a user who enters a hall. The peer is read until it is in.
func attend(t *testing.T, s *ringdown.Server, user, name, data string) *peer {
	t.Helper()
	p := dial(t, fmt.Sprintf("ws://%s/v1/ws?token=%s", s.Addr(), tokenFor(t, user)))
	p.send(fmt.Sprintf(`{"type":"subscribe","channel":%q}`, name))
	p.send(fmt.Sprintf(`{"type":"presence","channel":%q,"id":1,"data":{"action":"enter","data":%s}}`, name, data))
	for {
		switch m := p.read(); m.Type {
		case protocol.TypeAck:
			return p
		case protocol.TypeError:
			t.Fatalf("%s", m.Data)
		}
	}
}

// presenceOverREST tries who may see the members of a channel, and their pages.
func presenceOverREST(t *testing.T, s *ringdown.Server, r *rest) {
	t.Helper()
	const path = "/v1/channels/{channel}/presence"
	get := func(query, credential, channel string) (int, map[string]any) {
		return r.call("GET", path+query, credential, "", "{channel}", channel)
	}
	if code, got := get("", key, "hall:a"); code != 200 || got["total"] != 0.0 || len(got["members"].([]any)) != 0 {
		t.Errorf("nobody: %d %v", code, got)
	}
	for i := range 3 {
		attend(t, s, fmt.Sprint("ann", i), "hall:a", `{"n":`+fmt.Sprint(i)+`}`)
	}
	var users []string
	for cursor, more := "", true; more; {
		code, got := get("?limit=2&cursor="+cursor, key, "hall:a")
		if code != 200 || got["total"] != 3.0 || got["channel"] != "hall:a" {
			t.Fatalf("%d %v", code, got)
		}
		for i, m := range got["members"].([]any) {
			user := m.(map[string]any)["user"].(string)
			if n := m.(map[string]any)["data"].(map[string]any)["n"]; user != fmt.Sprintf("ann%v", n) {
				t.Errorf("%d: %v", i, m)
			}
			users = append(users, user)
		}
		cursor, more = got["cursor"].(string)
	}
	slices.Sort(users)
	if fmt.Sprint(users) != "[ann0 ann1 ann2]" {
		t.Errorf("the pages have %v", users)
	}
	if code, got := get("?limit=0", tokenFor(t, "ann9"), "hall:a"); code != 200 || got["total"] != 3.0 || len(got["members"].([]any)) != 0 {
		t.Errorf("a user asks how many: %d %v", code, got)
	}
	for _, c := range []struct {
		query, credential, channel string
		status                     int
	}{
		{"", "", "hall:a", 401},
		{"", tokenFor(t, "ben"), "hall:a", 403},
		{"", key, "lab:x", 400},
		{"", key, "nowhere", 404},
		{"", key, "$presence:hall:a", 403},
		{"", tokenFor(t, "ann"), "$presence:hall:a", 403},
		{"?limit=-1", key, "hall:a", 400},
		{"?limit=1001", key, "hall:a", 400},
		{"?limit=x", key, "hall:a", 400},
	} {
		if code, got := get(c.query, c.credential, c.channel); code != c.status {
			t.Errorf("%s%s: %d %v, want %d", c.channel, c.query, code, got, c.status)
		}
	}
	for _, path := range []string{"/v1/channels/{channel}/messages"} {
		if code, _ := r.call("POST", path, key, `{"type":"leave","data":{"action":"leave"}}`, "{channel}", "$presence:hall:a"); code != 403 {
			t.Errorf("published what is the server's to tell: %d", code)
		}
	}
}

// TestPresenceOverSockets: it is told between two real connections, on both engines.
func TestPresenceOverSockets(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		s := start(t, ringdown.Options{Engine: engine, Config: []byte(conf + "presence: {grace: 0s}\n")})
		ann := attend(t, s, "ann", "hall:a", "1")
		for ann.read().Type != protocol.TypePresence {
		}
		abe := attend(t, s, "abe", "hall:a", `"x"`)
		if m := ann.read(); m.Type != protocol.TypePresence || m.Channel != "hall:a" || m.Kept {
			t.Errorf("%+v", m)
		}
		list, err := s.Presence(t.Context(), "hall:a")
		if err != nil || len(list) != 2 {
			t.Fatalf("%v, %v", list, err)
		}
		byUser := map[string]string{}
		for _, m := range list {
			if m.ID == "" || m.Connection == "" || m.ID == m.Connection {
				t.Errorf("%+v", m)
			}
			byUser[m.User] = string(m.Data)
		}
		if byUser["ann"] != "1" || byUser["abe"] != `"x"` {
			t.Errorf("%v", byUser)
		}
		abe.conn.CloseNow()
		if m := ann.read(); m.Type != protocol.TypePresence || string(m.Data[:17]) != `{"action":"leave"` {
			t.Errorf("%s", m.Data)
		}
		for _, name := range []string{"lab:x", "nowhere", "$presence:hall:a"} {
			if _, err := s.Presence(t.Context(), name); err == nil {
				t.Errorf("%s has members", name)
			}
		}
	})
}
