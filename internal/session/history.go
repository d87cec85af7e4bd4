package session

import (
	"bytes"
	"strings"

	"ringdown/internal/channel"
	"ringdown/internal/event"
	"ringdown/protocol"
)

// The bounds of a page of history.
const (
	DefaultHistory = 100       // messages
	MaxHistory     = 1000      // messages
	historyBytes   = 256 << 10 // about, but at least one message
)

// history answers with a page of what a channel has kept.
func (x *Session) history(m *protocol.Message) {
	t, err := x.hub.server.node.Resolve(m.Channel)
	if err == nil {
		err = x.permit(channel.OpHistory, m.Channel, "", t)
	}
	if err == nil && t.Declaration.History == nil {
		err = errNoHistory(m.Channel)
	}
	var a channel.Ask
	if err == nil {
		a, err = newHistoryAsk(m)
	}
	if err != nil {
		x.deny("history", m.ID, m.Channel, err)
		return
	}
	e := &event.History{ID: bytes.Clone(m.ID), Channel: strings.Clone(m.Channel)}
	x.wait(func(answer func(error)) {
		x.hub.out.Page(e.Channel, t, a, false, func(p channel.Page, err error) {
			e.Epoch, e.Entries, e.More = p.Epoch, p.Entries, p.More
			answer(err)
		})
	}, func(err error) {
		if err != nil {
			x.deny("history", e.ID, e.Channel, err)
			return
		}
		x.unblocked(func() { x.link.Send(e) })
	})
}

func errNoHistory(name string) error {
	return protocol.Errorf(protocol.CodeBadRequest, "channel %q keeps no history; declare history for it in the configuration file", name)
}

func newHistoryAsk(m *protocol.Message) (channel.Ask, error) {
	a := channel.Ask{Limit: DefaultHistory, Bytes: historyBytes}
	var before, after, limit *uint64
	if len(m.Data) > 0 {
		err := protocol.Members("data of history", m.Data, func(name string, value []byte) (err error) {
			switch name {
			case "before":
				before, err = protocol.Whole(name, value)
			case "after":
				after, err = protocol.Whole(name, value)
			case "limit":
				limit, err = protocol.Whole(name, value)
			}
			return err
		})
		if err != nil {
			return a, err
		}
	}
	if limit != nil {
		a.Limit = int(min(*limit, MaxHistory+1))
	}
	var err error
	a.After, a.Before, err = HistoryRange(after, before, a.Limit)
	return a, err
}

// HistoryRange checks what a caller asks of a history, nil for what it does not
// name: a page goes forward from after, or else back from before, which by
// default is the end.
func HistoryRange(after, before *uint64, limit int) (a, b uint64, err error) {
	if limit < 1 || limit > MaxHistory {
		return 0, 0, protocol.Errorf(protocol.CodeBadRequest, "limit must be from 1 to %d", MaxHistory)
	}
	if after != nil {
		a = *after
	}
	switch {
	case before != nil:
		b = *before
	case after == nil:
		b = protocol.MaxOffset + 1
	}
	if a > protocol.MaxOffset || before != nil && (b < 1 || b > protocol.MaxOffset+1) {
		return 0, 0, protocol.Errorf(protocol.CodeBadRequest, "after and before are offsets: after from 0, before from 1")
	}
	return a, b, nil
}
