package session

import "ringdown/internal/channel"

// A channel's log may go on in another epoch: its store was emptied, or came
// back without what it had accepted. The ring then begins anew, so that every
// cursor of a sequence is overtaken by itself. Marks are another matter: an
// offset of the one epoch looks like one of the other. So a group notes the era
// that its members' marks are of, and whoever looks a mark up asks afterwards
// whether it still is that one.

// fresh reports whether the members' marks are of the epoch that the channel is
// in now, and otherwise has them all told.
func (g *group) fresh() bool {
	if g.channel.Era() == g.era {
		return true
	}
	g.overtaken()
	return false
}

// outdate makes a member that stands at a mark of an epoch that has ended one
// that lags behind everything. What is read for it is not for it any more.
func (g *group) outdate(m *member) {
	switch m.state {
	case catching, walking, ahead:
		m.cursor.Seq, m.state, m.task = 0, lagging, nil
		m.session.schedule()
	case live, resting, lagging:
	}
}

// beginEpoch tells a member that its channel is in another epoch, and lets it go
// on where that began. from is the oldest that the ring holds of it.
func (g *group) beginEpoch(m *member, from channel.Cursor, gap *channel.Gap) (more bool) {
	x := m.session
	epoch, _ := g.channel.Position()
	x.beginTrack(g, epoch)
	if g.channel.Target().Declaration.State != nil {
		// It is told with the position of the snapshot that comes next.
		x.whole(g.name, false)
		m.cursor.Seq, m.state, m.task = 0, walking, &task{snapshot: true, reason: "epoch"}
		return true
	}
	if m.cursor = from; from.Mark > gap.Origin {
		g.seek(m, gap.Origin) // the ring has moved on since
	}
	x.tellGap(g.name, gap, "epoch", epoch)
	return !x.closed
}
