package node

import (
	"strings"
	"testing"

	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
)

// TestMemberID holds that a member's id is stable, differs from one connection
// and one node to the next, gives nothing of the connection away, and is known
// again by its own node only.
func TestMemberID(t *testing.T) {
	table, err := channel.NewTable(nil)
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Node { return New(Options{Broker: memory.New(memory.Options{}), Table: table}) }
	a, b := open(), open()
	connection := a.Name() + "AAAAAAAAAAAAAAAAAAAAAA"
	id := a.MemberID(connection)
	if id != a.MemberID(connection) {
		t.Error("the id of one connection differs from call to call")
	}
	if id == a.MemberID(connection+"x") || id == b.MemberID(connection) {
		t.Error("another connection or node has the same id")
	}
	if strings.Contains(id, a.Name()) || strings.Contains(id, connection) || len(id) != 22 {
		t.Errorf("the id %q is one that says something", id)
	}
	if !a.ownMember(id) || b.ownMember(id) || a.ownMember(connection) || a.ownMember("") || a.ownMember(id[1:]+"A") {
		t.Error("a node knows an id again that is not its own, or does not know its own")
	}
}
