package session

import (
	"bytes"
	"slices"
	"strings"

	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/delivery"
	"ringdown/internal/event"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// How much one answer lists of who is there. Who wants more asks on.
const (
	// MaxMembers is the most members that one answer has.
	MaxMembers   = 1000
	membersBytes = 256 << 10
)

// presenceRequest is the data of a presence message. It owns its memory.
type presenceRequest struct {
	action  string
	data    []byte  // nil: none
	will    []byte  // nil: not said; null: none
	limit   *uint64 // nil: not said
	after   string
	id      []byte
	channel string
}

func newPresenceRequest(m *protocol.Message) (*presenceRequest, error) {
	r := &presenceRequest{id: append([]byte(nil), m.ID...), channel: string([]byte(m.Channel))}
	if m.Channel == "" {
		return r, protocol.Errorf(protocol.CodeBadRequest, "presence needs the field channel")
	}
	if m.Binary || len(m.Data) == 0 {
		return r, protocol.Errorf(protocol.CodeBadRequest, "data of presence must be an object with action: enter, update, leave or get; enter and update take data and will, get takes limit (a whole number) and after (the id of a member)")
	}
	return r, protocol.Members("data of presence", m.Data, func(name string, value []byte) (err error) {
		switch name {
		case "action":
			r.action, err = protocol.Text(name, value, len(value))
			r.action = strings.Clone(r.action)
		case "data":
			if string(value) != "null" {
				r.data = bytes.Clone(value)
			}
		case "will":
			r.will = bytes.Clone(value)
		case "limit":
			r.limit, err = protocol.Whole(name, value)
		case "after":
			r.after, err = protocol.Text(name, value, len(value))
			r.after = strings.Clone(r.after)
		}
		return err
	})
}

// presence takes a presence message.
func (x *Session) presence(m *protocol.Message) {
	r, err := newPresenceRequest(m)
	if err == nil {
		switch r.action {
		case "enter", "update":
			err = x.enter(r)
		case "leave":
			err = x.exit(r)
		case "get":
			err = x.members(r)
		default:
			err = protocol.Errorf(protocol.CodeBadRequest, "the action of presence is enter, update, leave or get, not %.64q", r.action)
		}
	}
	if err != nil {
		x.deny("presence", r.id, r.channel, err)
	}
}

// forget takes a channel off those that the connection is a member of, and reports
// whether it was.
func (x *Session) forget(name string) bool {
	i := slices.Index(x.has().entered, name)
	if i >= 0 {
		x.extra.entered = slices.Delete(x.extra.entered, i, i+1)
	}
	return i >= 0
}

// depart takes the connection out of the members of a channel, if it is in.
func (x *Session) depart(name string, how node.Departure) {
	if x.forget(name) {
		x.hub.server.node.Exit(name, x.member(), how, func(error) {})
	}
}

// departAll takes the connection out of everything that it is a member of.
func (x *Session) departAll(how node.Departure) {
	for all := x.has().entered; len(all) > 0; all = x.extra.entered {
		x.depart(all[len(all)-1], how)
	}
}

// rename tells those who watch which user the members are that this connection is.
func (x *Session) rename() {
	for _, name := range x.has().entered {
		x.hub.server.node.Rename(name, x.member(), x.user(), func(error) {})
	}
}

// mayWatch reports whether x is to be told of a channel's members.
func (x *Session) mayWatch(name string, t node.Target) bool {
	return t.Declaration.Presence && x.mayPresence(name, t) == nil
}

// recheckPresence ends or begins what the rules now say of subscription i.
func (x *Session) recheckPresence(i int, t node.Target) {
	name := x.out.Channel(i)
	err := x.mayPresence(name, t)
	if err != nil && slices.Contains(x.has().entered, name) {
		x.depart(name, node.Departure{Said: true}) // who may not be there leaves no will either
		x.deny("subscribe", nil, name, err)
	}
	if !x.closed {
		x.out.Watch(i, err == nil, func(err error) { x.deny("subscribe", nil, name, err) })
	}
}

// mayPresence says whether x may enter the channel and see who is there.
func (x *Session) mayPresence(name string, t node.Target) error {
	if err := x.hub.server.node.HasPresence(t, name); err != nil {
		return err
	}
	return x.permit(channel.OpPresence, name, "", t)
}

// enter makes the connection a member, or changes what it says of itself. A
// member is a subscriber: so its node hears what is told of it, and it is out
// when it unsubscribes. Its will is judged first, as a publication.
func (x *Session) enter(r *presenceRequest) error {
	fresh, err := x.mayEnter(r)
	if err != nil {
		return err
	}
	m := broker.Member{ID: x.member(), Connection: x.ID(), User: x.user(), Data: r.data}
	switch {
	case r.will == nil && r.action == "update":
		was, _ := x.hub.server.node.Member(r.channel, m.ID)
		m.Will = was.Will
	case r.will != nil && string(r.will) != "null":
		return x.willing(r, m)
	}
	x.enterAs(r, m, fresh)
	return nil
}

// mayEnter says whether the connection may enter as r says, and whether it is not in yet.
func (x *Session) mayEnter(r *presenceRequest) (fresh bool, err error) {
	t, err := x.hub.server.node.Resolve(r.channel)
	if err == nil {
		err = x.mayPresence(r.channel, t)
	}
	if err != nil {
		return false, err
	}
	l := x.hub.server.Limits()
	fresh = !slices.Contains(x.has().entered, r.channel)
	switch {
	case x.out.Find(r.channel) < 0:
		return fresh, protocol.Errorf(protocol.CodeNotSubscribed, "subscribe to %q before entering it", r.channel)
	case len(r.data)+len(r.will) > l.PresenceData:
		return fresh, protocol.Errorf(protocol.CodeTooLarge, "a member may say %d bytes of itself, its will among them (limits.connection.presence_data), not %d", l.PresenceData, len(r.data)+len(r.will)).WithLimit("limits.connection.presence_data")
	case !fresh:
	case r.action == "update":
		return fresh, protocol.Errorf(protocol.CodeConflict, "this connection is not in %q; enter it first", r.channel)
	case len(x.has().entered) >= l.Presences:
		return fresh, protocol.Errorf(protocol.CodeLimitExceeded, "this connection has entered its limit of %d channels (limits.connection.presences)", l.Presences).WithLimit("limits.connection.presences")
	}
	return fresh, nil
}

func (x *Session) enterAs(r *presenceRequest, m broker.Member, fresh bool) {
	if fresh {
		x.have().entered = append(x.has().entered, r.channel)
	}
	x.ask(func(done func(error)) { x.hub.server.node.Enter(r.channel, m, done) }, func(err error) {
		if err != nil && fresh {
			x.forget(r.channel)
		}
		x.ackPresence(r, err)
	})
}

// exit makes the connection no member any more.
func (x *Session) exit(r *presenceRequest) error {
	if _, err := x.hub.server.node.Resolve(r.channel); err != nil {
		return err
	}
	if !x.forget(r.channel) {
		x.ackPresence(r, nil) // it is as was asked
		return nil
	}
	x.ask(func(done func(error)) {
		x.hub.server.node.Exit(r.channel, x.member(), node.Departure{Said: true}, done)
	}, func(err error) {
		x.ackPresence(r, err)
	})
	return nil
}

func (x *Session) ackPresence(r *presenceRequest, err error) {
	switch {
	case err != nil:
		x.deny("presence", r.id, r.channel, err)
	case len(r.id) > 0:
		x.link.Send(&event.Ack{ID: r.id, Channel: r.channel})
	}
}

// members answers who is there.
func (x *Session) members(r *presenceRequest) error {
	s := x.hub.server
	t, err := s.node.Resolve(r.channel)
	if err == nil {
		err = x.mayPresence(r.channel, t)
	}
	if err != nil {
		return err
	}
	limit := MaxMembers
	if r.limit != nil {
		limit = int(min(*r.limit, MaxMembers+1))
	}
	if limit < 0 || limit > MaxMembers || len(r.after) > protocol.MaxChannel {
		return protocol.Errorf(protocol.CodeBadRequest, "limit is from 0 (only the total) to %d, and after is the id of the last member of the page before", MaxMembers)
	}
	// What is told while the list is on its way comes behind it: a client that
	// heard of a leave first would put the member back in.
	x.out.Hold(r.channel, true)
	var page broker.MemberPage
	x.ask(func(done func(error)) {
		s.node.ReadMembers(s.ctx, r.channel, broker.MemberRange{After: r.after, Limit: limit}, func(p broker.MemberPage, err error) { page = p; done(err) })
	}, func(err error) {
		x.unblocked(func() {
			if err != nil {
				x.deny("presence", r.id, r.channel, err)
			} else {
				x.link.Send(&event.Members{ID: r.id, Channel: r.channel, Page: delivery.CutMembers(page, membersBytes)})
			}
			x.out.Hold(r.channel, false)
		})
	})
	return nil
}
