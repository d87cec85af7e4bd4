package delivery

import (
	"ringdown/internal/broker"
	"ringdown/internal/channel"
	"ringdown/internal/event"
)

// Who subscribes to a channel and may see who is there is also told of its members:
// the subscription has a second reader, of the log that tells of them. It comes and
// goes with the subscription.

// What a watcher is given who was too slow for the changes.
const (
	relistMembers = 100
	relistBytes   = 32 << 10
)

// Watching reports whether subscription i is told of the channel's members, or is
// about to be.
func (s *Subscriber) Watching(i int) bool { return s.subs[i].watch != unwatched }

// Watch tells subscription i of the channel's members from now on, or no more. It is
// done when the log of them is followed; failed hears if that cannot be.
func (s *Subscriber) Watch(i int, on bool, failed func(err error)) {
	switch {
	case on == s.Watching(i):
		return
	case !on:
		s.unwatch(i)
		return
	}
	s.subs[i].watch = toWatch
	g := s.subs[i].group
	g.joinMembers(func(w *group, err error) {
		defer w.unpin()
		i := s.inGroup(g)
		if i < 0 || s.subs[i].watch != toWatch {
			return
		}
		if err != nil {
			s.subs[i].watch = unwatched
			failed(err)
			return
		}
		s.beginWatch(i, w)
	})
}

// beginWatch adds the reader of the members' log to subscription i.
func (s *Subscriber) beginWatch(i int, w *group) {
	head := w.channel.Standing().Head
	s.subs[i].watch = w.add(member{reader: channel.Reader{Cursor: head}, who: s, sub: int32(i)})
}

func (s *Subscriber) unwatch(i int) {
	at := s.subs[i].watch
	s.subs[i].watch = unwatched
	if at >= 0 {
		s.subs[i].group.watch.remove(at)
	}
}

// Hold stops or goes on with what the subscription to a channel, if there is one,
// is told of the channel's members.
func (s *Subscriber) Hold(name string, on bool) {
	i := s.Find(name)
	if i < 0 || s.subs[i].watch < 0 {
		return
	}
	m := &s.subs[i].group.watch.members[s.subs[i].watch]
	if m.reader.Phase = channel.Held; !on {
		m.reader.Phase = channel.Lagging
		s.schedule()
	}
}

// relist gives a watcher, who lost changes, the beginning of the list instead.
func (g *group) relist(m *member) {
	s, service := m.who, g.hub.service
	// From before the reading: what is told meanwhile is told again behind it.
	m.reader.Cursor = g.channel.Standing().Head
	m.reader.Phase = channel.Held
	var page broker.MemberPage
	g.hub.loop.Here(func(done func(error)) {
		service.node.ReadMembers(service.ctx, g.name(), broker.MemberRange{Limit: relistMembers}, func(p broker.MemberPage, err error) { page = p; done(err) })
	}, func(err error) {
		i := s.inGroup(g.of)
		if i < 0 || s.subs[i].watch < 0 {
			return
		}
		if err != nil {
			// It is still to be given the list.
			g.members[s.subs[i].watch].reader = channel.Reader{Phase: channel.Lagging}
			g.hub.again.add(s)
			return
		}
		service.metrics.Relists.Add(1)
		s.sink.Send(&event.Members{Channel: g.name(), Page: CutMembers(page, relistBytes)})
		s.Hold(g.name(), false)
	})
}

// CutMembers ends a page of members after about so many bytes, but not before the
// first.
func CutMembers(p broker.MemberPage, bytes int) broker.MemberPage {
	const perMember = 32 // besides what it says
	for i, m := range p.Members {
		if bytes -= len(m.ID) + len(m.User) + len(m.Data) + perMember; i > 0 && bytes < 0 {
			p.Members, p.More = p.Members[:i], true
			break
		}
	}
	return p
}
