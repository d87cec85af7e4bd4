package node

import (
	"ringdown/internal/broker"
	"ringdown/protocol"
)

// Claimed notes that a client says it was at p, where the channel's log has not
// come to: the broker may find that it was set back.
func (c *Channel) Claimed(p protocol.Position) {
	if l, ok := c.log.(broker.Claims); ok {
		l.Claimed(p)
	}
}
