package ringdown

import (
	"context"
	"errors"

	"ringdown/internal/session"
	"ringdown/protocol"
)

// End is an offset that is after every message.
const End = protocol.MaxOffset + 1

// HistoryRange asks for a page of a channel's history: with Before, the newest
// messages before that offset, and otherwise the oldest after After. Before: End
// is the newest page.
type HistoryRange struct {
	After, Before uint64
	Limit         int // messages at most, up to 1,000; 0: 100
}

// HistoryPage is a part of a channel's history, oldest message first.
type HistoryPage struct {
	Epoch    string
	Messages []Stored
	More     bool // there are more in the direction of the range
}

// History returns a page of what a channel has kept. A page is bounded in bytes
// too, at about 256 KiB. The channel's rules are not asked: this is the server
// itself reading. Errors are *protocol.Error, with bad_request for a channel that
// keeps no history.
func (s *Server) History(ctx context.Context, channel string, r HistoryRange) (HistoryPage, error) {
	t, err := s.node.Resolve(channel)
	if err != nil {
		return HistoryPage{}, err
	}
	if r.Limit == 0 {
		r.Limit = session.DefaultHistory
	}
	var before *uint64
	if r.Before > 0 {
		before = &r.Before
	}
	p, err := s.sessions.History(ctx, channel, t, &r.After, before, r.Limit)
	if err != nil {
		return HistoryPage{}, err
	}
	page := HistoryPage{Epoch: p.Epoch, More: p.More, Messages: make([]Stored, len(p.Entries))}
	for i, e := range p.Entries {
		if page.Messages[i], err = stored(e); err != nil {
			return HistoryPage{}, err
		}
	}
	return page, nil
}

// State is what a state channel holds.
type State struct {
	Epoch  string
	Offset uint64            // the position that the state is of
	Values map[string]Stored // the latest message of each key
}

// stateTries is how often a state is begun anew that changes too fast.
const stateTries = 3

// State returns the latest message of each key of a state channel, all of them at
// one position, however much is written meanwhile. The channel's rules are not
// asked. Errors are *protocol.Error, with bad_request for a channel that is not a
// state channel, and conflict when keys are deleted faster than they are read.
func (s *Server) State(ctx context.Context, channel string) (State, error) {
	t, err := s.node.Resolve(channel)
	if err != nil {
		return State{}, err
	}
	for try := 1; ; try++ {
		st := State{Values: map[string]Stored{}}
		more := true
		for at := (session.StateCursor{}); more && err == nil; {
			var p session.Page
			if p, at, err = s.sessions.State(ctx, channel, t, at, session.MaxHistory); err == nil {
				err = st.apply(&p)
				more = p.More
			}
		}
		if err == nil {
			return st, nil
		}
		var e *protocol.Error
		if try == stateTries || !errors.As(err, &e) || e.Code != protocol.CodeConflict {
			return State{}, err
		}
		err = nil
	}
}

// apply takes a page over.
func (st *State) apply(p *session.Page) error {
	st.Epoch, st.Offset = p.Epoch, p.Head
	for _, e := range p.Entries {
		if e.Deleted {
			delete(st.Values, e.Key)
			continue
		}
		v, err := stored(e)
		if err != nil {
			return err
		}
		st.Values[v.Key] = v
	}
	return nil
}
