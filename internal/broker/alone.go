package broker

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Alone is the roster of a broker that serves one node only. Its methods do not
// block and are safe for concurrent use. The zero value is ready to use.
type Alone struct {
	mu    sync.Mutex
	rooms map[string]*room
}

// room is the members of one channel in the order of their IDs. It is divided into
// parts, none of which is empty, so that a change moves few of the other members.
type room struct {
	parts [][]Member
	size  int
}

// mostInPart is how many members a part has at most. With one more it is split.
const mostInPart = 256

// find returns the part and the place in it of the member with that ID, or where
// it would be.
func (r *room) find(id string) (part, at int, found bool) {
	part, _ = slices.BinarySearchFunc(r.parts, id, func(p []Member, id string) int { return strings.Compare(p[len(p)-1].ID, id) })
	if part == len(r.parts) { // behind all: at the end of the last part
		if part == 0 {
			return 0, 0, false
		}
		return part - 1, len(r.parts[part-1]), false
	}
	at, found = slices.BinarySearchFunc(r.parts[part], id, func(m Member, id string) int { return strings.Compare(m.ID, id) })
	return part, at, found
}

func (r *room) put(m Member) (entered bool) {
	part, at, found := r.find(m.ID)
	switch {
	case found:
		r.parts[part][at] = m
		return false
	case r.size == 0:
		r.parts = [][]Member{{m}}
	default:
		p := slices.Insert(r.parts[part], at, m)
		r.parts[part] = p
		if len(p) > mostInPart {
			half := len(p) / 2
			r.parts = slices.Insert(r.parts, part+1, slices.Clone(p[half:]))
			clear(p[half:])
			r.parts[part] = p[:half]
		}
	}
	r.size++
	return true
}

func (r *room) remove(id string) (left bool) {
	part, at, found := r.find(id)
	if !found {
		return false
	}
	r.size--
	if r.parts[part] = slices.Delete(r.parts[part], at, at+1); len(r.parts[part]) == 0 {
		r.parts = slices.Delete(r.parts, part, part+1)
	}
	return true
}

// after returns at most limit members whose IDs come after id, and whether there
// are more.
func (r *room) after(id string, limit int) (list []Member, more bool) {
	part, at, found := r.find(id)
	if found {
		at++
	}
	for ; part < len(r.parts); part, at = part+1, 0 {
		rest := r.parts[part][at:]
		if len(list)+len(rest) > limit {
			return append(list, rest[:limit-len(list)]...), true
		}
		list = append(list, rest...)
	}
	return list, false
}

// Put implements Roster.
func (a *Alone) Put(_ context.Context, channel string, m Member) (entered bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[channel]
	if r == nil {
		if a.rooms == nil {
			a.rooms = map[string]*room{}
		}
		r = &room{}
		a.rooms[strings.Clone(channel)] = r
	}
	return r.put(m), nil
}

// Remove implements Roster.
func (a *Alone) Remove(_ context.Context, channel, id string) (left bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.rooms[channel]
	if r == nil || !r.remove(id) {
		return false, nil
	}
	if r.size == 0 {
		delete(a.rooms, channel)
	}
	return true, nil
}

// Members implements Roster.
func (a *Alone) Members(_ context.Context, channel string, r MemberRange) (page MemberPage, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.rooms[channel]
	if in == nil {
		return page, nil
	}
	page.Total = in.size
	if r.Limit > 0 {
		page.Members, page.More = in.after(r.After, r.Limit)
	}
	return page, nil
}
