package redis

import (
	"encoding/json"
	"testing"

	"github.com/coder/websocket"

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
