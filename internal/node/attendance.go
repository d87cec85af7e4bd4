package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringdown/internal/presence"
	"ringdown/protocol"
)

// The bounds of the work on members.
const (
	// rosterTimeout is how long a change of the roster may take. After it Enter fails,
	// and the removal of a member is tried again rosterRetry later.
	rosterTimeout = 5 * time.Second
	rosterRetry   = 5 * time.Second
	// rosterQueues is how many changes are under way at a time. Those of one member
	// go through one queue, one after the other.
	rosterQueues = 64
	// maxLingering is how many members of this node may linger. Beyond it, a member
	// whose connection is lost is removed at once.
	maxLingering = 200_000
)

// attendance keeps the members that this node put into rosters.
//
// A node that stops removes nobody. Its clients are about to connect to other nodes,
// where watchers see them enter, and until then the broker's lease keeps them in the
// roster. When the lease ends, another node is told of those that did not connect
// again, and tells the watchers.
type attendance struct {
	node *Node

	shard [shards]struct {
		mu    sync.Mutex
		rooms map[string]*room
	}
	changes  [rosterQueues]queue
	observed queue       // what presence logs told and is still to be looked at
	leftOut  atomic.Bool // observed has been full, and the log was told

	members   atomic.Int64 // in all rooms
	lingering atomic.Int64

	ctx     context.Context // of the calls of the roster
	cancel  context.CancelFunc
	mu      sync.Mutex // guards stopped, and work's growth from nothing
	stopped bool
	work    sync.WaitGroup
}

// room is a channel that has members of this node, or changes that watchers have
// not been told yet.
type room struct {
	name string

	mu sync.Mutex
	presence.Room
	timer     *time.Timer // nil: never needed yet
	due       time.Time   // when the timer fires; zero: it is not set
	busy      int         // changes of the roster under way, for which the room is kept
	size      int         // as counted in attendance.members
	lingering int         // as counted in attendance.lingering
	observer  *observer   // nil: nobody lingers
	gone      bool        // no longer in the map
}

func (a *attendance) open(n *Node) {
	a.node = n
	a.ctx, a.cancel = context.WithCancel(context.Background())
	for i := range a.shard {
		a.shard[i].rooms = make(map[string]*room)
	}
}

// stop waits for the changes under way, and ends them when ctx ends.
func (a *attendance) stop(ctx context.Context) error {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	for i := range a.shard {
		s := &a.shard[i]
		s.mu.Lock()
		rooms := slices.Collect(maps.Values(s.rooms))
		s.mu.Unlock()
		for _, r := range rooms {
			r.mu.Lock()
			if r.timer != nil {
				r.timer.Stop()
			}
			r.mu.Unlock()
		}
	}
	ended := context.AfterFunc(ctx, a.cancel)
	a.work.Wait()
	a.cancel()
	if !ended() {
		return ctx.Err()
	}
	return nil
}

// begin counts a goroutine that is about to start, unless the node has stopped.
func (a *attendance) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return false
	}
	a.work.Add(1)
	return true
}

// find returns the room of that name, locked. Where there is none it makes one, or
// returns nil.
func (a *attendance) find(name string, create bool) *room {
	s := &a.shard[a.node.shardIndex(name)]
	for {
		s.mu.Lock()
		r := s.rooms[name]
		if r == nil && create {
			r = &room{name: name}
			s.rooms[name] = r
		}
		s.mu.Unlock()
		if r == nil {
			return nil
		}
		r.mu.Lock()
		if !r.gone {
			return r
		}
		r.mu.Unlock() // it went between the look-up and the lock
	}
}

