package redis

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringdown"
	"ringdown/internal/auth"
	"ringdown/internal/broker/redis/redistest"
	"ringdown/protocol"
)

// told waits for a change of presence and returns its action and member.
func (p *peer) told() (action, member string) {
	p.t.Helper()
	m := p.until(protocol.TypePresence)
	var d struct {
		Action string
		Member struct{ ID string }
	}
	if err := json.Unmarshal(m.Data, &d); err != nil {
		p.t.Fatal(err)
	}
	return d.Action, d.Member.ID
}

// TestPresenceAcrossNodes: who enters on one node is told on the other, is in
// the lists of both, and is told to leave by either way of leaving.
func TestPresenceAcrossNodes(t *testing.T) {
	r := redistest.Start(t)
	options := "addresses: " + r.Address
	a, b := serve(t, options), serve(t, options)
	ann, ben := dial(t, a), dial(t, b)
	ann.subscribe("live:room")
	ben.subscribe("live:room")
	ann.send(`{"type":"presence","channel":"live:room","data":{"action":"enter","data":"ann"}}`)
	action, id := ben.told()
	if action != "enter" {
		t.Fatalf("ben was told %s", action)
	}
	ben.send(`{"type":"presence","channel":"live:room","data":{"action":"enter","data":"ben"}}`)
	for _, of := range []string{"enter", "enter"} { // its own, and ben's
		if action, _ := ann.told(); action != of {
			t.Errorf("ann was told %s", action)
		}
	}
	list, err := a.Presence(t.Context(), "live:room")
	other, err2 := b.Presence(t.Context(), "live:room")
	if err != nil || err2 != nil || len(list) != 2 || len(other) != 2 {
		t.Fatalf("the lists have %d and %d members, %v, %v", len(list), len(other), err, err2)
	}
	if err := ann.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	for {
		if action, who := ben.told(); action == "leave" {
			if who != id {
				t.Errorf("%s was told to have left, not %s", who, id)
			}
			break
		}
	}
	if list, err := b.Presence(t.Context(), "live:room"); err != nil || len(list) != 1 || string(list[0].Data) != `"ben"` {
		t.Errorf("left: %v, %v", list, err)
	}
}

const (
	secret   = "a-secret-of-at-least-thirty-two-bytes!"
	signedIn = `jwt: {secret: ` + secret + `, algorithm: HS256}`
	grace    = 15 * time.Second // the default
)

// dialAs is dial for a user.
func dialAs(t *testing.T, s *ringdown.Server, user string) *peer {
	t.Helper()
	token, err := auth.Sign(auth.JWT{Secret: []byte(secret)}, map[string]any{"sub": user, "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return dialWith(t, s, "?token="+token)
}

// TestPresenceComesBackElsewhere: who loses the connection to one server, on
// which nobody else is, and enters again on another takes the old member's place
// there and then; whoever looks on sees the user all the time.
func TestPresenceComesBackElsewhere(t *testing.T) {
	r := redistest.Start(t)
	options := "addresses: " + r.Address
	a, b := serveAs(t, signedIn, options), serveAs(t, signedIn, options)
	watcher, ann := dialAs(t, b, "ben"), dialAs(t, a, "ann")
	watcher.subscribe("live:room")
	ann.subscribe("live:room")
	ann.send(`{"type":"presence","channel":"live:room","data":{"action":"enter"}}`)
	action, old := watcher.told()
	if action != "enter" {
		t.Fatalf("ben was told %s", action)
	}
	if err := ann.conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	redistest.Await(t, 10*time.Second, "the loss is noticed", func() bool {
		resp, err := http.Get("http://" + a.Addr().String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(text), "\nringdown_connections 0\n")
	})
	http.DefaultClient.CloseIdleConnections()
	begun := time.Now()
	back := dialAs(t, b, "ann")
	back.subscribe("live:room")
	back.send(`{"type":"presence","channel":"live:room","data":{"action":"enter"}}`)
	if action, id := watcher.told(); action != "enter" || id == old {
		t.Fatalf("ben was told %s of %s", action, id)
	}
	if action, id := watcher.told(); action != "leave" || id != old {
		t.Fatalf("ben was told %s of %s", action, id)
	}
	if took := time.Since(begun); took > grace/2 {
		t.Errorf("the old member stayed for %v", took)
	}
	if list, err := a.Presence(t.Context(), "live:room"); err != nil || len(list) != 1 {
		t.Errorf("in at the end: %v, %v", list, err)
	}
}

// TestWillOfADeadNode: when a server goes, the other publishes the wills of those who
// were there, but not of a user who has come to it meanwhile.
func TestWillOfADeadNode(t *testing.T) {
	r := redistest.Start(t)
	options := "addresses: " + r.Address
	a, b := serveAs(t, signedIn, options), serveAs(t, signedIn, options)
	watcher := dialAs(t, b, "ben")
	watcher.subscribe("live:room")
	for _, user := range []string{"ann", "cleo"} {
		p := dialAs(t, a, user)
		p.subscribe("live:room")
		p.send(`{"type":"presence","channel":"live:room","id":1,"data":{"action":"enter","will":{"type":"gone","data":%q}}}`, user)
		p.until(protocol.TypeAck)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	cleo := dialAs(t, b, "cleo")
	cleo.subscribe("live:room")
	cleo.send(`{"type":"presence","channel":"live:room","id":1,"data":{"action":"enter"}}`)
	cleo.until(protocol.TypeAck)
	if m := watcher.until("gone"); string(m.Data) != `"ann"` {
		t.Errorf("the will is %s", m.Data)
	}
	if _, err := b.Publish(t.Context(), "live:room", "said", 1); err != nil {
		t.Fatal(err)
	}
	for {
		m := watcher.read()
		if m.Type == "gone" {
			t.Errorf("the will of %s, who is here", m.Data)
		}
		if m.Type == "said" {
			return
		}
	}
}
