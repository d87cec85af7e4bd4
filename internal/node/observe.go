package node

import (
	"bytes"
	"encoding/json"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/presence"
)

// observer follows the presence log of a room on which somebody lingers: the user
// may come back on another node, and only the log tells.
type observer struct{ log *Channel }

// Nudge implements Nudger. It has nothing to do: the attendance is given the
// entries of every presence log that this node follows.
func (*observer) Nudge() {}

// updateObserver gives the room an observer while somebody lingers, and ends it
// after that. r.mu is held. A member who lingers was here a moment ago and mostly
// watched the room itself, so to go on following costs no request.
func (a *attendance) updateObserver(r *room) {
	switch lingers := r.Lingering() > 0; {
	case lingers && r.observer == nil && a.node.bus != nil:
		o := new(observer)
		log, target := PresenceLog(r.name)
		// Where it cannot be followed, the member lingers to the end of its grace.
		if o.log = a.node.Follow(log, target, o, func(*Channel, error) {}); o.log != nil {
			r.observer = o
		}
	case !lingers && r.observer != nil:
		r.observer.log.Leave(r.observer)
		r.observer = nil
	}
}

// mostObserved bounds what waits to be looked at. A change that finds no room is
// told again, or put right when the member's own node renews or removes it.
const mostObserved = 64 << 10

// observe is given every entry of a presence log that this node follows, and looks
// for two things. Another node may tell that a member of this one has left, because
// it was taken for gone: the member goes back in. Or a user may have entered on
// another node: then nobody waits any more for the member who lingers here.
func (a *attendance) observe(name string, e *channel.Entry) {
	// This is only a filter, so that most entries are not decoded. A node without a
	// bus has no others to hear of.
	if a.node.bus == nil || e.Binary() {
		return
	}
	if !bytes.Contains(e.JSON(), []byte(`"action":"leave"`)) &&
		(a.lingering.Load() == 0 || !bytes.Contains(e.JSON(), []byte(`"action":"enter"`))) {
		return
	}
	// The room may be locked by whoever tells this change, so another goroutine looks.
	name = strings.Clone(name)
	if !a.observed.add(a, mostObserved, func(stopped bool) {
		if !stopped {
			a.react(name, e)
		}
	}) && !a.leftOut.Swap(true) {
		a.node.opts.Logger.Warn("more is told of members than this node looks at; who lingers here may be told to leave late", "waiting", mostObserved)
	}
}

// react acts on what was told of a member.
func (a *attendance) react(name string, e *channel.Entry) {
	var told struct {
		Data struct {
			Action string
			Member struct{ ID, User string }
		}
	}
	r := a.find(name, false)
	if r == nil {
		return
	}
	if json.Unmarshal(e.JSON(), &told) != nil {
		a.release(r)
		return
	}
	action, id := told.Data.Action, told.Data.Member.ID
	own, here := r.Here(id)
	var old presence.Member
	replaced := false
	// The driver may tell late of this node's own members: those replace nobody.
	if action == presence.Enter.String() && !a.node.ownMember(id) {
		if old, replaced = r.Return(told.Data.Member.User); replaced {
			r.busy++
		}
	}
	a.release(r)
	if here && action == presence.Leave.String() {
		a.enter(name, own, ignore)
	}
	if replaced {
		a.replace(r, old)
	}
}
