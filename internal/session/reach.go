package session

import (
	"time"

	"ringdown/internal/channel"
	"ringdown/internal/node"
)

// Recovery belongs to the right to subscribe, and the past to the right to read
// history. Who has the first alone is given what a lost connection made it miss:
// nothing that is older than the channel's resume, and not the last messages of a
// past that it was never there for.

// mayRead reports whether x may read the channel's history.
func (x *Session) mayRead(name string, t node.Target) bool {
	return x.permit(channel.OpHistory, name, "", t) == nil
}

// reach returns the time, in Unix milliseconds, of the oldest message that x may
// be given to recover; 0 is any.
func (x *Session) reach(r *request, t node.Target) int64 {
	if r.since == nil || x.mayRead(r.channel, t) {
		return 0
	}
	return time.Now().Add(-t.Declaration.Resume).UnixMilli()
}

// barLast notes that the last messages, which r asks for, are not given.
func (x *Session) barLast(r *request, t node.Target) {
	r.barred = r.last > 0 && t.Declaration.History != nil && !x.mayRead(r.channel, t)
}

// tooOld reports whether the ring cannot do, where the client stands at a cursor,
// because x may not be given what comes next there: the store is asked then, and
// its page judged.
func (x *Session) tooOld(g *group, r *request, t node.Target, at channel.Cursor) bool {
	if t.Declaration.History == nil {
		return false // the latest of each key is a subscriber's to know
	}
	oldest := x.reach(r, t)
	if oldest == 0 {
		return false
	}
	var b channel.Batch
	g.channel.Fill(&b, at, 1, false)
	if b.From != at {
		return true // the ring has moved on meanwhile
	}
	for e := range b.Entries(at) {
		return e.Time < oldest
	}
	return false
}
