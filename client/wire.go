package client

import (
	"encoding/json"

	"ringdown/protocol"
)

// phase is how far a subscription is on the line that there is.
type phase uint8

const (
	off      phase = iota // nothing was asked of this line
	asked                 // an answer is to come
	on                    // it delivers
	hasEnded              // refused: it waits for another token, a time, or the program
)

// verdict is what is to be done about a message that a subscription was given.
type verdict uint8

const (
	nothing     verdict = iota
	subscribeIt         // unsubscribe, and subscribe again with the position
	itFailed
)

// follower is who follows a channel. It is called with the lock held.
type follower interface {
	deliver(m *protocol.Message)
	subscribed(recovered *bool, reason string)
	recovered(count int)
	gap(g Gap)
	failed(err *Error)
	snapshot(items []*protocol.Message)
	presence(m *protocol.Message)
}

// Gap says that messages are missing: those of the offsets From to To, or Missed of them
// where nothing is kept.
type Gap struct {
	Reason   string
	From, To uint64
	Missed   int
}

// wire is one channel on the wire. Its position lives as long as it does, whatever
// becomes of lines.
type wire struct {
	name     string
	last     int
	rate     float64
	follower follower

	phase    phase
	position *protocol.Position
	err      *Error // why it failed
	failures int    // in a row
	keyed    bool   // it is a state channel, as far as is known

	parts    []*protocol.Message // of a state that is being given
	gathers  bool                // parts are
	due      *protocol.Position  // becomes the position when the state is whole
	head     *uint64             // the offset with which what was missed is there
	caughtUp int
	holeAt   *uint64 // a hole that was asked about already
}

// item is what it subscribes with.
func (s *wire) item() protocol.Subscription {
	i := protocol.Subscription{Channel: s.name}
	var params struct {
		Last int     `json:"last,omitempty"`
		Rate float64 `json:"rate,omitempty"`
	}
	params.Rate = s.rate
	if s.position != nil {
		at := *s.position
		i.Since = &at
	} else {
		params.Last = s.last
	}
	if params.Last != 0 || params.Rate != 0 {
		i.Data, _ = json.Marshal(params) // numbers, which cannot fail
	}
	return i
}

// lost is called when the line is gone.
func (s *wire) lost() {
	if s.phase != hasEnded {
		s.phase = off
	}
	s.parts, s.gathers, s.due, s.head, s.holeAt = nil, false, nil, nil, nil
}

func (s *wire) receive(m *protocol.Message) verdict {
	switch m.Type {
	case protocol.TypeSubscribed:
		s.subscribed(m)
		return nothing
	case protocol.TypeUnsubscribed:
		return s.unsubscribed()
	case protocol.TypeError:
		err, _ := readError(m.Data, s.name)
		if err == nil {
			err = failed(protocol.CodeInternal, s.name, "an error without a code")
		}
		return s.refused(err)
	}
	if s.phase != on {
		return nothing // what comes before the answer is of an earlier time
	}
	switch m.Type {
	case protocol.TypeState:
		s.state(m)
	case protocol.TypeGap:
		s.gap(m)
	case protocol.TypePresence:
		s.follower.presence(m)
	default:
		return s.event(m)
	}
	return nothing
}

func (s *wire) subscribed(m *protocol.Message) {
	var data struct {
		Recovered *bool
		Reason    string
		Head      uint64
	}
	if m.Data != nil {
		_ = json.Unmarshal(m.Data, &data) // what cannot be read says nothing
	}
	s.phase, s.err, s.failures = on, nil, 0
	if data.Recovered != nil && *data.Recovered {
		s.head, s.caughtUp = &data.Head, 0
	} else {
		s.restart(m)
	}
	s.follower.subscribed(data.Recovered, data.Reason)
	if data.Recovered != nil && !*data.Recovered {
		s.follower.gap(Gap{Reason: orUnknown(data.Reason)})
	}
	s.checkHead()
}

