package node

import (
	"fmt"
	"runtime"
	"testing"

	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// TestObservedByOne: thousands who leave on other nodes cost this one no
// goroutines, and those of them who are here are back in the end.
func TestObservedByOne(t *testing.T) {
	_, nodes, _ := sharing(t, 1)
	n := nodes[0]
	for i := range 3 {
		if err := enter(t, n, member(fmt.Sprint("m", i), "ann")); err != nil {
			t.Fatal(err)
		}
	}
	r := n.attendance.find("room", false) // held, so that nothing can be looked at
	if r == nil {
		t.Fatal("there is no room")
	}
	before := runtime.NumGoroutine()
	for i := range 5000 {
		m := protocol.Message{Type: protocol.TypePresence, Channel: "room",
			Data: presence.AppendChange(nil, presence.Change{Action: presence.Leave, Member: presence.Member{ID: fmt.Sprint("m", i), User: "ann"}})}
		n.attendance.observe("room", channel.NewEntry(&m, false))
	}
	if more := runtime.NumGoroutine() - before; more > 2 {
		t.Errorf("%d goroutines more", more)
	}
	n.attendance.release(r)
	n.attendance.work.Wait()
	expect(t, "members", ids(t, n), "m0 m1 m2")
}
