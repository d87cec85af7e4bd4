package node

import (
	"context"
	"strings"
	"time"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/presence"
	"ringdown/protocol"
)

// The changes of a channel's members go through a log of their own, because not
// everybody who may subscribe to the channel may see its members. The name of that
// log is one of the server's own, and its messages carry the name of the channel.
const presencePrefix = "$presence:"

// presenceLog declares those logs: a short ring and no history. A watcher that is
// too slow for the ring is better served with the list of members.
var presenceLog = &channel.Declaration{
	Name:   presencePrefix + "{channel}",
	Buffer: channel.Buffer{Messages: 256, Bytes: 64 << 10},
	Allow:  channel.Allow{Subscribe: channel.None, Publish: channel.None, Presence: channel.None, History: channel.None},
}

// PresenceLog returns the name and target of the log that tells of a channel's
// members, to Follow it.
func PresenceLog(name string) (string, Target) {
	return presencePrefix + name, Target{Declaration: presenceLog}
}

// PresenceOf returns the channel whose members a log tells of, and whether it is
// such a log.
func PresenceOf(log string) (name string, ok bool) { return strings.CutPrefix(log, presencePrefix) }

// HasPresence returns nil if members can enter the channel: it is declared with
// presence, and the broker keeps a roster. Callers ask it before anything else about
// members.
func (n *Node) HasPresence(t Target, name string) error {
	if err := declaresPresence(t, name); err != nil || n.roster != nil {
		return err
	}
	return protocol.Errorf(protocol.CodeBadRequest, "channel %q has no presence, because the store of this server does not keep who is present", name)
}

func declaresPresence(t Target, name string) error {
	if t.Declaration.Presence {
		return nil
	}
	return protocol.Errorf(protocol.CodeBadRequest, "channel %q has no presence; set presence: true on %q in the configuration file", name, t.Declaration.Name)
}

// Enter makes m, a connection of this node, a member of a channel, or changes what
// m says of itself. done is called exactly once, on any goroutine, and before Enter
// returns when the node is Immediate; a nil error means that m is in the roster.
// Until done is called, the caller must not call Enter for that member again. Enter
// keeps name and m.
func (n *Node) Enter(name string, m broker.Member, done func(err error)) {
	n.attendance.enter(name, m, done)
}

// Departure is how a member leaves.
type Departure struct {
	// Said is whether the member said so itself; then nobody publishes its will.
	Said bool
	// Grace is for a connection that was lost: how long a member who is signed in, and
	// not here by another connection, lingers in the roster.
	Grace time.Duration
}

// Exit removes a member, or lets it linger. If the user of one that lingers enters the
// channel again, the new member replaces it; otherwise watchers are told that it left,
// and its will is published. done is called exactly once, as that of Enter is: after a
// nil error the member is removed or lingers, after any other the removal is tried
// again.
func (n *Node) Exit(name, id string, how Departure, done func(err error)) {
	n.attendance.exit(name, id, how, done)
}

// ReadMembers is Members for callers that must not block: done is called once,
// before it returns or from another goroutine.
func (n *Node) ReadMembers(ctx context.Context, name string, r broker.MemberRange, done func(broker.MemberPage, error)) {
	if n.Immediate() {
		done(n.Members(ctx, name, r))
		return
	}
	n.control.work.Go(func() { done(n.Members(ctx, name, r)) })
}

// Members returns a page of who is in a channel, on all nodes, without their wills.
// It may block.
func (n *Node) Members(ctx context.Context, name string, r broker.MemberRange) (broker.MemberPage, error) {
	page, err := n.roster.Members(ctx, name, r)
	for i := range page.Members {
		page.Members[i].Will = nil
	}
	return page, err
}

// Present returns how many members this node has put into rosters, over all channels
// and including those that linger.
func (n *Node) Present() int { return int(n.attendance.members.Load()) }

// tell publishes changes for watchers. r.mu is held, which keeps batches in order.
func (a *attendance) tell(r *room, changes []presence.Change) {
	log := presencePrefix + r.name
	if c := a.node.lookup(log); c != nil && len(changes) > 1 {
		// Nobody is nudged before the last change is there, so that all of them leave in
		// one write.
		c.hold(true)
		defer c.hold(false)
	}
	out := a.node.open(log, Target{presenceLog})
	for _, c := range changes {
		a.node.metrics.PresenceTold.Add(1)
		out.Append(&broker.Publication{Message: protocol.Message{Type: protocol.TypePresence, Channel: r.name, Data: presence.AppendChange(nil, c)}}, untold{a, r.name})
	}
}

// untold hears whether a change was published. One that was not accepted is not
// repeated: watchers that read the list of members are right again.
type untold struct {
	attendance *attendance
	channel    string
}

// Appended implements broker.Done.
func (t untold) Appended(_ broker.Receipt, err error) {
	if err != nil {
		t.attendance.node.metrics.PresenceUntold.Add(1)
		t.attendance.node.opts.Logger.Warn("a change of presence was not told", "channel", t.channel, "error", err)
	}
}

// lost is told of members whose node is gone, and tells watchers that they left. If
// some of them are on this node after all, it puts them back.
func (a *attendance) lost(name string, members []broker.Member) {
	var here, gone []presence.Member
	r := a.find(strings.Clone(name), true)
	for _, m := range members {
		if own, ok := r.Here(m.ID); ok {
			here = append(here, own)
			continue
		}
		r.Drop(m.ID)
		r.Note(presence.Leave, m)
		gone = append(gone, m)
	}
	a.release(r)
	for _, m := range here {
		a.enter(r.name, m, ignore)
	}
	a.node.publishWills(r.name, gone)
}

func ignore(error) {}
