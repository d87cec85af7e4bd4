package node

import (
	"testing"

	"ringdown/internal/broker"
	"ringdown/internal/broker/brokertest"
	"ringdown/internal/broker/memory"
	"ringdown/internal/channel"
	"ringdown/protocol"
)

// hasty is a broker that delivers what lies before where following begins.
type hasty struct {
	*memory.Broker
	follower broker.Follower
}

func (h *hasty) Open(name string, d *channel.Declaration) broker.Log {
	return &brokertest.Log{Log: h.Broker.Open(name, d), OnFollow: func(f broker.Follower) broker.Subscription {
		h.follower = f
		f.Begin(protocol.Position{Epoch: "e", Offset: 3}, nil)
		return h
	}}
}

func (h *hasty) Close() {}

func (h *hasty) entry(name string, offset uint64) {
	m := protocol.Message{Type: "e", Channel: name, Data: []byte("1"), Kept: true, Offset: offset, Prev: offset - 1}
	h.follower.Entry("e", channel.NewEntry(&m, false))
}

type none struct{}

func (none) Nudge() {}

// TestEarlyEntries: what a broker delivers that lies before the position it then
// gives is not taken again; what comes after it is.
func TestEarlyEntries(t *testing.T) {
	d := &channel.Declaration{Name: "c", History: &channel.History{Messages: 10}, Buffer: channel.Buffer{Messages: 10, Bytes: 1 << 20}}
	h := &hasty{Broker: memory.New(memory.Options{})}
	n := newNode(t, h)
	var c *Channel
	n.Follow("c", Target{Declaration: d}, none{}, func(got *Channel, err error) {
		if c = got; err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.Fatal("it is not followed")
	}
	defer c.Leave(none{})
	for _, offset := range []uint64{2, 3, 4, 3, 4, 5} {
		h.entry("c", offset)
	}
	if at := c.Standing(); at.Epoch != "e" || at.Head.Mark != 5 || at.Head.Seq != 2 {
		t.Errorf("it stands at %+v, after two messages behind 3", at)
	}
	if _, ok := c.Find(2); ok {
		t.Error("it holds what came before the position")
	}
}
