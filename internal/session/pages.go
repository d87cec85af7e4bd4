package session

import (
	"context"
	"strconv"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/node"
	"ringdown/protocol"
)

// Page is a part of what a channel keeps, oldest first.
type Page = channel.Page

// History returns a page of a channel's log, for callers without a session. It
// waits its turn with theirs. after and before are as HistoryRange has them.
func (s *Server) History(ctx context.Context, name string, t node.Target, after, before *uint64, limit int) (Page, error) {
	a, b, err := HistoryRange(after, before, limit)
	if err != nil {
		return Page{}, err
	}
	if t.Declaration.History == nil {
		return Page{}, errNoHistory(name)
	}
	p, err := s.delivery.Page(ctx, name, t, channel.Ask{After: a, Before: b, Limit: limit, Bytes: historyBytes})
	return p, err
}

// StateCursor is how far somebody has come who walks over a state.
type StateCursor struct {
	epoch string
	after uint64 // offset of the last message of the page before
	first uint64 // head when the walk began
}

// ParseStateCursor reads what String wrote.
func ParseStateCursor(s string) (StateCursor, error) {
	after, rest, _ := strings.Cut(s, ".")
	first, epoch, _ := strings.Cut(rest, ".")
	a, err1 := strconv.ParseUint(after, 10, 53)
	f, err2 := strconv.ParseUint(first, 10, 53)
	if err1 != nil || err2 != nil || epoch == "" {
		return StateCursor{}, protocol.Errorf(protocol.CodeBadRequest, "cursor is not one that this server gave out")
	}
	return StateCursor{epoch, a, f}, nil
}

// String returns the cursor as callers carry it.
func (c StateCursor) String() string {
	return strconv.FormatUint(c.after, 10) + "." + strconv.FormatUint(c.first, 10) + "." + c.epoch
}

// State returns a page of a state, from the zero cursor on, and where the next
// one begins. Keys that are written during the walk come again in a later page,
// and those deleted during it come as deletions, so that who applies the pages in
// order has the state as it is at the last one's Head. It fails with conflict
// when that cannot be promised any more; then the walk is to be begun anew.
func (s *Server) State(ctx context.Context, name string, t node.Target, c StateCursor, limit int) (Page, StateCursor, error) {
	if limit < 1 || limit > MaxHistory {
		return Page{}, c, protocol.Errorf(protocol.CodeBadRequest, "limit must be from 1 to %d", MaxHistory)
	}
	if t.Declaration.State == nil {
		return Page{}, c, errNoState(name)
	}
	p, err := s.delivery.Page(ctx, name, t, channel.Ask{State: true, After: c.after, Limit: limit, Bytes: historyBytes})
	if err != nil {
		return Page{}, c, err
	}
	if c.epoch == "" {
		c.epoch, c.first = p.Epoch, p.Head
	}
	if c.epoch != p.Epoch || c.first < p.Floor {
		return Page{}, c, protocol.Errorf(protocol.CodeConflict, "the state of %q has changed too much since its first page; begin again without a cursor", name)
	}
	list := p.Entries
	p.Entries = nil
	for _, e := range list {
		c.after = e.Offset
		if !e.Deleted || e.Offset > c.first {
			p.Entries = append(p.Entries, e)
		}
	}
	return p, c, nil
}

func errNoState(name string) error {
	return protocol.Errorf(protocol.CodeBadRequest, "channel %q is not a state channel; declare state for it in the configuration file", name)
}
