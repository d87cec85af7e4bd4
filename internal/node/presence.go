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

// What is told of a channel's members goes through a log of its own, so that
// only those are given it who may see it. Its name is of the server's own, its
// messages carry the channel's.
const presencePrefix = "$presence:"

// presenceLog is what those logs keep: a short ring, no past. Whoever is too
// slow for it is better off with the list of members than with more changes.
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

// PresenceOf returns the channel that a log tells of the members of, and whether
// it is such a log.
func PresenceOf(log string) (name string, ok bool) { return strings.CutPrefix(log, presencePrefix) }

// HasPresence returns nil if members can enter the channel: it is declared so, and
// the broker keeps who is present. Everything else about members is asked after it.
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

// Enter makes m, a connection of this node, a member of a channel, or changes
// what it says of itself. done is called exactly once, on any goroutine, and
// before Enter returns when the node is Immediate; a nil error says that m is in
// the roster. Until then the caller must not call Enter for that member again.
// name and m are kept.
func (n *Node) Enter(name string, m broker.Member, done func(err error)) {
	n.attendance.enter(name, m, done)
}

// Exit takes a member out. With a grace it is for a connection that was lost: a
// member who is signed in, and not here by another connection, then stays in the
// roster that long, until its user enters the channel again or, if nobody does,
// watchers are told. done is called
// exactly once, as Enter's is: with a nil error the member is out, or lingers.
// After any other it will be tried again.
func (n *Node) Exit(name, id string, grace time.Duration, done func(err error)) {
	n.attendance.exit(name, id, grace, done)
}

// ReadMembers is Members for who must not wait: done is called once, before it
// returns or from another goroutine.
func (n *Node) ReadMembers(ctx context.Context, name string, r broker.MemberRange, done func(broker.MemberPage, error)) {
	if n.Immediate() {
		done(n.Members(ctx, name, r))
		return
	}
	n.control.work.Go(func() { done(n.Members(ctx, name, r)) })
}

// Members returns a page of who is in a channel, on all nodes. It may block.
func (n *Node) Members(ctx context.Context, name string, r broker.MemberRange) (broker.MemberPage, error) {
	return n.roster.Members(ctx, name, r)
}

// Present returns how many members this node has put in, over all channels, the
// lingering ones among them.
func (n *Node) Present() int { return int(n.attendance.members.Load()) }

// tell publishes changes. r.mu is held, which keeps the batches in order.
func (a *attendance) tell(r *room, changes []presence.Change) {
	log := presencePrefix + r.name
	if c := a.node.lookup(log); c != nil && len(changes) > 1 {
		// Nobody looks before the last one is there, so that all leave in one write.
		c.hold(true)
		defer c.hold(false)
	}
	out := a.node.open(log, Target{presenceLog})
	for _, c := range changes {
		a.node.metrics.PresenceTold.Add(1)
		out.Append(&broker.Publication{Message: protocol.Message{Type: protocol.TypePresence, Channel: r.name, Data: presence.AppendChange(nil, c)}}, untold{a, r.name})
	}
}

// untold hears what became of a change. One that was not accepted is not repeated:
// who reads the list knows better.
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

// lost tells watchers of members whose node is gone. Those that are here after
// all go back in.
func (a *attendance) lost(name string, members []broker.Member) {
	var here []presence.Member
	r := a.find(strings.Clone(name), true)
	for _, m := range members {
		if own, ok := r.Here(m.ID); ok {
			here = append(here, own)
			continue
		}
		r.Drop(m.ID)
		r.Note(presence.Leave, m)
	}
	a.release(r)
	for _, m := range here {
		a.enter(r.name, m, ignore)
	}
}

func ignore(error) {}
