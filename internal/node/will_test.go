package node

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// hearer follows a channel and says what was published there.
type hearer struct {
	c  *Channel
	at channel.Cursor
}

func (h *hearer) Nudge() {}

func hear(t *testing.T, n *Node, name string) *hearer {
	t.Helper()
	h := &hearer{}
	target, err := n.Resolve(name)
	if err != nil {
		t.Fatal(err)
	}
	n.Follow(name, target, h, func(c *Channel, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		h.c = c
	})
	synctest.Wait()
	h.at = h.c.Standing().Head
	t.Cleanup(func() { h.c.Leave(h) })
	return h
}

// read returns what was published since the last time.
func (h *hearer) read(t *testing.T) string {
	t.Helper()
	synctest.Wait()
	var b channel.Batch
	if gap := h.c.Fill(&b, h.at, 1<<30, true); gap != nil {
		t.Fatalf("a gap of %d", gap.Missed)
	}
	text := string(b.Bytes(channel.FormText, h.at))
	h.at = b.To
	var out []string
	for _, m := range published.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1]+" "+m[2])
	}
	return strings.Join(out, ", ")
}

var published = regexp.MustCompile(`"type":"(\w+)".*?"data":"(\w*)"}`)

func leaves(id, user string) broker.Member {
	m := member(id, user)
	m.Will = &presence.Will{Type: "gone", Data: json.RawMessage(`"` + user + `"`)}
	return m
}

// TestWill: the will of a member is published when it is gone without having said so,
// once, and not when its user is back.
func TestWill(t *testing.T) {
	lost := Departure{Grace: 15 * time.Second}
	for name, c := range map[string]struct {
		member broker.Member
		then   func(t *testing.T, n *Node)
		want   int // of the wills
	}{
		"it leaves":             {leaves("a", "ann"), func(t *testing.T, n *Node) { n.Exit("room", "a", Departure{Said: true}, ignore) }, 0},
		"it is lost":            {leaves("a", "ann"), func(t *testing.T, n *Node) { n.Exit("room", "a", lost, ignore); time.Sleep(lost.Grace) }, 1},
		"its grace is not over": {leaves("a", "ann"), func(t *testing.T, n *Node) { n.Exit("room", "a", lost, ignore); time.Sleep(lost.Grace - 1) }, 0},
		"it comes back": {leaves("a", "ann"), func(t *testing.T, n *Node) {
			n.Exit("room", "a", lost, ignore)
			_ = enter(t, n, leaves("a2", "ann"))
			time.Sleep(time.Minute)
		}, 0},
		"it is back before it is missed": {leaves("a", "ann"), func(t *testing.T, n *Node) {
			_ = enter(t, n, leaves("a2", "ann"))
			n.Exit("room", "a", lost, ignore)
			time.Sleep(time.Minute)
		}, 0},
		"nobody knows it": {leaves("a", ""), func(t *testing.T, n *Node) { n.Exit("room", "a", lost, ignore) }, 1},
		"it is sent away": {leaves("a", "ann"), func(t *testing.T, n *Node) { n.Exit("room", "a", Departure{}, ignore) }, 1},
		"it took it back": {leaves("a", "ann"), func(t *testing.T, n *Node) {
			_ = enter(t, n, member("a", "ann"))
			n.Exit("room", "a", Departure{}, ignore)
		}, 0},
		"it has none": {member("a", "ann"), func(t *testing.T, n *Node) { n.Exit("room", "a", Departure{}, ignore) }, 0},
		"it goes twice": {leaves("a", "ann"), func(t *testing.T, n *Node) {
			for range 2 {
				n.Exit("room", "a", Departure{}, ignore)
			}
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t, memory.New(memory.Options{}))
				h := hear(t, n, "room")
				if err := enter(t, n, c.member); err != nil {
					t.Fatal(err)
				}
				if m, here := n.Member("room", "a"); !here || (m.Will == nil) != (c.member.Will == nil) {
					t.Errorf("the member is %+v, %v", m, here)
				}
				page, err := n.Members(t.Context(), "room", broker.MemberRange{Limit: 10})
				if err != nil || len(page.Members) != 1 || page.Members[0].Will != nil {
					t.Errorf("told of the will: %+v, %v", page, err)
				}
				c.then(t, n)
				want := ""
				if c.want > 0 {
					want = "gone " + c.member.User
				}
				expect(t, "published", h.read(t), want)
				if got := n.Metrics().Wills.Load(); got != uint64(c.want) || n.Metrics().WillsRefused.Load() != 0 {
					t.Errorf("%d wills, %d of them refused", got, n.Metrics().WillsRefused.Load())
				}
			})
		})
	}
}

// TestWillWhereTheNodeIsGone: the node that drops the members of another publishes
// their wills, but not of who is back, on whatever node.
func TestWillWhereTheNodeIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, nodes, drivers := sharing(t, 3)
		ears := hear(t, nodes[2], "room")
		for _, m := range []broker.Member{leaves("a", "ann"), leaves("b", "ben"), leaves("g", ""), member("e", "eve")} {
			if err := enter(t, nodes[0], m); err != nil {
				t.Fatal(err)
			}
		}
		drivers[0].deaf = true
		if err := enter(t, nodes[2], leaves("b2", "ben")); err != nil {
			t.Fatal(err)
		}
		h.expire(t, "room", drivers[0], drivers[1])
		expect(t, "published", ears.read(t), "gone ann, gone ")
		if got := nodes[1].Metrics().Wills.Load(); got != 2 {
			t.Errorf("%d wills", got)
		}
	})
}

// TestWillOfWhoIsBackElsewhere: who lingers here and enters on another node leaves none.
func TestWillOfWhoIsBackElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, _ := sharing(t, 2)
		ears := hear(t, nodes[1], "room")
		if err := enter(t, nodes[0], leaves("a", "ann")); err != nil {
			t.Fatal(err)
		}
		nodes[0].Exit("room", "a", Departure{Grace: 15 * time.Second}, ignore)
		if err := enter(t, nodes[1], leaves("a2", "ann")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		expect(t, "published", ears.read(t), "")
		expect(t, "in", ids(t, nodes[0]), "a2")
	})
}

// TestWillWhileTheRosterFails: a removal that is tried again publishes the will when it
// succeeds; an enter that failed leaves none.
func TestWillWhileTheRosterFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes, drivers := sharing(t, 1)
		ears := hear(t, nodes[0], "room")
		if err := enter(t, nodes[0], leaves("a", "ann")); err != nil {
			t.Fatal(err)
		}
		drivers[0].set(protocol.Errorf(protocol.CodeUnavailable, "it is away"), 0)
		if err := enter(t, nodes[0], leaves("b", "ben")); err == nil {
			t.Fatal("entered")
		}
		nodes[0].Exit("room", "a", Departure{}, ignore)
		expect(t, "published too early", ears.read(t), "")
		drivers[0].set(nil, 0)
		time.Sleep(rosterRetry + time.Second)
		expect(t, "published", ears.read(t), "gone ann")
	})
}
