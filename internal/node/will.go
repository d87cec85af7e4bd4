package node

import (
	"context"
	"slices"

	"ringdown/internal/broker"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// publishWill publishes what a member who is gone has left to be published, if
// anything. It was judged when the member entered. It is judged once more, as a message
// of the server's own, for the declaration may have changed since.
func (n *Node) publishWill(name string, m presence.Member) {
	if m.Will == nil {
		return
	}
	n.metrics.Wills.Add(1)
	// Another node may have taken this one for gone, and published it already.
	w := &protocol.Message{Type: m.Will.Type, Channel: name, Key: m.Will.Key, Data: m.Will.Data, Dedupe: "will-" + m.ID}
	n.Publish(&Caller{Server: true, User: m.User}, w, willed{n, name})
}

// willed is the publisher of a will.
type willed struct {
	node    *Node
	channel string
}

// Await implements Publisher.
func (w willed) Await(work func(ctx context.Context) error, next func(err error)) {
	a := &w.node.attendance
	if !a.begin() {
		next(protocol.Errorf(protocol.CodeUnavailable, "the node stops"))
		return
	}
	go func() {
		defer a.work.Done()
		next(work(a.ctx))
	}()
}

// Spend implements Publisher. Whoever could be charged is gone.
func (willed) Spend(int) {}

// Appended implements broker.Done.
func (w willed) Appended(_ broker.Receipt, err error) {
	if err != nil {
		w.node.metrics.WillsRefused.Add(1)
		w.node.opts.Logger.Warn("the will of a member who is gone was not published", "channel", w.channel, "error", err)
	}
}

// publishWills publishes the wills of members whose node is gone, but for those whose
// users have come back. It may block.
func (n *Node) publishWills(name string, gone []presence.Member) {
	gone = slices.DeleteFunc(gone, func(m presence.Member) bool { return m.Will == nil })
	if len(gone) == 0 {
		return
	}
	back := map[string]bool{}
	for r := (broker.MemberRange{Limit: willsPage}); ; {
		page, err := n.roster.Members(n.attendance.ctx, name, r)
		if err != nil {
			// A will too many is noticed by whoever is alive, one too few by nobody.
			n.opts.Logger.Warn("it cannot be seen whose users have come back; the wills of all who are gone are published", "channel", name, "error", err)
			break
		}
		for _, m := range page.Members {
			back[m.User] = m.User != ""
			r.After = m.ID
		}
		if !page.More || len(page.Members) == 0 {
			break
		}
	}
	for _, m := range gone {
		if !back[m.User] {
			n.publishWill(name, m)
		}
	}
}

// willsPage is how many members are read at a time to see who has come back.
const willsPage = 1000
