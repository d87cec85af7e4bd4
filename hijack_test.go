package ringdown_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"ringdown"
	"ringdown/internal/auth"
)

// TestStreamBelongsToItsClient: what others can learn of a stream, its member's
// id before all, lets nobody speak for it. The victim is not signed in, so that
// no name tells it from the others.
func TestStreamBelongsToItsClient(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(rightsConf)})
	victim := stream(t, s, "channel=m:anyone")
	welcome, _ := victim.next()
	of := welcome["data"].(map[string]any)
	connection, secret := of["connection"].(string), of["secret"].(string)
	if len(secret) < 22 {
		t.Fatalf("the secret %q has less than 128 bits", secret)
	}
	path := func(id string) string { return "/v1/connections/" + url.PathEscape(id) + "/messages" }
	enter := `{"type":"presence","channel":"m:anyone","id":1,"data":{"action":"enter","data":"me"}}`
	if code, text := fetch(t, s, "POST", path(connection), "", enter, "Ringdown-Stream", secret); code != 202 {
		t.Fatalf("the stream's own client: %d %s", code, text)
	}
	for m, _ := victim.next(); m["type"] != "ack"; m, _ = victim.next() {
	}

	attacker := dial(t, "ws://"+s.Addr().String()+"/v1/ws")
	attacker.send(`{"type":"presence","channel":"m:anyone","id":9,"data":{"action":"get"}}`)
	answer := attacker.read()
	for _, hidden := range []string{connection, secret} {
		if strings.Contains(string(answer.Data), hidden) {
			t.Fatalf("the members are told as %s", answer.Data)
		}
	}
	code, text := fetch(t, s, "GET", "/v1/channels/m:anyone/presence", userToken(t, "mallory", nil), "")
	if code != 200 || strings.Contains(string(text), connection) {
		t.Errorf("a user is told of the members: %d %s", code, text)
	}
	if code, text = fetch(t, s, "GET", "/v1/channels/m:anyone/presence", key, ""); code != 200 || !strings.Contains(string(text), connection) {
		t.Errorf("a server is told of the members: %d %s", code, text)
	}
	list, err := s.Presence(t.Context(), "m:anyone")
	if err != nil || len(list) != 1 || list[0].Connection != connection {
		t.Fatalf("%+v, %v", list, err)
	}
	mallory := userToken(t, "mallory", nil)
	for _, message := range []string{
		`{"type":"message","channel":"m:anyone","data":"in the victim's name"}`,
		`{"type":"unsubscribe","channel":"m:anyone"}`,
		`{"type":"auth","token":"` + mallory + `"}`,
	} {
		for _, c := range []struct {
			id, credential string
			header         []string
			status         int
		}{
			{list[0].ID, "", nil, 401},
			{list[0].ID, mallory, nil, 404},
			{list[0].ID, "", []string{"Ringdown-Stream", list[0].ID}, 404},
			// Even who knows the connection's id, from a log perhaps, has no say.
			{connection, "", nil, 401},
			{connection, mallory, nil, 404},
			{connection, "", []string{"Ringdown-Stream", connection}, 404},
			{connection, "", []string{"Ringdown-Stream", list[0].ID}, 404},
			{connection + "?secret=" + secret, "", nil, 401},
		} {
			if code, text := fetch(t, s, "POST", path(c.id), c.credential, message, c.header...); code != c.status {
				t.Errorf("%s to %s with %v: %d %s, want %d", message, c.id, c.header, code, text, c.status)
			}
		}
	}
	// Nothing of it has reached the stream.
	if code, text := fetch(t, s, "POST", path(connection), "", `{"type":"ping","id":"last"}`, "Ringdown-Stream", secret); code != 202 {
		t.Fatalf("%d %s", code, text)
	}
	for m, _ := victim.next(); m["id"] != "last"; m, _ = victim.next() {
		if m["type"] != "presence" { // of its own entering
			t.Errorf("the victim was given %v", m)
		}
	}
}

// TestStreamOfUser: a token speaks for the streams of its own user, as long as
// it is good.
func TestStreamOfUser(t *testing.T) {
	s := start(t, ringdown.Options{Config: []byte(rightsConf)})
	e := stream(t, s, "channel=m:signed", "Authorization", "Bearer "+userToken(t, "ann", nil))
	welcome, _ := e.next()
	path := "/v1/connections/" + welcome["data"].(map[string]any)["connection"].(string) + "/messages"
	expired, err := auth.Sign(auth.JWT{Secret: []byte(secret), Algorithm: "HS256"}, map[string]any{"sub": "ann", "exp": time.Now().Add(-time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, credential string
		status           int
	}{
		{"the same user by another token", userToken(t, "ann", map[string]any{"x": []string{"publish"}}), 202},
		{"another user", userToken(t, "bob", nil), 404},
		{"a token that has expired", expired, 401},
		{"nothing", "", 401},
		{"a server", key, 202},
	} {
		if code, text := fetch(t, s, "POST", path, c.credential, `{"type":"ping"}`); code != c.status {
			t.Errorf("%s: %d %s, want %d", c.what, code, text, c.status)
		}
	}
}
