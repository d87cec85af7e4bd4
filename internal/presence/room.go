package presence

import (
	"container/heap"
	"slices"
	"time"
)

// Room is the members of one channel that one node put there, and what is to be told
// of them. A member whose connection was lost may linger: it is still a member, but no
// longer here. The zero value is empty. It is not safe for concurrent use.
type Room struct {
	Changes
	members map[string]*member
	queue   queue                // lingering, by the ends of their grace
	order   uint64               // of the member that lingered last
	away    map[string][]*member // lingering, by user; the longest gone first
	here    map[string]int       // how many are here, by user
}

type member struct {
	Member
	until time.Time // the end of its grace; zero: it is here
	order uint64    // breaks ties of until: the member that lingered first
	place int       // in the queue
}

// queue is a heap of members.
type queue []*member

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].until.Equal(q[j].until) {
		return q[i].until.Before(q[j].until)
	}
	return q[i].order < q[j].order
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(m any) {
	at := m.(*member) //nolint:forcetypeassert // there is nothing else in it
	at.place = len(*q)
	*q = append(*q, at)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	at := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return at
}

// Put makes m a member that is here, or changes the member with that ID, which no
// longer lingers then. fresh reports that it was not here before.
func (r *Room) Put(m Member) (fresh bool) {
	if at := r.members[m.ID]; at != nil {
		if fresh = !at.until.IsZero(); fresh {
			r.back(at)
			r.count(m.User, 1)
		} else if at.User != m.User {
			r.count(at.User, -1)
			r.count(m.User, 1)
		}
		at.Member = m
		return fresh
	}
	if r.members == nil {
		r.members = make(map[string]*member)
	}
	r.members[m.ID] = &member{Member: m}
	r.count(m.User, 1)
	return true
}

// count counts the members of a user that are here. Users who are not signed in are
// not told apart, and not counted.
func (r *Room) count(user string, by int) {
	if user == "" {
		return
	}
	if r.here == nil {
		r.here = make(map[string]int)
	}
	if r.here[user] += by; r.here[user] == 0 {
		delete(r.here, user)
	}
}

// With returns how many members of that user are here, not lingering.
func (r *Room) With(user string) int { return r.here[user] }

// Here returns the member with that ID if it is here, not lingering.
func (r *Room) Here(id string) (Member, bool) {
	at := r.members[id]
	if at == nil || !at.until.IsZero() {
		return Member{}, false
	}
	return at.Member, true
}

// Linger gives a member until then to come back, and reports whether there is
// such a member. A member that lingers already is given the new time.
func (r *Room) Linger(id string, until time.Time) bool {
	at := r.members[id]
	if at == nil {
		return false
	}
	if at.until.IsZero() {
		r.count(at.User, -1)
	}
	r.back(at)
	r.order++
	at.until, at.order = until, r.order
	heap.Push(&r.queue, at)
	if at.User != "" {
		if r.away == nil {
			r.away = make(map[string][]*member)
		}
		r.away[at.User] = append(r.away[at.User], at)
	}
	return true
}

// back ends a member's grace.
func (r *Room) back(at *member) {
	if at.until.IsZero() {
		return
	}
	heap.Remove(&r.queue, at.place)
	if at.User != "" {
		left := slices.DeleteFunc(r.away[at.User], func(m *member) bool { return m == at })
		if r.away[at.User] = left; len(left) == 0 {
			delete(r.away, at.User)
		}
	}
	at.until = time.Time{}
}

// Drop removes a member, lingering or not.
func (r *Room) Drop(id string) (Member, bool) {
	at := r.members[id]
	if at == nil {
		return Member{}, false
	}
	if at.until.IsZero() {
		r.count(at.User, -1)
	}
	r.back(at)
	delete(r.members, id)
	return at.Member, true
}

// Return removes and returns the member that a new member of the same user replaces:
// of the user's lingering members, the one that lingers the longest. There is none for
// a user who is not signed in, since nobody knows whether it is the same one.
func (r *Room) Return(user string) (Member, bool) {
	if away := r.away[user]; user != "" && len(away) > 0 {
		return r.Drop(away[0].ID)
	}
	return Member{}, false
}

// MostExpired is how many members expire at a time, so that a room is not held for
// long when thousands lost their connections at once.
const MostExpired = 1024

// Expired removes members whose grace has ended by now and returns them, the earliest
// first. There may be more; then Next says so.
func (r *Room) Expired(now time.Time) (out []Member) {
	for len(out) < MostExpired && len(r.queue) > 0 && !r.queue[0].until.After(now) {
		m, _ := r.Drop(r.queue[0].ID)
		out = append(out, m)
	}
	return out
}

// Next returns when the room has something to do: a grace ends, or changes are due.
func (r *Room) Next() (at time.Time, ok bool) {
	at, ok = r.Due(len(r.members))
	if len(r.queue) > 0 && (!ok || r.queue[0].until.Before(at)) {
		return r.queue[0].until, true
	}
	return at, ok
}

// Size returns how many members there are, including those that linger.
func (r *Room) Size() int { return len(r.members) }

// Lingering returns how many members linger.
func (r *Room) Lingering() int { return len(r.queue) }

// Empty reports that there are no members and no changes to tell.
func (r *Room) Empty() bool { return len(r.members) == 0 && r.Len() == 0 }