// release tells watchers what is due, sets the timer for what is not due yet, and
// unlocks r. It removes the room when nothing is left of it.
func (a *attendance) release(r *room) {
	defer r.mu.Unlock()
	now := time.Now()
	if at, ok := r.Due(r.Size()); ok && !at.After(now) {
		a.tell(r, r.Take(now))
	}
	a.members.Add(int64(r.Size() - r.size))
	a.lingering.Add(int64(r.Lingering() - r.lingering))
	r.size, r.lingering = r.Size(), r.Lingering()
	a.updateObserver(r)
	if r.Empty() && r.busy == 0 {
		r.gone = true
		if r.timer != nil {
			r.timer.Stop()
		}
		s := &a.shard[a.node.shardIndex(r.name)]
		s.mu.Lock() // the only place where it is taken under a room's lock
		delete(s.rooms, r.name)
		s.mu.Unlock()
		return
	}
	at, ok := r.Next()
	if !ok || !r.due.IsZero() && !at.Before(r.due) {
		return // nothing is to come, or the timer fires before that
	}
	r.due = at
	if r.timer == nil {
		r.timer = time.AfterFunc(at.Sub(now), func() { a.fire(r) })
	} else {
		r.timer.Reset(at.Sub(now))
	}
}

// fire does what the timer of a room was set for.
func (a *attendance) fire(r *room) {
	if !a.begin() {
		return
	}
	defer a.work.Done()
	r.mu.Lock()
	if r.gone {
		r.mu.Unlock()
		return
	}
	r.due = time.Time{}
	expired := r.Expired(time.Now())
	r.busy += len(expired)
	a.release(r)
	for _, m := range expired {
		a.remove(r, m, ignore)
	}
}

// enter is Node.Enter.
func (a *attendance) enter(name string, m presence.Member, done func(error)) {
	r := a.find(name, true)
	_, here := r.Here(m.ID)
	if !here {
		r.Put(m) // already now, so that it can linger if its connection is lost meanwhile
	}
	r.busy++
	a.release(r)
	var old presence.Member
	replaces := false
	a.change(r, m.ID, func(ctx context.Context) (bool, error) { return a.node.roster.Put(ctx, name, m) }, func(entered bool, err error) {
		switch {
		case err == nil:
			action := presence.Update
			if entered {
				action = presence.Enter
				if old, replaces = r.Return(m.User); replaces {
					r.busy++
				}
			}
			if _, still := r.Here(m.ID); still {
				r.Put(m)
			}
			r.Note(action, m)
		case !here:
			// It may be in the roster or not, so it is removed to be sure.
			m.Will = nil
			r.Put(m)
			r.Linger(m.ID, time.Now())
		}
	}, func(err error) {
		done(err)
		if replaces {
			a.replace(r, old)
		}
	})
}

// exit is Node.Exit.
func (a *attendance) exit(name, id string, how Departure, done func(error)) {
	r := a.find(name, false)
	if r == nil {
		done(nil)
		return
	}
	m, here := r.Here(id)
	// A user who is here by another connection as well needs no grace, and is not gone.
	// Mostly it is the same client, which connected again before the loss was noticed.
	if how.Said || r.With(m.User) > 1 {
		m.Will = nil
	} else if here && how.Grace > 0 && m.User != "" && a.lingering.Load() < maxLingering {
		r.Linger(id, time.Now().Add(how.Grace))
		here = false
	}
	if !here {
		a.release(r)
		done(nil)
		return
	}
	r.Drop(id)
	r.busy++
	a.release(r)
	a.remove(r, m, done)
}

// replace takes out a member whose user has come back as another one: nobody is gone,
// so its will is not published. The caller has counted the change in r.busy.
func (a *attendance) replace(r *room, m presence.Member) {
	m.Will = nil
	a.remove(r, m, ignore)
}

// remove takes m, which is no longer in the room, out of the roster, and publishes the
// will that it still has. The caller has counted the change in r.busy.
func (a *attendance) remove(r *room, m presence.Member, done func(error)) {
	gone := false
	a.change(r, m.ID, func(ctx context.Context) (bool, error) { return a.node.roster.Remove(ctx, r.name, m.ID) }, func(left bool, err error) {
		if err != nil {
			r.Put(m)
			r.Linger(m.ID, time.Now().Add(rosterRetry))
		} else if left {
			gone = true
			r.Note(presence.Leave, m)
		}
	}, func(err error) {
		done(err)
		if gone {
			a.node.publishWill(r.name, m)
		}
	})
}

// rosterError returns the error that a client is told.
func rosterError(err error) error {
	var e *protocol.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &protocol.Error{Code: protocol.CodeUnavailable, Retryable: true, RetryAfter: rosterRetry,
		Message: "who is present cannot be changed just now; try again"}
}