func orUnknown(reason string) string {
	if reason == "" {
		return "unknown"
	}
	return reason
}

// restart has delivery go on behind the position that m names; of a state, when all of
// it is there.
func (s *wire) restart(m *protocol.Message) {
	s.due, s.position = nil, nil
	if m.Epoch != "" && m.Kept {
		at := protocol.Position{Epoch: m.Epoch, Offset: m.Offset}
		s.due = &at
		if !s.keyed {
			s.position = &protocol.Position{Epoch: at.Epoch, Offset: at.Offset}
		}
	}
	s.parts, s.gathers, s.head = nil, false, nil
}

func (s *wire) state(m *protocol.Message) {
	s.keyed = true
	if !s.gathers {
		s.gathers = true
		if s.due == nil {
			s.due = s.position
		}
		s.position = nil
	}
	var data struct {
		Items []json.RawMessage
		More  bool
	}
	if json.Unmarshal(m.Data, &data) != nil {
		return
	}
	for _, text := range data.Items {
		item := new(protocol.Message)
		if protocol.DecodeJSON(text, item) == nil {
			s.parts = append(s.parts, item)
		}
	}
	if data.More {
		return
	}
	items := s.parts
	s.parts, s.gathers, s.position, s.due = nil, false, s.due, nil
	s.follower.snapshot(items)
}

func (s *wire) gap(m *protocol.Message) {
	var data struct {
		Reason   string
		From, To *uint64
		Missed   int
	}
	_ = json.Unmarshal(m.Data, &data) // what cannot be read says nothing more
	if m.Epoch != "" {
		s.restart(m)
	} else if data.To != nil && s.position != nil {
		s.position.Offset = max(s.position.Offset, *data.To)
	}
	g := Gap{Reason: orUnknown(data.Reason), Missed: data.Missed}
	if data.From != nil && data.To != nil {
		g.From, g.To = *data.From, *data.To
	}
	s.follower.gap(g)
	s.checkHead()
}

func (s *wire) event(m *protocol.Message) verdict {
	if s.due != nil { // no state came, so it is none of those
		if s.position == nil {
			s.position = s.due
		}
		s.due, s.keyed = nil, false
	}
	if at := s.position; m.Kept && at != nil {
		if m.Offset <= at.Offset {
			return nothing
		}
		if m.Prev > at.Offset && !s.keyed {
			if s.holeAt == nil || *s.holeAt != at.Offset {
				from := at.Offset
				s.holeAt = &from
				return subscribeIt
			}
			// It is still there after asking again: so be it, but not in silence.
			s.follower.gap(Gap{Reason: "unknown", From: at.Offset, To: m.Prev})
		}
		at.Offset = m.Offset
	}
	if m.Type[0] != '_' {
		s.caughtUp++
		s.follower.deliver(m)
	}
	s.checkHead()
	return nothing
}

// checkHead tells when all is there that was missed.
func (s *wire) checkHead() {
	if s.head == nil || s.position == nil || s.position.Offset < *s.head {
		return
	}
	s.head = nil
	s.follower.recovered(s.caughtUp)
}

func (s *wire) unsubscribed() verdict {
	if s.phase != on {
		return nothing // the answer to an unsubscribe of ours
	}
	err := s.err
	if err == nil {
		err = failed(protocol.CodeForbidden, s.name, "the server ended the subscription")
	}
	return s.fail(err)
}

func (s *wire) refused(err *Error) verdict {
	switch {
	case s.phase == on:
		s.err = err // why it will be ended, perhaps
		return nothing
	case s.phase != asked:
		return nothing
	case err.Code == protocol.CodeConflict && s.failures == 0:
		s.failures++
		return subscribeIt
	}
	return s.fail(err)
}

func (s *wire) fail(err *Error) verdict {
	s.phase, s.err = hasEnded, err
	s.failures++
	s.follower.failed(err)
	return itFailed
}
