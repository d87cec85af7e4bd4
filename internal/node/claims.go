package node

import (
	"ringdown/internal/broker"
	"ringdown/protocol"
)

// Claimed notes that a client says it was at p, where the log of the channel has
// not come to: the broker may find that it was set back.
func (n *Node) Claimed(name string, p protocol.Position) {
	if c, ok := n.broker.(broker.Claims); ok {
		c.Claimed(name, p)
	}
}
