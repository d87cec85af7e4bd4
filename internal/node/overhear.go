package node

import (
	"encoding/json"
	"strings"
	"sync"

	"ringdown/internal/channel"
	"ringdown/internal/presence"
)

// overheard is what other nodes told of members and is still to be looked at. The
// driver may deliver what we are telling just now, with the room locked, so
// another goroutine looks: one for all, while there is something.
type overheard struct {
	mu      sync.Mutex
	list    []told
	running bool
	leftOut bool // the log was told that there was no room
}

type told struct {
	channel string
	entry   *channel.Entry
}

// mostOverheard bounds what waits. What finds no room is told again, or mended,
// when the member's own node renews or drops it.
const mostOverheard = 64 << 10

func (o *overheard) add(a *attendance, name string, e *channel.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) >= mostOverheard {
		if !o.leftOut {
			o.leftOut = true
			a.node.opts.Logger.Warn("more is told of members than this node looks at; who lingers here may be told to leave late", "waiting", len(o.list))
		}
		return
	}
	if !o.running {
		if !a.begin() {
			return
		}
		o.running = true
		go a.lookAtOverheard()
	}
	o.list = append(o.list, told{strings.Clone(name), e})
}

// take returns what waits; with nothing, whoever asked is to end.
func (o *overheard) take() (list []told) {
	o.mu.Lock()
	defer o.mu.Unlock()
	list, o.list = o.list, nil
	o.running = len(list) > 0
	return list
}

func (a *attendance) lookAtOverheard() {
	defer a.work.Done()
	for list := a.overheard.take(); len(list) > 0; list = a.overheard.take() {
		for _, t := range list {
			a.hear(t.channel, t.entry)
		}
	}
}

// hear acts on what another node told of a member.
func (a *attendance) hear(name string, e *channel.Entry) {
	r := a.find(name)
	if r == nil {
		return
	}
	var told struct {
		Data struct {
			Action string
			Member struct{ ID, User string }
		}
	}
	if json.Unmarshal(e.JSON(), &told) != nil {
		a.release(r)
		return
	}
	own, here := r.Here(told.Data.Member.ID)
	switch {
	case here && told.Data.Action == presence.Leave.String():
		a.release(r)
		a.put(r.name, own, ignore)
		return
	case told.Data.Action == presence.Enter.String() && !a.node.ownMember(told.Data.Member.ID):
		// Not one of our own, of whom the driver may tell us late.
		if old, ok := r.Return(told.Data.Member.User); ok {
			r.busy++
			a.release(r)
			a.remove(r, old, ignore)
			return
		}
	}
	a.release(r)
}
